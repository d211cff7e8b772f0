#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# options: --env KWASMI_EFFORT --timeout 1200
# Nothing runs in the kernel that its owner did not sign. The module has its default, verify=enforce.
. /suites/ktap.sh

cd /tmp || exit
ko=/lib/kwasmi/kwasmi.ko
modules=/guests/signing
tab=$(printf '\t')

# remade PARAMETER...: the module, loaded anew with these, with nobody in its keyring.
remade() {
    rmmod kwasmi && insmod $ko "$@"
}
# ends STATUS WORDS ARG...: how `kwasmi run` ends, and what it says of that; "-" for nothing.
ends() {
    wanted=$1 words=$2
    shift 2
    kwasmi run "$@" >out 2>err
    equal "$wanted" $? || { cat err; return 1; }
    if [ "$words" = - ]; then
        equal "" "$(cat err)"
    else
        equal 1 "$(wc -l <err | tr -d ' ')" && grep -qF -e "$words" err || { echo "wanted: $words"; cat err; return 1; }
    fi
}
# verdict STATUS NAME: what the command says without a device. It does not know this kernel's ceilings.
verdict() {
    wanted=126
    [ "$1" = 126 ] || wanted=0
    # shellcheck disable=SC2046 # a list of options
    kwasmi verify $(printf -- '--cert %s ' $modules/trusted/*.pem) "$modules/$2.wasm" >out 2>&1
    equal $wanted $? || { cat out; return 1; }
}
# says WORDS COMMAND...: the command prints a line with these.
says() {
    words=$1
    shift
    "$@" >out 2>&1
    grep -qF -e "$words" out || { cat out; return 1; }
}
fails() { ! "$@" >out 2>&1; }
keys() { kwasmi key list >out && equal "$1" "$(wc -l <out | tr -d ' ')" || { cat out; return 1; }; }
sha256() { kwasmi inspect -j "$1" | sed -n 's/.*"sha256":"\([0-9a-f]*\)".*/\1/p'; }

check "signatures are enforced unless told otherwise" says "verify: enforce" kwasmi policy
check "the signer of the guests is trusted" ends 0 - /guests/hello-c.wasm
check "what is not signed is refused" ends 126 "not signed" /guests/fixtures/minimal.wat

check "loaded anew" remade
check "nobody is trusted then" keys 0
check "nor the signer of the guests" ends 126 "not in the keyring" /guests/hello-c.wasm
for cert in "$modules"/trusted/*.pem; do
    check "a certificate is added: ${cert##*/}" kwasmi key add "$cert"
done
check "they are listed" keys 9
check "and found by name" says "test p384" kwasmi key list
while IFS=$tab read -r name status words; do
    check "$name" ends "$status" "$words" "$modules/$name.wasm"
    check "$name, without a kernel" verdict "$status" "$name"
done <$modules/verdicts

kwasmi-abi signing | sed -n '/^KTAP/d; /^1\.\./d; p' >abi.out
while read -r line; do
    case $line in
        "ok "* | "not ok "*)
            ok=${line%%[0-9]*}
            name=${line#"$ok"}
            check "${name#* }" [ "$ok" = "ok " ]
            ;;
        *) echo "# $line" ;;
    esac
done <abi.out

check "a denied file" kwasmi deny "$modules/rsa-2048-sha256.wasm"
check "does not run" ends 126 denied "$modules/rsa-2048-sha256.wasm"
check "nor with another signature of the same" ends 126 denied "$modules/p384-sha384.wasm"
check "and is listed" says "$(sha256 $modules/rsa-2048-sha256.wasm)" kwasmi deny --list
check "a least version" kwasmi least versioned 2.0.0
check "is not lowered" fails kwasmi least versioned 1.0.0
check "and is listed" says "2.0.0" kwasmi least --list
check "what is older does not run" ends 126 "2.0.0" $modules/version-1.10.0.wasm

check "a sealed keyring" kwasmi key seal
check "takes no certificate" fails kwasmi key add /guests/signer.pem
check "whose modules do not run" ends 126 "not in the keyring" /guests/hello-c.wasm
check "what was trusted is" ends 42 - $modules/handed.wasm

# Made here, without the host: key, certificate, signature.
made_here() {
    kwasmi key new --name 'made here' --key key.pem --cert cert.pem && equal 600 "$(stat -c %a key.pem)" &&
        kwasmi key add cert.pem && kwasmi sign --key key.pem --cert cert.pem -o signed.wasm /guests/fixtures/exit-42.wat &&
        kwasmi verify --cert cert.pem signed.wasm
}
check "without a seal" remade
check "a key, a certificate and a signature are made" made_here
check "and it runs" ends 42 - signed.wasm
check "what it is is told" says "made here" kwasmi key list

check "loaded with verify=warn" remade verify=warn
check "what is not signed runs" ends 42 - /guests/fixtures/exit-42.wat
check "again" ends 42 - /guests/fixtures/exit-42.wat
check "so does what is signed by a stranger" ends 42 - $modules/of-a-stranger.wasm
hash=$(kwasmi inspect -j /guests/fixtures/exit-42.wat | sed -n 's/.*"sha256":"\([0-9a-f]*\)".*/\1/p')
check "the kernel log tells of it once" equal 1 "$(dmesg | grep -c "module $hash is not signed")"
check "a manifest holds all the same" ends 126 "unknown key" $modules/manifest-unknown-key.wasm
check "loaded with verify=off" remade verify=off
check "what is not signed runs" ends 42 - /guests/fixtures/exit-42.wat
check "the policy tells" says "verify: off" kwasmi policy
check "a denied hash holds all the same" kwasmi deny "$hash"
check "and it does not run" ends 126 denied /guests/fixtures/exit-42.wat
check "loaded with a word that there is not" fails insmod $ko verify=perhaps

check "loaded so that the kernel's own keys count" remade kernel_keys=1
check "the policy tells that" says "kernel keys: yes" kwasmi policy
check "a stranger's do not" ends 126 "not in the keyring" $modules/of-a-stranger.wasm
# No certificate is in .kwasmi now, so it is the kernel's own keys that are asked for, of the kinds that count and no other.
check "nor do those of P-256 and P-384 that the kernel does not know" ends 126 "not in the keyring" $modules/p384-sha384.wasm
check "keys of P-521 do not count" ends 126 "not on the curve P-256 or P-384" $modules/p521.wasm
check "nor do those of P-192" ends 126 "not on the curve P-256 or P-384" $modules/p192.wasm
check "nor do those of RSA with 1,024 bits" ends 126 "less than 2048 bits" $modules/rsa-1024.wasm

# The kernel is locked down last: there is no way back.
lock_down() { echo integrity >/sys/kernel/security/lockdown; }
if [ -e /sys/kernel/security/lockdown ]; then
    check "loaded with verify=off once more" remade verify=off
    check "what is not signed runs" ends 0 - /guests/fixtures/minimal.wat
    check "the kernel is locked down" lock_down
    check "then it does not" ends 126 "not signed" /guests/fixtures/minimal.wat
    check "the policy tells why" says "locked down" kwasmi policy
    check "what is signed and trusted does" kwasmi key add /guests/signer.pem
    check "as before" ends 0 - /guests/hello-c.wasm
else
    skip "locking the kernel down" "it has no lockdown"
fi
finish
