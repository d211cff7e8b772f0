# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
# Sourced by qemu/kernel-*: finds and unpacks Debian's kernel packages.

apt() { apt-get -q -o APT::Sandbox::User=root -o Acquire::Retries=3 "$@"; }
candidate() { apt-cache policy "$1" | awk '$1 == "Candidate:" && $2 != "(none)" { print $2 }'; }

# choose NAME SERIES FLAVOUR: sets release, version and source to the newest release SERIES.* for which image, headers and
# source have the same version.
choose() {
  local package r from found
  apt update
  release=
  while read -r package; do
    r=${package#linux-binary-}
    from=linux-source-$(sed -E 's/^([0-9]+\.[0-9]+).*/\1/' <<<"$r")
    found=$(candidate "$package")
    if [ -n "$found" ] && [ "$(candidate "linux-headers-$r")" = "$found" ] && [ "$(candidate "$from")" = "$found" ]; then
      # shellcheck disable=SC2034 # for who sources this
      release=$r version=$found source=$from
      break
    fi
  done < <(apt-cache pkgnames "linux-binary-$2." | grep -E -- "-$2\.[0-9.]+\+deb[0-9]+-$3\$" | sort -rV)
  [ -n "$release" ] || { echo "trixie-backports has no $2.* with image, headers and source"; exit 1; }
  echo "kernel $1: $release, version $version"
}

# unpack FOLDER PACKAGE...: downloads packages of the chosen version, and unpacks them into FOLDER/unpacked; the kernel's source
# goes to FOLDER/build.
unpack() {
  local folder=$1 deb
  shift
  mkdir -p "$folder/debs" "$folder/unpacked" "$folder/build"
  (cd "$folder/debs" && apt download "${@/%/=$version}")
  for deb in "$folder"/debs/*.deb; do
    dpkg-deb -x "$deb" "$folder/unpacked"
  done
  tar -C "$folder/build" --strip-components=1 -xf "$folder"/unpacked/usr/src/linux-source-*.tar.*
}
