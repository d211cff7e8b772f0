# shellcheck shell=sh
# SPDX-License-Identifier: GPL-2.0
# Compares programs in kwasmi with the same programs in wasmtime. Sourced after ktap.sh, with the
# folder of the programs in PUBLIC.
#
# A case is a function that makes files and calls `run`. Each side calls it in an empty folder, which
# is all that the programs can access. Output, errors, statuses and files must be the same, byte for
# byte. The sourcing script defines
#
#     on_kwasmi, on_wasmtime [OPTION]... MODULE [ARG]...    runs a module; OPTION is --dir HOST[::GUEST],
#                                                           --env NAME=VALUE or --LIMIT N
#     INTERPRETED         not empty if kwasmi interprets all programs
#     expected_results NAME     puts the results of wasmtime for case NAME into the folder `wasmtime`

# Both sides must sort names in the same order.
unset LANG LC_ALL

# column PROGRAM NUMBER: prints a column of the list.
column() { awk -v name="$1" -v number="$2" '$1 == name { print $number }' "$PUBLIC/list"; }

# needs PROGRAM: prints what the program needs beyond the defaults, one a line.
needs() { column "$1" 7 | tr ',' '\n'; }

# limits PROGRAM: prints options for the limits that the program needs.
limits() { needs "$1" | sed -n 's/^\(.*\)=\(.*\)$/--\1 \2/p'; }

# set_env NAME=VALUE: sets a variable for the following programs of this case, on this side.
set_env() { settings="$settings --env $1"; }

# data NAME: copies files of a package into the current folder.
data() { cp -r "$PUBLIC/data/$1/." .; }

# place HOST NAME: makes the folder HOST available to the following programs under another name.
place() { places="$places --dir $1::$2"; }

# run PROGRAM [ARG]...: runs a program of the list, or a module that a program has made (a name with
# a slash), and records its status.
run() {
    program=$1
    shift
    module=$program
    options=''
    case $program in
        */*) ;;
        *)
            module=$PUBLIC/$program.wasm
            options=$(limits "$program")
            ;;
    esac
    status=0
    # shellcheck disable=SC2086 # lists
    "on_$side" $options --dir . $places $settings "$module" "$@" || status=$?
    echo "$program: $status" >>../statuses
}

# on SIDE CASE: calls a case on one side, with the results in the folder SIDE.
on() (
    side=$1 settings='' places=''
    rm -rf "$side"
    mkdir -p "$side/files"
    cd "$side/files" || exit
    "$2" >../output 2>../messages </dev/null
    # Files of packages are the same on both sides.
    rm -rf ./preopens
)

same() {
    expected_results "$1" && on kwasmi "$1" &&
    equal "$(cat wasmtime/statuses)" "$(cat kwasmi/statuses)" && diff -r wasmtime kwasmi || { cat kwasmi/messages; return 1; }
}

# refused PROGRAM: prints the reason for which kwasmi refuses a program; fails if it does not.
refused() {
    status=0
    # shellcheck disable=SC2046 # a list
    on_kwasmi $(limits "$1") "$PUBLIC/$1.wasm" >/dev/null 2>messages </dev/null || status=$?
    [ "$status" = 126 ] && sed -n '$s/^[^ ]*: [^ ]*: //p' messages
}

is_refused() { refused "$1" >/dev/null || { echo "$1: the list marks it as refused, but kwasmi does not refuse it: status $status"; cat messages; return 1; }; }

# is_marked PROGRAM: succeeds if kwasmi must refuse the program here.
is_marked() {
    needs "$1" | grep -qx refused || { [ -n "${INTERPRETED:-}" ] && needs "$1" | grep -qx exceptions; }
}

# public TITLE CASE PROGRAM...: runs a case of these programs and reports the result. If kwasmi must
# refuse one of them, the case does not run: it is skipped if kwasmi refuses that program, and fails if
# not.
public() {
    title=$1 case=$2
    shift 2
    for program in "$@"; do
        if is_marked "$program"; then
            if reason=$(refused "$program"); then
                skip "$title" "$reason"
            else
                check "$title" is_refused "$program"
            fi
            return
        fi
    done
    check "$title" same "$case"
}
