# shellcheck shell=sh
# SPDX-License-Identifier: GPL-2.0
# Checks that programs behave as their native twins. Sourced after ktap.sh, with the folder of the
# programs in PROGRAMS and the command that runs a module in RUNNER, which takes --dir
# HOST[::GUEST][:ro] and --env NAME=VALUE.
#
# A case is a function that makes files, calls `run`, and may look at the results. It is called
# twice, once for the native program and once for the module, each time in an empty folder, which is
# all that the program can access. Output, errors, statuses and files must be the same, byte for
# byte.

# Names must be sorted in the same order by both.
unset LANG LC_ALL

# set_env NAME=VALUE: sets a variable for the following programs.
set_env() { settings=$1; }

# run PROGRAM [ARG]...: runs the native program or the module, and records its status.
run() {
    program=$1
    shift
    status=0
    if [ "$side" = native ]; then
        # shellcheck disable=SC2086,SC2163,SC3038 # lists; busybox has it
        (export HOME=/nonexistent $settings && exec -a "$program.wasm" "$PROGRAMS/native/$program" "$@") || status=$?
    else
        # shellcheck disable=SC2086 # lists
        $RUNNER --dir . $places --env HOME=/nonexistent ${settings:+--env $settings} "$PROGRAMS/$program.wasm" "$@" ||
            status=$?
    fi
    echo "$program: $status" >>../statuses
}

# place NAME FOLDER: makes FOLDER available to the program as NAME, for reading.
place() {
    if [ "$side" = native ]; then
        ln -s "$2" "$1"
    else
        places="$places --dir $2::$1:ro"
    fi
}

# both SIDE CASE: runs a case on one side.
both() (
    side=$1 settings='' places=''
    mkdir -p "$side/files"
    cd "$side/files" || exit
    "$2" >../output 2>../messages.raw </dev/null
    # Error numbers depend on the system; their texts do not.
    sed 's/ (os error [0-9]*)//' ../messages.raw >../messages
    rm ../messages.raw
    for link in *; do
        # Links that `place` has made.
        case $(readlink "$link") in
            "$PROGRAMS"/*) rm "$link" ;;
        esac
    done
)

same() {
    rm -rf native module
    both native "$1"
    both module "$1"
    equal "$(cat native/statuses)" "$(cat module/statuses)" && diff -r native module || { cat module/messages; return 1; }
}

# twin TITLE CASE: reports the result of a case.
twin() { check "$1" same "$2"; }
