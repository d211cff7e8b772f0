#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Keeps a service at the newest release in a directory. The directory can be a mounted share: the
# devices that mount it run new releases without a reboot. Files whose manifest has another name or
# version are ignored.
#
#     follow-releases.sh NAME DIRECTORY [SPAWN-OPTION]...
#
# A release is a file DIRECTORY/NAME-X.Y.Z.wasm: a signed module whose manifest has this name and
# version. The publisher copies it under another name, and then renames it. Every INTERVAL seconds
# (default: 10) the script looks for the newest release. It starts the service if it does not run,
# with the options SPAWN-OPTION, and upgrades it otherwise. The kernel refuses a release that no
# accepted key has signed (docs/signing.md). The script does not try a release again that was refused
# or could not serve. After each start it sets the minimum version, so that the kernel refuses older
# releases.
set -u
name=${1:?usage: follow-releases.sh NAME DIRECTORY [SPAWN-OPTION]...}
directory=${2:?usage: follow-releases.sh NAME DIRECTORY [SPAWN-OPTION]...}
shift 2
refused=

# versions: prints the versions of the releases in ascending order.
versions() {
  for file in "$directory/$name"-[0-9]*.wasm; do
    version=${file##*"/$name-"}
    [ ! -e "$file" ] || echo "${version%.wasm}"
  done | sort -t . -n -k 1,1 -k 2,2 -k 3,3
}
# is_newer VERSION OTHER
is_newer() { [ "$1" != "$2" ] && [ "$(printf '%s\n' "$1" "$2" | sort -t . -n -k 1,1 -k 2,2 -k 3,3 | tail -n 1)" = "$1" ]; }
# field NAME: prints a field of the service, such as its version.
field() { kwasmi ps -j "$name" 2>/dev/null | sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }
# is_release VERSION: checks that the manifest has the name and the version of the file's name.
is_release() {
  kwasmi inspect -j "$directory/$name-$1.wasm" 2>/dev/null | grep -qF "\"manifest\":{\"name\":\"$name\",\"version\":\"$1\""
}

while :; do
  running=0
  [ "$(field state)" != running ] || running=$(field version)
  # The newest release that was not refused.
  newest=0
  for version in $(versions); do
    case " $refused " in
    *" $version "*) ;;
    *) ! is_release "$version" || newest=$version ;;
    esac
  done
  if is_newer "$newest" "$running"; then
    file=$directory/$name-$newest.wasm
    if [ "$running" != 0 ]; then
      kwasmi upgrade "$name" "$file"
    else
      kwasmi spawn "$@" "$name" "$file"
    fi
    case $? in
    0)
      running=$(field version)
      echo "$name runs version $running"
      kwasmi min-version "$name" "$running"
      ;;
    126)
      refused="$refused $newest"
      # The next older release may still be newer than the running version.
      continue
      ;;
    esac
  fi
  sleep "${INTERVAL:-10}"
done
