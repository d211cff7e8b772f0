#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Cases for every function of WASI, in the kernel and in an ordinary process on the same file
# system, which makes Linux's own system calls. Both must be correct and have the same results.
. /suites/ktap.sh
. /guests/wasi/world.sh

wasm=/guests/wasi/wasi.wasm
cd /tmp || exit
ip link set lo up

# tree: lists the directories with their files' attributes, without times, inodes and mounted file
# systems.
tree() { find scratch read-only -xdev | LC_ALL=C sort | tr '\n' '\0' | xargs -0 stat -c '%n %F %a %s %h %u %g'; }
# both: runs the cases in an ordinary process and in the kernel, each time with new directories.
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
# topic NAME: checks that the lines about a topic are the same both ways, and that none failed.
topic() {
    for way in native kernel; do
        grep "^$1: " $way.out >$way.topic
    done
    ! grep "^FAILED $1: " kernel.out && diff native.topic kernel.topic
}
# ends STATUS ARG...: checks the exit status of the program both ways.
ends() {
    expected=$1
    shift
    kwasmi-native $wasm "$@" >out 2>&1
    equal "$expected" $? || return
    kwasmi run $wasm "$@" >out 2>&1
    equal "$expected" $?
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
# batch COMMAND...: checks the guest that uses the C header of batches.
batch() {
    head -c 300000 /dev/urandom >random
    "$@" /guests/wasi/batch.wasm <random >copied 2>count || { cat count; return 1; }
    equal "300000 bytes" "$(cat count)" && cmp random copied || return
    cat random | "$@" /guests/wasi/batch.wasm 2>count | cat >copied
    equal "300000 bytes" "$(cat count)" && cmp random copied || return
    # Input larger than a pipe's buffer, a slow reader, and a nonblocking writer.
    "$@" /guests/wasi/batch.wasm nonblocking <random 2>count | { sleep 1; cat; } >copied
    equal "300000 bytes" "$(cat count)" && cmp random copied
}
# bytes COMMAND...: checks the guest that uses the C header of bytes.
bytes() {
    { echo "the first"; head -c 300000 /dev/urandom; } >random
    equal "$(tr -cd '\n' <random | wc -c) lines, the first of 9 bytes" "$("$@" /guests/wasi/bytes.wasm <random)"
}
# send PORT COMMAND...: checks a copy of a file to a socket with a slow reader.
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
# server PORT COMMAND...: checks a server that waits for three connections in one call.
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
check "the cases succeed in an ordinary process" ended_well native "$native"
check "the cases succeed in the kernel" ended_well kernel "$kernel"
check "there are more than 1,000 cases" [ "$(grep -vc ^FAILED kernel.out)" -gt 1000 ]
sed -n '/^FAILED/d; s/^\([^:]*\): .*/\1/p' native.out kernel.out | LC_ALL=C sort -u >topics
while read -r name; do
    check "$name: $(grep -c "^$name: " native.out) cases" topic "$name"
done <topics
check "the cases leave the same files behind both ways" diff native.tree kernel.tree
check "a server over sockets behaves the same both ways" sockets
check "a C library behaves as natively, in an ordinary process" twins /guests/wasi/libc.wasm /guests/native/wasi/libc kwasmi-native
check "a C library behaves as natively, in the kernel" twins /guests/wasi/libc.wasm /guests/native/wasi/libc kwasmi run
check "wasi_unstable agrees with preview 1, in an ordinary process" unstable /guests/wasi/unstable.wasm kwasmi-native
check "wasi_unstable agrees with preview 1, in the kernel" unstable /guests/wasi/unstable.wasm kwasmi run
check "batches work from C, in an ordinary process" batch kwasmi-native
check "batches work from C, in the kernel" batch kwasmi run
check "byte search works from C, in an ordinary process" bytes kwasmi-native
check "byte search works from C, in the kernel" bytes kwasmi run
check "a batch copies a file to a socket, in an ordinary process" send 4005 kwasmi-native
check "a batch copies a file to a socket, in the kernel" send 4006 kwasmi run
check "a batch server answers all clients, in an ordinary process" server 4003 kwasmi-native
check "a batch server answers all clients, in the kernel" server 4004 kwasmi run
for status in 0 7 255; do
    check "proc_exit $status is the exit status" ends $status exit $status
done
# beyond STATUS: checks that an exit status above 255 is a trap that names it, both ways.
beyond() {
    ends 134 exit "$1" && grep -qx "kwasmi: $wasm: trap: proc_exit: exit status $1 is outside 0..=255" out || { cat out; return 1; }
}
for status in 256 4294967295; do
    check "proc_exit $status traps" beyond $status
done
for signal in "2 130" "6 134" "9 137" "15 143" "23 152" "30 159"; do
    check "proc_raise ${signal% *} ends with ${signal#* }" ends "${signal#* }" raise "${signal% *}"
done
check "kwasmi holds nothing afterwards" nothing_held
finish
