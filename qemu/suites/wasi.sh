#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Every function of WASI, case by case: in the kernel and in an ordinary process on the same file system, which is what Linux's
# own system calls do. Both are right, and both are the same.
. /suites/ktap.sh
. /guests/wasi/world.sh

wasm=/guests/wasi/wasi.wasm
cd /tmp || exit
ip link set lo up

# tree: what is in the directories, but for times, inodes and what is mounted there.
tree() { find scratch read-only -xdev | LC_ALL=C sort | tr '\n' '\0' | xargs -0 stat -c '%n %F %a %s %h %u %g'; }
# both: runs the cases both ways, each in a world of its own.
both() {
    make_world
    cases $wasm kwasmi-native >native.out 2>native.err
    native=$?
    tree >native.tree
    remove_world
    make_world
    cases $wasm kwasmi run >kernel.out 2>kernel.err
    kernel=$?
    tree >kernel.tree
    remove_world
}
ended_well() {
    status=0
    equal 0 "$2" || status=1
    equal "" "$(cat "$1.err")" || status=1
    grep FAILED "$1.out" && status=1
    return "$status"
}
# topic NAME: the same lines about it, and none that says that it failed.
topic() {
    for way in native kernel; do
        grep "^$1: " $way.out >$way.topic
    done
    ! grep "^FAILED $1: " kernel.out && diff native.topic kernel.topic
}
# ends STATUS ARG...: how the program ends, both ways.
ends() {
    wanted=$1
    shift
    kwasmi-native $wasm "$@" >out 2>&1
    equal "$wanted" $? || return
    kwasmi run $wasm "$@" >out 2>&1
    equal "$wanted" $?
}
sockets() {
    make_world
    conversation $wasm 4001 kwasmi-native >native.out || { cat native.out; return 1; }
    equal "one file two" "$(cat client.out)" || return
    rm scratch/listening
    conversation $wasm 4002 kwasmi run >kernel.out || { cat kernel.out; return 1; }
    equal "one file two" "$(cat client.out)" || return
    remove_world
    diff native.out kernel.out
}
# batch COMMAND...: the C header.
batch() {
    head -c 300000 /dev/urandom >random
    "$@" /guests/wasi/batch.wasm <random >copied 2>count || { cat count; return 1; }
    equal "300000 bytes" "$(cat count)" && cmp random copied || return
    cat random | "$@" /guests/wasi/batch.wasm 2>count | cat >copied
    equal "300000 bytes" "$(cat count)" && cmp random copied || return
    # More than a pipe holds, a reader that is late, and a writer that does not want to wait.
    "$@" /guests/wasi/batch.wasm nonblocking <random 2>count | { sleep 1; cat; } >copied
    equal "300000 bytes" "$(cat count)" && cmp random copied
}
# bytes COMMAND...: the other C header.
bytes() {
    { echo "the first"; head -c 300000 /dev/urandom; } >random
    equal "$(tr -cd '\n' <random | wc -c) lines, the first of 9 bytes" "$("$@" /guests/wasi/bytes.wasm <random)"
}
# send PORT COMMAND...: a file to a socket, whose reader is late.
send() {
    send_port=$1
    shift
    head -c 3000000 /dev/urandom >random
    printf '#!/bin/sh\nexec %s /guests/wasi/batch.wasm nonblocking <random 2>count\n' "$*" >sender
    chmod +x sender
    nc -l -p "$send_port" -e ./sender &
    sender=$!
    until netstat -ltn | grep -q ":$send_port " || ! kill -0 $sender; do sleep 0.1; done
    nc 127.0.0.1 "$send_port" </dev/null | { sleep 1; cat; } >copied
    wait $sender
    equal "3000000 bytes" "$(cat count)" && cmp random copied
}
# server COMMAND...: three connections at once to a server that waits for all of them in one call.
server() {
    server_port=$1
    shift
    rm -rf scratch
    mkdir -p scratch read-only
    "$@" --dir scratch --dir read-only:ro --tcp-listen "127.0.0.1:$server_port" $wasm server 3 </dev/null >server.out 2>&1 &
    server=$!
    until [ -e scratch/listening ] || ! kill -0 $server; do sleep 0.1; done
    clients=
    for client in 1 2 3; do
        { for word in a bb ccc; do echo "$client$word"; sleep 0.2; done; } | nc 127.0.0.1 "$server_port" >client.$client &
        clients="$clients $!"
    done
    # shellcheck disable=SC2086 # one word each
    wait $server $clients || { cat server.out; return 1; }
    for client in 1 2 3; do
        equal "${client}a ${client}bb ${client}ccc" "$(tr '\n' ' ' <client.$client | sed 's/ $//')" || return
    done
    equal "3 connections, 9 answers" "$(cat server.out)"
}
nothing_held() {
    sleep 1
    kwasmi status >out
    grep -qx 'modules: 0' out && grep -qx 'instances: 0' out && grep -qx 'heap: 0 bytes in 0 blocks' out ||
        { cat out; return 1; }
}

both
check "an ordinary process" ended_well native "$native"
check "the kernel" ended_well kernel "$kernel"
check "over a thousand cases" [ "$(grep -vc ^FAILED kernel.out)" -gt 1000 ]
sed -n '/^FAILED/d; s/^\([^:]*\): .*/\1/p' native.out kernel.out | LC_ALL=C sort -u >topics
while read -r name; do
    check "$name: $(grep -c "^$name: " native.out) cases" topic "$name"
done <topics
check "what is left behind" diff native.tree kernel.tree
check "sockets" sockets
check "a C library, in an ordinary process" twins /guests/wasi/libc.wasm /guests/native/wasi/libc kwasmi-native
check "a C library" twins /guests/wasi/libc.wasm /guests/native/wasi/libc kwasmi run
check "batches from C, in an ordinary process" batch kwasmi-native
check "batches from C" batch kwasmi run
check "bytes from C, in an ordinary process" bytes kwasmi-native
check "bytes from C" bytes kwasmi run
check "a file to a socket, in an ordinary process" send 4005 kwasmi-native
check "a file to a socket" send 4006 kwasmi run
check "a server of batches, in an ordinary process" server 4003 kwasmi-native
check "a server of batches" server 4004 kwasmi run
for status in 0 7 255; do
    check "proc_exit $status" ends $status exit $status
done
# beyond STATUS: an exit status that no process has is a trap, which names it, both ways.
beyond() {
    ends 134 exit "$1" && grep -qx "kwasmi: $wasm: trap: proc_exit: exit status $1 is outside 0..=255" out || { cat out; return 1; }
}
for status in 256 4294967295; do
    check "proc_exit $status" beyond $status
done
for signal in "2 130" "6 134" "9 137" "15 143" "23 152" "30 159"; do
    check "proc_raise ${signal% *}" ends "${signal#* }" raise "${signal% *}"
done
check "nothing is held afterwards" nothing_held
finish
