#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0
# End-to-end tests of kwasmi-vm with real VMs: streams, arguments, files, exit statuses, failed
# boots.
. qemu/suites/ktap.sh

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tool=target/x86_64-unknown-linux-gnu/release/kwasmi-vm

# vm [OPTION]... -- COMMAND [ARG]...: runs a VM with a time limit, so that a test that hangs fails.
vm() { "$tool" run --timeout=120 "$@"; }

# Line on standard error about a boot that failed and was repeated.
again='^kwasmi: boot [12] failed before kwasmi\.ko was inserted, booting again: '
# own_errors FILE: prints FILE without such lines, which any run may have.
own_errors() { LC_ALL=C sed "/$again/d" "$1"; }

# ends STATUS COMMAND...: checks the exit status of the command.
ends() {
    local expected=$1 status=0
    shift
    "$@" || status=$?
    equal "$expected" "$status"
}

head -c 1100000 /dev/urandom >"$work/random"

stdin_to_stdout() {
    vm -- cat <"$work/random" >"$work/out" 2>"$work/err" && cmp "$work/random" "$work/out" && equal "" "$(own_errors "$work/err")"
}
stdin_to_both() {
    vm -- tee /dev/stderr <"$work/random" >"$work/out" 2>"$work/err" && cmp "$work/random" "$work/out" &&
        own_errors "$work/err" | cmp "$work/random"
}
slow_reader() {
    vm -- cat <"$work/random" | { sleep 10; cat; } | cmp - "$work/random"
}
slow_writer() {
    { echo one; sleep 8; echo two; } | vm -- cat >"$work/out" && equal $'one\ntwo' "$(cat "$work/out")"
}
closed_reader() {
    vm -- sh -c 'yes; echo "yes $?" >&2' 2>"$work/err" | head -n 1 >"$work/out"
    equal "y yes 141" "$({ cat "$work/out"; own_errors "$work/err"; } | paste -sd' ')"
}
unread_stdin() { yes | vm -- true; }
no_streams() { ends 3 vm -- sh -c 'cat; exit 3' <&- >&- 2>&-; }
daemon() { vm -- sh -c 'sleep 1000 & echo left' | cmp - <(echo left); }

