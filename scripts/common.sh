# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
# Functions of the commands in scripts/: find the cache, make the build root, enter it.
#
# The build root is a Debian trixie tree with every tool that the project needs, so that the host's
# own tools do not matter. All its files belong to one user. It is entered in a mount namespace and,
# for an ordinary user, in a user namespace that maps this user to root. Building therefore needs no
# privilege once the build root exists.

set -euo pipefail
shopt -s inherit_errexit

TOP=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
CACHE=${KWASMI_CACHE:-${XDG_CACHE_HOME:-${HOME:?}/.cache}/kwasmi}
SUITE=trixie

say() { printf 'kwasmi: %s\n' "$*" >&2; }
die() { say "$*"; exit 125; }

# needs COMMAND PACKAGE: adds PACKAGE to `missing` if COMMAND does not exist.
missing=()
needs() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || missing+=("$2"); }

host_tools() {
  needs mmdebstrap mmdebstrap
  needs unshare util-linux
  needs flock util-linux
  needs tar tar
  [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || [ -e /usr/share/keyrings/debian-archive-keyring.pgp ] ||
    missing+=(debian-archive-keyring)
  if [ "$(id -u)" != 0 ]; then
    needs newuidmap uidmap
  fi
  [ ${#missing[@]} -eq 0 ] && return 0
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    say "installing on this machine: ${missing[*]}"
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"; } \
      >"$CACHE/host-tools.log" 2>&1 || die "apt-get failed, see $CACHE/host-tools.log"
  else
    die "missing on this machine; type: sudo apt-get install ${missing[*]}"
  fi
}

# An ordinary user needs user namespaces and, to unpack Debian's packages once, a range of
# subordinate ids.
host_namespaces() {
  [ "$(id -u)" = 0 ] && return 0
  unshare --user --map-root-user --mount true 2>/dev/null ||
    die "user namespaces are not allowed here; type: sudo sysctl kernel.unprivileged_userns_clone=1 kernel.apparmor_restrict_unprivileged_userns=0"
  grep -qs "^$(id -un):\|^$(id -u):" /etc/subuid && grep -qs "^$(id -un):\|^$(id -u):" /etc/subgid ||
    die "no subordinate ids for $(id -un); type: sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $(id -un)"
}

# progress TITLE LOG COMMAND...: runs COMMAND with its output in LOG. Shows its progress, and the
# end of LOG if it fails.
progress() {
  local title=$1 log=$2 start=$SECONDS pid status=0
  shift 2
  mkdir -p "$(dirname "$log")"
  "$@" >"$log" 2>&1 </dev/null &
  pid=$!
  if [ -t 2 ]; then
    while kill -0 "$pid" 2>/dev/null; do
      printf '\r\033[Kkwasmi: %s ... %ds  %.60s' "$title" $((SECONDS - start)) \
        "$(tail -n 1 "$log" 2>/dev/null | tr -cd '[:print:]')" >&2
      sleep 0.2
    done
    printf '\r\033[K' >&2
  else
    say "$title ..."
    local next=$((SECONDS + 30))
    while kill -0 "$pid" 2>/dev/null; do
      sleep 0.2
      if [ $SECONDS -ge $next ]; then
        say "$title ... $((SECONDS - start))s"
        next=$((SECONDS + 30))
      fi
    done
  fi
  wait "$pid" || status=$?
  if [ $status -ne 0 ]; then
    say "$title failed (status $status); the end of $log:"
    tail -n 40 "$log" >&2
    exit 125
  fi
  say "$title: $((SECONDS - start))s"
}

# Prints a key of all inputs of the build root. Each key has its own tree.
root_key() {
  { grep -v '^#' "$TOP/scripts/buildroot.packages"; cat "$TOP/scripts/buildroot-finish"; echo "$SUITE"; } |
    sha256sum | cut -c1-12
}

make_root_tree() {
  local tree=$1 packages mode=unshare
  [ "$(id -u)" = 0 ] && mode=root
  packages=$(grep -v '^#' "$TOP/scripts/buildroot.packages" | grep . | paste -sd,)
  mkdir -p "$tree"
  # mmdebstrap writes a stream, so that all files of the tree belong to the current user, whatever
  # ids the packages ask for.
  TMPDIR=$CACHE/tmp mmdebstrap --mode=$mode --variant=apt --include="$packages" \
    --aptopt='Acquire::Retries "3"' --dpkgopt='force-unsafe-io' --format=tar "$SUITE" - |
    tar -C "$tree" -x --no-same-owner --exclude='./dev/*'
  chmod -R u+rwX "$tree"
  mkdir -p "$tree/kwasmi" "$tree/cache" "$tree/host"
}

# Makes the build root if it does not exist, and sets ROOT to its path. A half-made tree has another
# name, and is replaced.
setup_root() {
  ROOT=$CACHE/root-$(root_key)
  [ -e "$ROOT/.complete" ] && return 0
  mkdir -p "$CACHE/tmp"
  exec 9>"$CACHE/setup.lock"
  flock -n 9 || { say "another setup is going on, waiting"; flock 9; }
  if [ ! -e "$ROOT/.complete" ]; then
    host_tools
    host_namespaces
    local avail
    avail=$(df -Pk "$CACHE" | awk 'NR == 2 { print int($4 / 1048576) }')
    [ "$avail" -ge 12 ] || die "$CACHE has $avail GiB free; 12 are needed (set KWASMI_CACHE to another folder)"
    # Continues with the unpacked packages of an interrupted setup, if there are any.
    local base
    base=$CACHE/base-$(grep -v '^#' "$TOP/scripts/buildroot.packages" | sha256sum | cut -c1-12)
    if [ ! -e "$base/.unpacked" ]; then
      rm -rf "$base"
      progress "build root: Debian $SUITE" "$CACHE/log/root.log" make_root_tree "$base"
      touch "$base/.unpacked"
    fi
    rm -rf "$base/opt/rust"
    progress "build root: engine toolchain" "$CACHE/log/root-finish.log" \
      enter "$base" bash /kwasmi/scripts/buildroot-finish
    rm -rf "$ROOT"
    mv "$base" "$ROOT"
    touch "$ROOT/.complete"
    say "build root: $(du -sh "$ROOT" | cut -f1) in $ROOT"
  fi
  exec 9>&-
}

# make_image FILE RELEASE: makes the file system of a Debian with the kernel RELEASE. Neither mmdebstrap
# nor mke2fs needs root: the file system is made from an archive, by the mke2fs of the image.
make_image() {
  local file=$1 release=$2 packages mode=unshare lines work library
  [ "$(id -u)" = 0 ] && mode=root
  packages=$(grep -v '^#' "$TOP/qemu/image-debian.packages" | grep . | paste -sd,)
  mapfile -t lines < <(cat "$ROOT/etc/apt/sources.list" "$ROOT/etc/apt/sources.list.d/backports.list")
  work=$CACHE/tmp/image
  rm -rf "$work"
  mkdir -p "$work"
  TMPDIR=$CACHE/tmp mmdebstrap --mode=$mode --variant=apt --format=tar --dpkgopt='force-unsafe-io' \
    --include="$packages,linux-base/$SUITE-backports,linux-image-$release" \
    --aptopt='Acquire::Retries "3"' --aptopt='APT::Install-Recommends "false"' \
    --customize-hook="$(cat "$TOP/qemu/image-debian.finish")" "$SUITE" - "${lines[@]}" >"$work/tar"
  tar -C "$work" -xf "$work/tar" --no-same-owner ./usr/lib/x86_64-linux-gnu ./usr/sbin/mke2fs
  library=$work/usr/lib/x86_64-linux-gnu
  "$library/ld-linux-x86-64.so.2" --library-path "$library" "$work/usr/sbin/mke2fs" -q -t ext4 -d "$work/tar" "$file" 2G
  rm -rf "$work"
}

# setup_image KERNEL: makes the image of Debian with the kernel KERNEL of qemu/kernels if it does not
# exist, and sets IMAGE to its path in the build root.
setup_image() {
  local folder release version key image
  [ "$(awk -v name="$1" '$1 == name { print $2 }' "$TOP/qemu/kernels")" = debian ] ||
    die "there is no package of the kernel '$1', so no image with it"
  enter "$ROOT" scripts/make --kernel "$1" kernel </dev/null
  folder=$(enter "$ROOT" qemu/kernel "$1" </dev/null)
  read -r release version <"$CACHE/${folder#/cache/}/release"
  key=$({ cat "$TOP/qemu/image-debian.packages" "$TOP/qemu/image-debian.finish"; echo "$SUITE $release $version"; } |
    sha256sum | cut -c1-12)
  image=$CACHE/image-debian-$key.ext4
  # shellcheck disable=SC2034 # for the callers
  IMAGE=/cache/${image##*/}
  [ ! -e "$image" ] || return 0
  exec 9>"$CACHE/image.lock"
  flock -n 9 || { say "another image is being made, waiting"; flock 9; }
  if [ ! -e "$image" ]; then
    host_tools
    host_namespaces
    progress "image: Debian $SUITE" "$CACHE/log/image-debian.log" make_image "$image.part" "$release"
    mv "$image.part" "$image"
  fi
  exec 9>&-
}

# enter TREE [--bind OUTSIDE INSIDE]... COMMAND [ARG]...: runs COMMAND in the build root. There the
# checkout is /kwasmi, the cache is /cache, and OUTSIDE is at /host/INSIDE.
enter() {
  entering "$1"
  shift
  "${entering[@]}" "$@"
}

# entering TREE: sets `entering` to the command that `enter` runs in front of its further arguments,
# for callers that exec it.
entering() {
  entering=(env "ENTER_TREE=$1" "ENTER_TOP=$TOP" "ENTER_CACHE=$CACHE" unshare --mount --propagation private)
  [ "$(id -u)" = 0 ] || entering+=(--user --map-root-user)
  entering+=(-- bash "$TOP/scripts/enter.sh")
}
