# shellcheck shell=sh
# SPDX-License-Identifier: GPL-2.0
# What a program does is what its native twin does: sourced, after ktap.sh, by who says where the programs are (PROGRAMS), and
# what runs a module with a folder (RUNNER, which takes --dir HOST[::GUEST][:ro] and --env NAME=VALUE).
#
# A case is a function that makes files, calls `run`, and may look at what came of it. It is called twice, each time in an empty
# folder, which is all that the program is given: once natively, once as a module. Then output, errors, statuses, and files are
# the same, byte for byte.

# Names are to be in the same order for both.
unset LANG LC_ALL

# given NAME=VALUE: is in the environment of the programs that follow.
given() { settings=$1; }

# run PROGRAM [ARG]...
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

# place NAME FOLDER: gives the program FOLDER to read as NAME.
place() {
    if [ "$side" = native ]; then
        ln -s "$2" "$1"
    else
        places="$places --dir $2::$1:ro"
    fi
}

# both SIDE CASE: on one side.
both() (
    side=$1 settings='' places=''
    mkdir -p "$side/files"
    cd "$side/files" || exit
    "$2" >../output 2>../messages.raw </dev/null
    # Numbers of errors are the system's own; their names are not.
    sed 's/ (os error [0-9]*)//' ../messages.raw >../messages
    rm ../messages.raw
    for link in *; do
        # What `place` has made.
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

# twin TITLE CASE: the case, as a result.
twin() { check "$1" same "$2"; }