odd=('a  b' $'new\nline' '"' "'" '' $'\xff\x01' '$HOME' '\' '*' '--' '-x' "$(head -c 100000 /dev/zero | tr '\0' x)")
arguments() {
    vm -- sh -c 'printf "%s\0" "$@"' sh "${odd[@]}" | cmp - <(printf '%s\0' "${odd[@]}")
}

added=$work/$'add \xff\n'
mkdir -p "$added/folder"
echo text >"$added/folder/it's"
printf '#!/bin/sh\necho ran "$1"\n' >"$added/program"
chmod 750 "$added/program"
ln -s folder "$added/link"
added_files() {
    vm --add "$added" $'odd \xff\n' --add "$added/program" -program --out "$work/back" -- \
        sh -c '/host/-program it && cd /host/odd* && cp -a . /out && ln -s gone /out/dangling && mkfifo /tmp/fifo' \
        >"$work/out" && equal "ran it" "$(cat "$work/out")" && diff -r --no-dereference "$added" "$work/back" >"$work/diff"
    equal "Only in $work/back: dangling" "$(cat "$work/diff")" &&
        equal "$(stat -c '%a %Y' "$added/program")" "$(stat -c '%a %Y' "$work/back/program")"
}
same_name() { ends 125 vm --add "$added" x --add "$work" x -- true; }
odd_file_out() { ends 125 vm --out "$work/fifo" -- mkfifo /out/fifo && [ ! -e "$work/fifo/fifo" ]; }
too_large() {
    truncate -s 200M "$work/large" && ends 125 vm --memory=256 --add "$work/large" large -- true 2>&1 | tee "$work/out" &&
        grep -q 'see --memory' "$work/out"
}

statuses() {
    ends 7 vm -- sh -c 'exit 7' && ends 137 vm -- sh -c 'kill -9 $$'
}
cannot_start() {
    ends 127 vm -- /nonexistent && ends 126 vm -- /etc/passwd
}
usage() {
    ends 125 vm --bogus && ends 125 vm --cpus=0 -- true && ends 125 vm --param=noequals -- true
}
no_such_parameter() {
    ends 125 vm --param=nonexistent=1 -- true 2>&1 | tee "$work/out" && grep -q "no parameter 'nonexistent'" "$work/out"
}
no_kernel() { KWASMI_KERNEL=/nonexistent ends 125 vm -- true; }

# fails STATUS TEXT ARG...: checks the status and the last line of a failure, which follows the end
# of the kernel log.
fails() {
    local status=$1 text=$2
    shift 2
    ends "$status" "$tool" run "$@" 2>"$work/err" || { cat "$work/err"; return 1; }
    tail -n 1 "$work/err" | grep -q "$text" && grep -q 'the end of the kernel log' "$work/err" || { cat "$work/err"; return 1; }
}
kernel_panic() { fails 121 'kwasmi: the kernel failed: .*sysrq triggered crash' -- sh -c 'echo c >/proc/sysrq-trigger; sleep 100'; }
# The command itself succeeds.
kernel_warning() { fails 121 'WARNING: from a test' -- sh -c 'echo "WARNING: from a test" >/dev/kmsg'; }
hang() { fails 122 'time-out: the run took longer than 15 s' --timeout=15 -- sleep 1000; }
power_off() { fails 123 'the VM went away before the command ended: it was turned off or reset' --timeout=120 -- sh -c 'poweroff; sleep 100'; }
reboot() { fails 123 'the VM went away before the command ended: it was turned off or reset' --timeout=120 -- reboot -f; }
kernel_argument() { vm --kernel-argument one=1 --kernel-argument two -- grep -q ' one=1 two$' /proc/cmdline; }
kernel_log() { vm --log -- true 2>&1 | grep -q 'Linux version'; }
# Trailing spaces are removed from both.
whole_kernel_log() {
    vm --log -- dmesg 2>"$work/err" | sed 's/ *$//' >"$work/out" && sed 's/ *$//' "$work/err" >"$work/log" &&
        grep -q 'Linux version' "$work/out" && equal "" "$(grep -vxFf "$work/log" "$work/out")"
}

# boots STATUS COUNT OPTION... -- COMMAND...: checks the status, and that standard error reports
# COUNT failed boots. Leaves standard error in $work/err.
boots() {
    local status=$1 count=$2
    shift 2
    ends "$status" vm "$@" 2>"$work/err" && equal "$count" "$(grep -c "$again" "$work/err")" && return
    cat "$work/err"
    return 1
}
says() { grep -q "$1" "$work/err" || { cat "$work/err"; return 1; }; }

# Without this program and a root file system, the kernel panics.
panics='rdinit=/nonexistent'
# These end the first process, or make it wait forever.
resets='rdinit=/sbin/reboot -f'
hangs='rdinit=/bin/cat'
boot_panic() {
    boots 5 1 --first-boots 1 "$panics" -- sh -c 'cat; exit 5' <<<input >"$work/out" && equal input "$(cat "$work/out")" &&
        equal 1 "$(wc -l <"$work/err")" && says 'booting again: the kernel failed: .*Kernel panic'
}
boot_reset() { boots 0 2 --first-boots 2 "$resets" -- true && says 'booting again: the VM went away .*turned off or reset'; }
boot_hang() { boots 0 1 --boot-timeout=60 --first-boots 1 "$hangs" -- true && says 'booting again: the boot took longer than 60 s'; }
boot_fault() { boots 0 1 --first-boots 1 'text="BUG: from a test"' -- true && says 'booting again: the kernel failed: .*BUG: from a test'; }
boots_fail() {
    boots 121 2 --first-boots 3 "$panics" -- true &&
        tail -n 1 "$work/err" | grep -q '^kwasmi: all 3 boots failed before kwasmi.ko was inserted; the last one: the kernel failed: '
}
# The line about the boot is printed when the boot fails, and again between the logs.
boot_logs() {
    boots 0 2 --log --first-boots 1 "$panics" -- true && equal 2 "$(grep -c 'Linux version' "$work/err")"
}
boot_qemu_dies() {
    vm --first-boots 1 "$hangs" -- true 2>"$work/err" &
    shell_id=$!
    for ((i = 0; i < 600; i++)); do
        tool_id=$(pgrep -P "$shell_id" -f 'kwasmi-vm run' || echo "$shell_id")
        pgrep -P "$tool_id" qemu >"$work/qemu" && break
        sleep 0.1
    done
    kill -KILL "$(cat "$work/qemu")" && ends 0 wait "$shell_id" && says 'booting again: the VM went away .*QEMU ended by signal: 9'
}
# With this argument the kernel panics in the system call that inserts an out-of-tree module.
insertion_panics() { boots 121 0 --kernel-argument panic_on_taint=0x1000 -- true && says 'panic_on_taint set'; }
# These failures are after the insertion of the module.
later_failures() {
    boots 121 0 -- sh -c 'echo c >/proc/sysrq-trigger; sleep 100' && boots 123 0 -- reboot -f &&
        boots 122 0 --timeout=60 -- sleep 1000
}
refused() { boots 125 0 --param verify=nonsense -- true && says 'the kernel refused kwasmi.ko'; }

# Starts a VM in the background and waits for its command. Sets shell_id and tool_id.
starts() {
    rm -f "$work/up"
    # Without job control bash starts it with SIGINT ignored; the tool handles SIGINT anyway.
    vm -- sh -c 'echo up; sleep 1000' >"$work/up" 2>"$work/err" &
    shell_id=$!
    for ((i = 0; i < 600; i++)); do
        grep -qs up "$work/up" && break
        sleep 0.1
    done
    grep -q up "$work/up" || return
    tool_id=$(pgrep -P "$shell_id" -f 'kwasmi-vm run' || echo "$shell_id")
}
interrupt() {
    starts && kill -INT "$tool_id" && ends 130 wait "$shell_id"
}
qemu_dies() {
    starts && kill -KILL "$(pgrep -P "$tool_id" qemu)" && ends 123 wait "$shell_id" &&
        tail -n 1 "$work/err" | grep -q 'the VM went away before the command ended: QEMU ended by signal: 9'
}
terminal() {
    script -qec "stty rows 33 cols 77; $tool run --timeout=120 --terminal -- sh -c 'tty; stty size; exit 5'" /dev/null \
        </dev/null >"$work/out"
    equal "5 /dev/pts/0 33 77" "$? $(tr -d '\r\004\b' <"$work/out" | sed 's/\^[@D]//g' | paste -sd' ')"
}
side_by_side() {
    local ids=() id
    for n in 1 2 3; do
        vm -- sh -c "cat >/tmp/$n; ls /tmp; sleep 2; cat /tmp/$n" >"$work/out$n" <<<"vm $n" &
        ids+=($!)
    done
    for id in "${ids[@]}"; do wait "$id" || return; done
    for n in 1 2 3; do equal "$n vm $n" "$(paste -sd' ' "$work/out$n")" || return; done
}

# Prefix to run a command as an ordinary user. Root of a user namespace may be unable to change its
# user; then programs_without replaces `id` instead.
ordinary=(setpriv --reuid 65534 --regid 65534 --clear-groups)
"${ordinary[@]}" true 2>/dev/null || ordinary=()

# programs_without NAME: makes a folder with all programs of the host except this one.
programs_without() {
    rm -rf "$work/programs" && mkdir "$work/programs" && ln -s /usr/bin/* /usr/sbin/* "$work/programs" 2>/dev/null
    # Programs that the build root may lack.
    ln -sf /bin/true "$work/programs/mmdebstrap"
    ln -sf /bin/true "$work/programs/newuidmap"
    rm "$work/programs/$1"
    if [ ${#ordinary[@]} = 0 ]; then
        rm "$work/programs/id"
        printf '#!/bin/sh\n[ "$*" = -u ] && exec echo 65534\nexec /usr/bin/id "$@"\n' >"$work/programs/id"
        chmod 755 "$work/programs/id"
    fi
}
# lacks PROGRAM PACKAGE: checks that without PROGRAM a first setup prints one line with the remedy,
# and leaves only its folder.
lacks() {
    programs_without "$1"
    rm -rf "$work/cache" && mkdir -m 777 "$work/cache" && chmod 755 "$work"
    for script in setup run test build; do
        ends 125 "${ordinary[@]}" env -i PATH="$work/programs" HOME=/nonexistent KWASMI_CACHE="$work/cache" \
            bash "scripts/$script" >"$work/out" 2>"$work/err" </dev/null &&
            equal "kwasmi: missing on this machine; type: sudo apt-get install $2" "$(cat "$work/err")" &&
            equal "" "$(cat "$work/out")" || { echo "scripts/$script"; cat "$work/err"; return 1; }
    done
    equal "setup.lock tmp" "$(ls "$work/cache" | paste -sd' ')"
}
for pair in mmdebstrap:mmdebstrap tar:tar newuidmap:uidmap; do
    check "setup as an ordinary user names a missing program: ${pair%:*}" lacks "${pair%:*}" "${pair#*:}"
done

check "1 MiB passes from standard input to standard output" stdin_to_stdout
check "1 MiB passes from standard input to both outputs" stdin_to_both
check "a slow reader gets all output" slow_reader
check "a slow writer's input arrives" slow_writer
check "a command whose reader closes gets SIGPIPE" closed_reader
check "unread input does not delay the end" unread_stdin
check "standard streams may be closed" no_streams
check "a background process does not delay the end" daemon
check "arguments may contain any bytes" arguments
check "--add and --out copy files and folders" added_files
check "--add of the same name twice is refused" same_name
check "--out of a FIFO fails" odd_file_out
check "--add of more than the memory is explained" too_large
check "the exit status is the command's" statuses
check "commands that cannot start end with 126 or 127" cannot_start
check "wrong usage ends with 125" usage
check "--param of an unknown parameter is refused" no_such_parameter
check "a missing kernel ends with 125" no_kernel
check "a kernel panic ends with 121" kernel_panic
check "a kernel warning ends with 121" kernel_warning
check "a time-out ends with 122" hang
check "a power-off ends with 123" power_off
check "a reboot ends with 123" reboot
check "--kernel-argument adds arguments" kernel_argument
check "--log prints the kernel log" kernel_log
check "--log loses no line of the kernel log" whole_kernel_log
check "Ctrl-C ends with 130" interrupt
check "a killed QEMU ends with 123" qemu_dies
check "a boot that panics is repeated" boot_panic
check "a boot that resets the VM is repeated" boot_reset
check "a boot that hangs is repeated" boot_hang
check "a boot with a defect in the kernel log is repeated" boot_fault
check "a boot during which QEMU is killed is repeated" boot_qemu_dies
check "a VM is booted at most three times" boots_fail
check "--log prints the logs of all boots" boot_logs
check "a panic during the insertion of the module is not repeated" insertion_panics
check "a later failure is not repeated" later_failures
check "a module that the kernel refuses is not repeated" refused
check "--terminal gives the command a terminal" terminal
check "three VMs run at the same time" side_by_side
finish
