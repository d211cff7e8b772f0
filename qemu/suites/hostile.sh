#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# options: --param verify=off --cpus 4 --memory 4096 --timeout 1800 --add target/hostile hostile
# Programs that attack the kernel that runs them end as is written down beside each, one after another and all at once,
# and leave nothing behind.
. /suites/ktap.sh

cd /tmp || exit
guests=/host/hostile
tab=$(printf '\t')
# A directory to do evil in, with something to meet there.
mkdir -p evil/a/b evil/b
echo text >evil/a/file
ln -s ../.. evil/a/out
ln -s /etc evil/absolute
ln -s loop evil/loop
# What never says anything: to read from for ever.
mkfifo silence
sleep 10000 >silence &
silence=$!

# input NAME: what the guest reads from.
input() {
    case $1 in
        read-forever) echo silence ;;
        *) echo /dev/zero ;;
    esac
}
# start NAME OPTIONS: runs the guest, with what it says in NAME.err.
start() {
    # A guest that hangs is ended, so that the others have their turn.
    # shellcheck disable=SC2086 # a list
    timeout -s KILL 300 kwasmi run $2 "$guests/$1.wasm" one two <"$(input "$1")" >/dev/null 2>"$1.err"
}
# ended NAME STATUS WORDS GOT: whether the guest ended as it was to.
ended() {
    status=0
    equal "$2" "$4" || status=1
    if [ "$3" = - ]; then
        equal "" "$(head -c 1000 "$1.err")" || status=1
    else
        equal 1 "$(wc -l <"$1.err" | tr -d ' ')" || status=1
        # Whatever it had for names, its last line is of characters that can be seen.
        ! tail -n 1 "$1.err" | grep -q '[[:cntrl:]]' || { echo "control characters"; status=1; }
        grep -aqF "$3" "$1.err" || { echo "wanted: $3"; status=1; }
    fi
    [ "$status" = 0 ] || tail -c 1000 "$1.err" | cat -v
    rm -f "$1.err"
    return "$status"
}
alone() {
    start "$1" "$2"
    ended "$1" "$3" "$4" "$?"
}
nothing_held() {
    sleep 1
    kwasmi status >out
    grep -qx 'modules: 0' out && grep -qx 'instances: 0' out && grep -qx 'heap: 0 bytes in 0 blocks' out ||
        { cat out; return 1; }
}
innocent() { equal "Hello from C!" "$(kwasmi run /guests/hello-c.wasm)"; }
# killed NAME: a guest without limits, in the middle of what it does.
killed() {
    kwasmi run "$guests/$1.wasm" <"$(input "$1")" >/dev/null 2>&1 &
    sleep 0.5
    kill -KILL $!
    wait $! 2>/dev/null
    equal 137 $?
}

while IFS=$tab read -r name options status words; do
    [ "$options" != - ] || options=
    check "$name" alone "$name" "$options" "$status" "$words"
done <$guests/expected
check "nothing is held afterwards" nothing_held
check "an innocent guest runs" innocent

for name in loop-plain loop-dispatch loop-random start-loop tail-calls memory-fill memory-copy table-fill table-copy \
    sleep-forever sleep-4096 poll-loop read-forever write-flood fills-in-a-row; do
    check "SIGKILL: $name" killed $name
done
check "nothing is held after that" nothing_held

pids=
# All at once; each has as much time as it needs beside the others.
while IFS=$tab read -r name options status words; do
    [ "$options" != - ] || options=
    {
        start "$name" "$options"
        echo $? >"$name.status"
    } &
    pids="$pids $!"
done <$guests/expected
# shellcheck disable=SC2086 # a list
wait $pids
kill "$silence"
while IFS=$tab read -r name options status words; do
    check "$name, all at once" ended "$name" "$status" "$words" "$(cat "$name.status")"
done <$guests/expected
check "nothing is held after all at once" nothing_held
check "an innocent guest runs after all at once" innocent
finish
