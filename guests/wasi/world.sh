# shellcheck shell=sh
# SPDX-License-Identifier: GPL-2.0
# Sourced by tests: makes the directories for wasi.wasm and runs its cases.

# make_world: makes the directories in the current one, with objects that a guest cannot make.
# Device and mounts only if the caller is allowed to.
make_world() {
    mkdir -p scratch/host/mounted scratch/host/sealed read-only/dir || return
    mkfifo scratch/host/pipe
    mknod scratch/host/null c 1 3 2>/dev/null
    ln -s /etc/passwd scratch/host/absolute
    ln -s /etc scratch/host/absolute-directory
    ln -s ../../read-only scratch/host/up
    printf content >read-only/file
    printf inner >read-only/dir/inner
    ln -s file read-only/link
    if mount -t tmpfs none scratch/host/mounted 2>/dev/null; then
        mount -t tmpfs none scratch/host/sealed || return
        mkdir scratch/host/sealed/dir
        printf content >scratch/host/sealed/file
        mount -o remount,ro scratch/host/sealed || return
    fi
}

# remove_world: unmounts and removes the directories.
remove_world() {
    umount scratch/host/mounted scratch/host/sealed 2>/dev/null
    rm -rf scratch read-only
}

# cases FILE COMMAND...: runs all cases by COMMAND, which takes the options of `kwasmi run`.
cases() {
    wasi_file=$1
    shift
    rm -f silence
    mkfifo silence
    # Opened for reading and writing, so that opening does not wait. Nothing is ever written.
    "$@" --env A=1 --env EMPTY= --env 'SPACES= a b ' --dir scratch --dir read-only:ro \
        "$wasi_file" all one 'two words' '' ünïcode <>silence
}

# conversation FILE PORT COMMAND...: runs the cases of sockets by COMMAND, with a client. Its input
# is in client.out.
conversation() {
    wasi_file=$1 wasi_port=$2
    shift 2
    {
        until [ -e scratch/listening ]; do sleep 0.1; done
        { printf hello; until grep -q two client.out; do sleep 0.1; done; } | nc 127.0.0.1 "$wasi_port" >client.out
    } &
    : >client.out
    "$@" --dir scratch --dir read-only:ro --tcp-listen "127.0.0.1:$wasi_port" "$wasi_file" sockets </dev/null
    wasi_status=$?
    wait $!
    return "$wasi_status"
}

# unstable FILE COMMAND...: checks the functions of wasi_unstable against those of preview 1.
unstable() {
    wasi_file=$1
    shift
    rm -rf there
    mkdir there
    "$@" --dir there "$wasi_file" >unstable.out && grep -qx '[1-9][0-9]* comparisons, 0 differences' unstable.out ||
        { cat unstable.out; return 1; }
}

# twins FILE TWIN COMMAND...: checks that a C program prints the same by COMMAND as its native twin.
twins() {
    wasi_file=$1 wasi_twin=$2
    shift 2
    rm -rf silence here there
    mkfifo silence
    mkdir here there
    (cd here && TWIN=yes "$wasi_twin" <>../silence) >here.out || return
    "$@" --env TWIN=yes --dir there::. "$wasi_file" <>silence >there.out || return
    diff here.out there.out
}
