#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# options: --env KWASMI_TEST_PERCENT
# Loading and unloading of kwasmi.ko, its parameters, and its limits over all guests.
. /suites/ktap.sh

ko=/lib/kwasmi/kwasmi.ko
rmmod kwasmi
insmod $ko verify=off

# A reload takes seconds on the debug kernel.
reloads=$((10 + 90 * ${KWASMI_TEST_PERCENT:-100} / 100))
reload_often() {
    for round in $(seq $reloads); do
        rmmod kwasmi || return
        [ ! -e /dev/kwasmi ] || return
        insmod $ko verify=off || return
        # A guest runs in every tenth round.
        case $round in *0) kwasmi run /guests/hello-c.wasm >/dev/null || return ;; esac
    done
}
refuses_unload() { ! rmmod kwasmi 2>/dev/null; }
can_unload() { rmmod kwasmi && [ ! -e /dev/kwasmi ] && ! grep -q '^kwasmi ' /proc/modules; }
resident_at_most() {
    resident=$(awk '$1 == "kwasmi" { print $2 }' /proc/modules)
    echo "$resident bytes"
    [ "$resident" -le "$1" ]
}
nothing_held() {
    kwasmi status >/tmp/status
    grep -qx 'modules: 0' /tmp/status && grep -qx 'instances: 0' /tmp/status &&
        grep -qx 'heap: 0 bytes in 0 blocks' /tmp/status || { cat /tmp/status; return 1; }
}
# Checks that the memory of a guest is charged to the memory cgroup of the process that runs it.
is_charged() {
    group=/sys/fs/cgroup/kwasmi-test
    echo +memory >/sys/fs/cgroup/cgroup.subtree_control
    mkdir $group
    sh -c "echo \$\$ >$group/cgroup.procs; exec kwasmi run --memory 24M /guests/fixtures/grow.wat"
    echo "peak: $(cat $group/memory.peak) bytes"
    [ "$(cat $group/memory.peak)" -ge 25165824 ] && rmdir $group
}
shared() { kwasmi run --stats --json "$@" 2>&1 >/dev/null | sed -n 's/.*"shared":\([a-z]*\).*/\1/p'; }
is_kept() {
    equal false "$(shared /guests/hello-c.wasm)" || return
    mkfifo /tmp/loaded
    kwasmi load /guests/hello-c.wasm /guests/hello-rust.wasm >/tmp/loaded &
    loading=$!
    # Reads to the end, which is when all programs are loaded.
    cat </tmp/loaded >/tmp/names
    equal "/guests/hello-c.wasm /guests/hello-rust.wasm" "$(sed 's/^[0-9a-f]\{64\} //' /tmp/names | tr '\n' ' ' | sed 's/ $//')" &&
        equal true "$(shared /guests/hello-c.wasm)" &&
        equal true "$(shared --timeout 60 /guests/hello-rust.wasm)" &&
        equal false "$(shared --fuel 10000000 /guests/hello-rust.wasm)" &&
        equal false "$(shared --stack 64K /guests/hello-c.wasm)"
    status=$?
    kill $loading
    wait $loading 2>/dev/null
    rm /tmp/loaded
    sleep 1
    [ $status = 0 ] && equal false "$(shared /guests/hello-c.wasm)"
}
load_fails() {
    kwasmi load "$2" >/tmp/out 2>/tmp/err
    equal "$1" $? && equal "" "$(cat /tmp/out)" && equal 1 "$(wc -l </tmp/err | tr -d ' ')"
}
bad_parameter() { ! insmod $ko memory_max=much 2>/dev/null && ! insmod $ko verify=maybe 2>/dev/null; }

check "at most 3.5 MiB of the module are resident" resident_at_most 3670016
check "the module is loaded and unloaded $reloads times" reload_often

check "a guest's memory is charged to the caller's cgroup" is_charged

check "kwasmi load keeps the translations of programs until it is ended" is_kept
check "kwasmi load refuses a file that is not Wasm" load_fails 126 /suites/module.sh
check "kwasmi load of a missing file fails with 127" load_fails 127 /nothing.wasm

