#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Keeps a service at the newest release in a directory, for example of a mounted share: new code for
# a fleet of devices, without a reboot.
#
#     follow-releases.sh NAME DIRECTORY [SPAWN-OPTION]...
#
# A release is a file DIRECTORY/NAME-VERSION.wasm: a signed module whose manifest has this name and
# version. The publisher copies it under another name, and then renames it. The script starts the
# service with the newest release, looks for a newer one every INTERVAL seconds (default: 10), and
# upgrades the service to it. The kernel refuses a release that no accepted key has signed
# (docs/signing.md). A release that is refused or cannot serve is not tried again. After an upgrade
# the script sets the minimum version, so that the kernel refuses older releases.
set -u
name=${1:?usage: follow-releases.sh NAME DIRECTORY [SPAWN-OPTION]...}
directory=${2:?usage: follow-releases.sh NAME DIRECTORY [SPAWN-OPTION]...}
shift 2
running=0 refused=

# versions: prints the versions of the releases in ascending order.
versions() {
  for file in "$directory/$name"-[0-9]*.wasm; do
    version=${file##*"/$name-"}
    [ ! -e "$file" ] || echo "${version%.wasm}"
  done | sort -t . -n -k 1,1 -k 2,2 -k 3,3
}
# is_newer VERSION OTHER
is_newer() { [ "$1" != "$2" ] && [ "$(printf '%s\n' "$1" "$2" | sort -t . -n -k 1,1 -k 2,2 -k 3,3 | tail -n 1)" = "$1" ]; }

while :; do
  # The newest release that has not been refused.
  newest=0
  for version in $(versions); do
    case " $refused " in
    *" $version "*) ;;
    *) newest=$version ;;
    esac
  done
  if is_newer "$newest" "$running"; then
    file=$directory/$name-$newest.wasm
    if kwasmi ps "$name" >/dev/null 2>&1; then
      kwasmi upgrade "$name" "$file"
    else
      kwasmi spawn "$@" "$name" "$file"
    fi
    if [ $? = 0 ]; then
      running=$newest
      echo "$name runs version $running"
      kwasmi min-version "$name" "$running"
    else
      refused="$refused $newest"
      # An older release may be newer than the running one.
      continue
    fi
  fi
  sleep "${INTERVAL:-10}"
done
