#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# options: --add examples/follow-releases.sh follow-releases.sh
# not on the debug kernel: it tests an example
# examples/follow-releases.sh upgrades a service to signed releases.
. /suites/ktap.sh

cd /tmp || exit
mkdir releases
kwasmi key new --key key.pem --cert cert.pem && kwasmi key new --key other.pem --cert other-cert.pem &&
    kwasmi key add cert.pem || exit
# release VERSION [HEALTH] [KEY]: publishes a release whose function `version` returns the last number
# of VERSION.
release() {
    echo "(module (func (export \"kwasmi_health\") (result i32) ${2:-(i32.const 0)})
        (func (export \"version\") (result i32) (i32.const ${1##*.})))" >module.wat
    printf 'name = "web"\nversion = "%s"\nabi = 9\ncapabilities = []\n[imports]\n' "$1" >manifest.toml
    key=${3:-key}
    cert=cert.pem
    [ "$key" = key ] || cert=$key-cert.pem
    kwasmi sign --key "$key.pem" --cert "$cert" --manifest manifest.toml -o new.wasm module.wat && mv new.wasm "releases/web-$1.wasm"
}
runs() { within 20 sh -c "kwasmi call web version 2>/dev/null | grep -qx $1"; }
says() { within 20 grep -qF "$1" follow.log || { cat follow.log; return 1; }; }

# started COUNT: waits until the service was started or upgraded COUNT times.
started() { within 20 sh -c "[ \"\$(grep -c 'web runs version' follow.log)\" = $1 ]"; }
starts_the_newest() { runs 1 && started 1 && equal "web runs version 1.10.1" "$(cat follow.log)"; }
follows() { release 1.10.2 && runs 2 && release 1.10.10 && runs 10; }
ignores_renamed_files() {
    cp releases/web-1.10.10.wasm releases/web-999.0.0.wasm && sleep 3 && runs 10 && started 3
}
refuses() {
    release 2.0.0 "(i32.const 1)" && says "web-2.0.0.wasm: the new program is not healthy: kwasmi_health has returned 1" &&
        release 2.0.1 "" other && says "web-2.0.1.wasm: " && release 2.0.2 unreachable && says "web-2.0.2.wasm: the new program ended: trap" &&
        runs 10
}
older_ones_are_refused() {
    rm releases/* && release 1.10.2 && sleep 3 && runs 10 || return
    kwasmi upgrade web releases/web-1.10.2.wasm 2>err
    equal 126 $? && grep -q "older than the minimum version" err || { cat err; return 1; }
}
continues() { release 2.0.3 && runs 3 && started 4; }
restarts() {
    kwasmi kill web && runs 3 && started 5 && equal "web runs version 2.0.3" "$(tail -n 1 follow.log)"
}

release 1.9.8 && release 1.10.1 || exit
INTERVAL=1 sh /host/follow-releases.sh web releases >follow.log 2>&1 &
follower=$!
check "the service starts with the newest release" starts_the_newest
check "the service is upgraded to newer releases" follows
check "a file with another version in its manifest is ignored" ignores_renamed_files
check "releases that are unhealthy, trap or have another signer are refused" refuses
check "older releases are refused" older_ones_are_refused
check "the service is upgraded after refused releases" continues
check "a service that has ended is started again" restarts
kill $follower
finish
