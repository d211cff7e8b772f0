# shellcheck shell=sh
# SPDX-License-Identifier: GPL-2.0
# What the cases of wasi.wasm begin with, and how they are run: for the tests to source.

# make_world: the directories, in the present one, with what a guest cannot make itself, as far as the caller can.
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

# remove_world: all of it.
remove_world() {
    umount scratch/host/mounted scratch/host/sealed 2>/dev/null
    rm -rf scratch read-only
}

# cases FILE COMMAND...: all cases, by COMMAND, which runs a program with the options of `kwasmi run`.
cases() {
    wasi_file=$1
    shift
    rm -f silence
    mkfifo silence
    # Neither end waits for the other; nothing is ever written.
    "$@" --env A=1 --env EMPTY= --env 'SPACES= a b ' --dir scratch --dir read-only:ro \
        "$wasi_file" all one 'two words' '' ünïcode <>silence
}

# conversation FILE PORT COMMAND...: the cases of sockets, by COMMAND; what the client got is in client.out.
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

# twins FILE TWIN COMMAND...: that a program of a C library prints the same by COMMAND as by itself.
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
