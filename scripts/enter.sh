# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
# Inner part of `enter` in common.sh: runs in a new mount namespace, changes root into the build
# root and runs "$@".
set -euo pipefail

tree=$ENTER_TREE
bind() { mount --rbind "$1" "$tree/$2"; }

bind /proc proc
bind /sys sys
bind /dev dev
bind "$ENTER_TOP" kwasmi
bind "$ENTER_CACHE" cache
mount -t tmpfs -o mode=1777 tmpfs "$tree/tmp"

# Access to the network as on the host: name servers, certificate authorities, proxies.
if [ -e /etc/resolv.conf ]; then
  # Other processes may enter at the same time, so an existing file is kept.
  if [ -L "$tree/etc/resolv.conf" ]; then rm -f "$tree/etc/resolv.conf"; fi
  [ -e "$tree/etc/resolv.conf" ] || : >"$tree/etc/resolv.conf"
  mount --bind "$(readlink -f /etc/resolv.conf)" "$tree/etc/resolv.conf"
fi
ca=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
if [ -e "$ca" ] && [ -e "$tree/etc/ssl/certs/ca-certificates.crt" ]; then
  mount --bind "$(readlink -f "$ca")" "$tree/etc/ssl/certs/ca-certificates.crt"
fi

# Paths of the host that the caller has named (`run --add`, `--out`).
[ "${1:-}" != --bind ] || mount -t tmpfs tmpfs "$tree/host"
while [ "${1:-}" = --bind ]; do
  if [ -d "$2" ]; then mkdir "$tree/host/$3"; else : >"$tree/host/$3"; fi
  bind "$2" "host/$3"
  shift 3
done

keep=()
for name in TERM CI http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY; do
  [ -z "${!name:-}" ] || keep+=("$name=${!name}")
done
# Variables of the tests (see qemu/suites). The cache has another path in the build root.
for name in "${!KWASMI_@}"; do
  [ "$name" = KWASMI_CACHE ] || keep+=("$name=${!name}")
done
exec env -i "${keep[@]}" HOME=/root USER=root LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  CARGO_HOME=/cache/cargo SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
  chroot "$tree" /bin/bash -c 'cd /kwasmi && exec "$@"' bash "$@"
