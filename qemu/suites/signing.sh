#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# options: --env KWASMI_TEST_PERCENT
# not on the debug kernel: it takes minutes there
# Only modules signed by a trusted key run in the kernel, unless root says otherwise. kwasmi.ko has
# its default, verify=enforce.
. /suites/ktap.sh

cd /tmp || exit
ko=/lib/kwasmi/kwasmi.ko
modules=/guests/signing
tab=$(printf '\t')

# remade PARAMETER...: loads kwasmi.ko again with these parameters, which empties its keyring.
remade() {
    rmmod kwasmi && insmod $ko "$@"
}
# ends STATUS WORDS ARG...: checks the status of `kwasmi run`, and its line on standard error; WORDS
# "-" means none.
ends() {
    expected=$1 words=$2
    shift 2
    kwasmi run "$@" >out 2>err
    equal "$expected" $? || { cat err; return 1; }
    if [ "$words" = - ]; then
        equal "" "$(cat err)"
    else
        equal 1 "$(wc -l <err | tr -d ' ')" && grep -qF -e "$words" err || { echo "expected: $words"; cat err; return 1; }
    fi
}
# verdict STATUS NAME: checks the verdict of `kwasmi verify`, which needs no device and does not
# know this kernel's ceilings.
verdict() {
    expected=126
    [ "$1" = 126 ] || expected=0
    # shellcheck disable=SC2046 # a list of options
    kwasmi verify $(printf -- '--cert %s ' $modules/trusted/*.pem) "$modules/$2.wasm" >out 2>&1
    equal $expected $? || { cat out; return 1; }
}
# says WORDS COMMAND...: checks that the command prints a line with these words.
says() {
    words=$1
    shift
    "$@" >out 2>&1
    grep -qF -e "$words" out || { cat out; return 1; }
}
fails() { ! "$@" >out 2>&1; }
keys() { kwasmi key list >out && equal "$1" "$(wc -l <out | tr -d ' ')" || { cat out; return 1; }; }
sha256() { kwasmi inspect -j "$1" | sed -n 's/.*"sha256":"\([0-9a-f]*\)".*/\1/p'; }

check "the default policy is to enforce signatures" says "verify: enforce" kwasmi policy
check "a guest of the trusted signer runs" ends 0 - /guests/hello-c.wasm
check "an unsigned module is refused" ends 126 "not signed" /guests/fixtures/minimal.wat

check "the module is loaded again" remade
check "the keyring is empty after loading" keys 0
check "with an empty keyring a guest is refused" ends 126 "not in the keyring" /guests/hello-c.wasm
for cert in "$modules"/trusted/*.pem; do
    check "a certificate is added: ${cert##*/}" kwasmi key add "$cert"
done
check "all certificates are listed" keys 9
check "the list contains the names of signers" says "test p384" kwasmi key list
while IFS=$tab read -r name status words; do
    check "$name" ends "$status" "$words" "$modules/$name.wasm"
    check "$name, by kwasmi verify" verdict "$status" "$name"
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

check "a module is denied" kwasmi deny "$modules/rsa-2048-sha256.wasm"
check "a denied module is refused" ends 126 denied "$modules/rsa-2048-sha256.wasm"
check "the same module with another signature is refused" ends 126 denied "$modules/p384-sha384.wasm"
check "the denied hash is listed" says "$(sha256 $modules/rsa-2048-sha256.wasm)" kwasmi deny --list
check "a minimum version is set" kwasmi min-version versioned 2.0.0
check "a minimum version cannot be lowered" fails kwasmi min-version versioned 1.0.0
check "the minimum version is listed" says "2.0.0" kwasmi min-version --list
check "an older module is refused" ends 126 "2.0.0" $modules/version-1.10.0.wasm

check "the keyring is sealed" kwasmi key seal
check "a sealed keyring accepts no certificate" fails kwasmi key add /guests/signer.pem
check "a module of a signer that was not added is refused" ends 126 "not in the keyring" /guests/hello-c.wasm
check "a module of a signer that was added before runs" ends 42 - $modules/handed.wasm

# Key, certificate and signature made in the VM, without other tools.
made_here() {
    kwasmi key new --name 'made here' --key key.pem --cert cert.pem && equal 600 "$(stat -c %a key.pem)" &&
        kwasmi key add cert.pem && kwasmi sign --key key.pem --cert cert.pem -o signed.wasm /guests/fixtures/exit-42.wat &&
        kwasmi verify --cert cert.pem signed.wasm
}
check "the module is loaded again without a seal" remade
check "a key, a certificate and a signature are made in the VM" made_here
check "a module signed in the VM runs" ends 42 - signed.wasm
check "the new certificate is listed by name" says "made here" kwasmi key list

check "the module is loaded with verify=warn" remade verify=warn
check "verify=warn runs an unsigned module" ends 42 - /guests/fixtures/exit-42.wat
check "verify=warn runs it a second time" ends 42 - /guests/fixtures/exit-42.wat
check "verify=warn runs a module of an unknown signer" ends 42 - $modules/of-a-stranger.wasm
hash=$(kwasmi inspect -j /guests/fixtures/exit-42.wat | sed -n 's/.*"sha256":"\([0-9a-f]*\)".*/\1/p')
check "the kernel log warns once about a module" equal 1 "$(dmesg | grep -c "module $hash is not signed")"
check "verify=warn refuses a module with an invalid manifest" ends 126 "unknown key" $modules/manifest-unknown-key.wasm
check "the module is loaded with verify=off" remade verify=off
check "verify=off runs an unsigned module" ends 42 - /guests/fixtures/exit-42.wat
check "the policy shows verify=off" says "verify: off" kwasmi policy
check "a hash is denied with verify=off" kwasmi deny "$hash"
check "verify=off refuses a denied module" ends 126 denied /guests/fixtures/exit-42.wat
check "the module is not loaded with an unknown value of verify" fails insmod $ko verify=perhaps

check "the module is loaded with kernel_keys=1" remade kernel_keys=1
check "the policy shows kernel_keys=1" says "kernel keys: yes" kwasmi policy
check "kernel_keys=1 refuses a module of an unknown signer" ends 126 "not in the keyring" $modules/of-a-stranger.wasm
# With an empty keyring the kernel's own keys are searched, for keys of the accepted kinds only.
check "kernel_keys=1 refuses P-256 and P-384 keys that the kernel does not have" ends 126 "not in the keyring" $modules/p384-sha384.wasm
check "kernel_keys=1 refuses keys of P-521" ends 126 "not on the curve P-256 or P-384" $modules/p521.wasm
check "kernel_keys=1 refuses keys of P-192" ends 126 "not on the curve P-256 or P-384" $modules/p192.wasm
check "kernel_keys=1 refuses RSA keys of 1,024 bits" ends 126 "less than 2048 bits" $modules/rsa-1024.wasm

# Lockdown is the last test, since it cannot be undone.
lock_down() { echo integrity >/sys/kernel/security/lockdown; }
if [ -e /sys/kernel/security/lockdown ]; then
    check "the module is loaded with verify=off for lockdown" remade verify=off
    check "an unsigned module runs before lockdown" ends 0 - /guests/fixtures/minimal.wat
    check "the kernel is locked down" lock_down
    check "lockdown refuses an unsigned module" ends 126 "not signed" /guests/fixtures/minimal.wat
    check "the policy shows the lockdown" says "locked down" kwasmi policy
    check "a certificate is added under lockdown" kwasmi key add /guests/signer.pem
    check "a module of a trusted signer runs under lockdown" ends 0 - /guests/hello-c.wasm
else
    skip "lockdown refuses an unsigned module" "the kernel has no lockdown"
fi
finish