exec 5<>/dev/kwasmi
check "the module is not unloaded while the device is open" refuses_unload
exec 5>&-

kwasmi run /guests/fixtures/loop.wat &
guest=$!
guest_runs
check "the module is not unloaded while a guest runs" refuses_unload
kill -9 $guest
wait $guest 2>/dev/null
# The kernel releases the files of a process shortly after its end.
sleep 1
check "kwasmi holds nothing after the guest was killed" nothing_held
check "the module is unloaded when it is not used" can_unload
check "invalid parameter values are refused" bad_parameter
check "the module is loaded with ceilings" insmod $ko verify=off memory_max=67108864 module_size_max=1048576 total_instances_max=1
check "a ceiling from a parameter applies" sh -c 'kwasmi run --memory 65M /guests/hello-c.wasm 2>&1 | grep -q "limit reached: memory 64M (memory: requested 68157440, least 1, greatest 67108864)"'
check "a module above the limit is refused" sh -c 'kwasmi run /guests/big.wasm; [ $? = 124 ]'
check "a module below it runs" kwasmi run /guests/hello-c.wasm
one_at_a_time() {
    kwasmi run /guests/fixtures/loop.wat &
    guest_runs || return
    kwasmi run /guests/hello-c.wasm 2>/tmp/err
    status=$?
    kill -9 $!
    wait $! 2>/dev/null
    equal 124 $status && grep -q 'limit reached: total-instances 1$' /tmp/err
}
# remade PARAMETER...: loads the module again with these parameters.
remade() {
    sleep 1
    rmmod kwasmi && insmod $ko verify=off "$@"
}
# says WORDS COMMAND...: checks that the command fails at a limit, with a message that contains
# these words.
says() {
    words=$1
    shift
    "$@" 2>/tmp/err
    equal 124 $? && grep -q "$words" /tmp/err || { cat /tmp/err; return 1; }
}
check "no more instances than allowed" one_at_a_time
check "the module is loaded with a ceiling for all heaps" remade total_heap_max=1000000
check "all heaps together have their limit" says 'limit reached: total-heap 1000000 bytes' kwasmi run /guests/fixtures/grow.wat
check "the heap of the ended guest is freed" sh -c 'kwasmi status | grep -q "^heap: 0 bytes"'
total_heap() { kwasmi limits | awk '$1 == "total-heap" { print $2 }'; }
in_bytes() { case $1 in *G) echo $((${1%G} << 30)) ;; *M) echo $((${1%M} << 20)) ;; *K) echo $((${1%K} << 10)) ;; *) echo "$1" ;; esac; }
# MemTotal does not depend on the memory in use: it is all memory that the kernel manages.
half_of_memory() { equal $(($(awk '/^MemTotal:/ { print $2 }' /proc/meminfo) * 512)) "$(in_bytes "$(total_heap)")"; }
check "the module is loaded without a ceiling for all heaps" remade
check "the default limit of all heaps is half of the memory" half_of_memory
check "the module is loaded with total_modules_max=0" remade total_modules_max=0
check "no more modules than allowed" says 'limit reached: total-modules 0$' kwasmi run /guests/hello-c.wasm
check "the module is loaded with total_running_max=0" remade total_running_max=0
check "no more running than allowed" says 'limit reached: total-running 0$' kwasmi run /guests/hello-c.wasm
cat >/tmp/load.wat <<'EOF'
(module (memory (export "memory") 1)
    (func (export "_start") (local i32) (i32.store (i32.load (local.tee 0 (i32.load (i32.const 8)))) (i32.load offset=40000 (local.get 0)))))
EOF
# masks NUMBER: checks how many indices of memory 0 the machine code masks.
masks() { kwasmi run /tmp/load.wat && kwasmi dump /tmp/load.wat >/tmp/out && equal "$1" "$(grep -c 'u64 \*)(r6 +16)' /tmp/out)"; }
check "the module is loaded without masks" remade speculation_masks=0
check "indices are not masked" masks 0
check "the module is loaded again" remade
check "indices are masked" masks 3
finish
