# shellcheck shell=sh
# SPDX-License-Identifier: GPL-2.0
# Second boot of the check `packages`, inside Debian: looks for the services, and purges the packages.
. /host/ktap.sh

cd /tmp || exit
export DEBIAN_FRONTEND=noninteractive
is_active() { systemctl is-active "kwasmi-$1"; }
answers() {
    bash -c "exec 3<>/dev/tcp/127.0.0.1/$1 && printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3 && cat <&3" >answer
    grep -q '^meminfo{field="MemTotal"}' answer || { cat answer; return 1; }
}
services_are_up() {
    is_active meminfo && is_active as-tester && answers 9100 && answers 9101 && kwasmi ps meminfo | grep -q ' running '
}
shut_down_cleanly() {
    journalctl -b -1 -u kwasmi-meminfo -o cat --no-pager | tail -n 4 >told
    grep -q '^Stopped ' told && ! grep -q 'Failed with result' told || { cat told; return 1; }
}
journal_has_output() {
    for boot in -1 0; do
        journalctl -b $boot -u kwasmi-arguments -o export --no-pager | grep -aq 'arguments.wasm' || return
    done
}
mistake_is_told() {
    equal failed "$(systemctl is-failed kwasmi-broken)" &&
        journalctl -b -t kwasmi-generator -o cat --no-pager | grep -qF 'kwasmi/broken.toml: line 3, key restart: '
}
disabled_is_down() { equal inactive "$(systemctl is-active kwasmi-manual)"; }
device_has_group() { equal "660 root kwasmi" "$(stat -c '%a %U %G' /dev/kwasmi)"; }
purges() {
    apt-get -q -y purge kwasmi kwasmi-dev python3-kwasmi "kwasmi-module-$(uname -r)" || return
    ! dpkg-query -W '*kwasmi*' 2>/dev/null | grep . || return
    left=$(while IFS= read -r file; do
        # Directories belong to other packages, too.
        [ -d "$file" ] || [ ! -e "$file" ] || echo "$file"
    done </var/tmp/files)
    equal "" "$left" && [ ! -e /etc/kwasmi ] && equal "" "$(find / -xdev -name '*kwasmi*' -not -path '/var/log/*' -not -path /srv/kwasmi)"
}
nothing_runs() {
    equal "" "$(systemctl list-units --all --plain --no-legend 'kwasmi*' | grep -v '^kwasmi-vm\.')" &&
        [ ! -e /dev/kwasmi ] && ! grep '^kwasmi ' /proc/modules
}
group_stays() { getent group kwasmi; }

check "the services are up after a reboot" services_are_up
check "the services stopped at the shutdown" shut_down_cleanly
check "the journal has the output of both boots" journal_has_output
check "a file with mistakes does not keep other services down" mistake_is_told
check "a service that is not enabled does not start" disabled_is_down
check "the device belongs to the group kwasmi" device_has_group
check "purge leaves no file" purges
check "purge ends the services, and unloads the module" nothing_runs
check "the group stays" group_stays
finish
