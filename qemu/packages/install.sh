# shellcheck shell=sh
# SPDX-License-Identifier: GPL-2.0
# First boot of the check `packages`, inside Debian: installs the packages, starts services,
# upgrades the packages.
. /host/ktap.sh

cd /tmp || exit
export DEBIAN_FRONTEND=noninteractive
config=/etc/kwasmi
# add FOLDER: installs the packages in a folder of /host.
add() { apt-get -q -y --no-install-recommends install /host/"$1"/*.deb; }
# within SECONDS COMMAND...: repeats COMMAND until it succeeds, for at most SECONDS.
within() {
    tries=$(($1 * 5))
    shift
    for _ in $(seq "$tries"); do
        ! "$@" >last 2>&1 || return 0
        sleep 0.2
    done
    cat last
    echo "not within $((tries / 5)) s: $*"
    return 1
}
property() { systemctl show -P "$2" "kwasmi-$1"; }
has_property() { equal "$3" "$(property "$1" "$2")"; }
# answers PORT: gets the statistics of the guest meminfo.
answers() {
    bash -c "exec 3<>/dev/tcp/127.0.0.1/$1 && printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3 && cat <&3" >answer
    grep -q '^meminfo{field="MemTotal"}' answer || { cat answer; return 1; }
}
logged() { journalctl -b -u "kwasmi-$1" -o cat --no-pager | grep -aqF -e "$2" || { journalctl -b -u "kwasmi-$1" --no-pager; return 1; }; }

installs() {
    add old || return
    for name in kwasmi kwasmi-dev python3-kwasmi "kwasmi-module-$(uname -r)"; do
        dpkg-query -L "$name" >>/var/tmp/files
    done
    for file in /usr/share/man/man1/kwasmi-spawn.1.gz /usr/share/bash-completion/completions/kwasmi /usr/include/kwasmi.h \
        /usr/include/kwasmi_client.h /usr/lib/x86_64-linux-gnu/libkwasmi.a; do
        [ -s $file ] || { echo "no $file"; return 1; }
    done
}
module_loads() {
    modprobe kwasmi && udevadm settle && equal "660 root kwasmi" "$(stat -c '%a %U %G' /dev/kwasmi)" &&
        kwasmi version | grep -q '^kwasmi '
}
members() {
    systemd-sysusers --inline 'u tester -' 'u other -' 'm tester kwasmi' || return
    as() { setpriv --reuid "$1" --regid "$1" --init-groups --inh-caps=-all kwasmi ps; }
    as tester | grep -q '^NAME' || return
    ! as other 2>err && grep -q 'Permission denied' err
}
# Mistakes on line 3 and in the table.
configures() {
    install -d -m 755 /srv/kwasmi && cp /host/guests/*.wasm /srv/kwasmi && cp /host/signer.pem $config/keys/web.pem || return
    cat >$config/meminfo.toml <<'END'
program = "/srv/kwasmi/meminfo.wasm"
description = "Statistics 100% of the memory"
dirs = ["/proc::/proc:ro"]
tcp-listen = ["127.0.0.1:9100"]
log-size = "32K"
restart-delay = "200ms"
[limits]
memory = "16M"
END
    sed 's/9100/9101/; 1i user = "tester"' $config/meminfo.toml >$config/as-tester.toml
    cat >$config/arguments.toml <<'END'
program = "/srv/kwasmi/arguments.wasm"
args = ["50% %n", "$HOME ${HOME} $$", "a \"quoted\" \\ word", "", ";", "größe"]
restart = "no"
END
    cat >$config/pool.toml <<'END'
program = "/srv/kwasmi/sum.wasm"
instances = 2
max-restarts = 1
END
    cat >$config/broken.toml <<'END'
program = "/srv/kwasmi/meminfo.wasm"
# The next line has a mistake.
restart = "sometimes"
[limits]
memory = "16X"
END
    cat >$config/manual.toml <<'END'
program = "/srv/kwasmi/nothing.wasm"
enabled = false
END
    systemctl daemon-reload
}
config_is_checked() {
    kwasmi config check 2>err
    equal 125 $? && equal "kwasmi: /etc/kwasmi/broken.toml: line 3, key restart: expected \"no\", \"on-failure\" or \"always\"
kwasmi: /etc/kwasmi/broken.toml: line 5, key limits.memory: expected a size such as 64M: a number with an optional unit (B, K, M, G, T)" \
        "$(cat err)" && kwasmi config check $config/meminfo.toml
}
generator_tells() {
    journalctl -b -t kwasmi-generator -o cat --no-pager >told
    grep -qF 'kwasmi/broken.toml: line 3, key restart: ' told && grep -qF 'line 5, key limits.memory: ' told || { cat told; return 1; }
}
broken_fails() {
    ! systemctl start kwasmi-broken && within 10 logged broken 'broken.toml: line 3, key restart: ' &&
        systemctl status kwasmi-broken --no-pager | grep -q '2 mistakes in its configuration'
}
# The first file is not a certificate.
keys_are_added() {
    echo nothing >$config/keys/a.pem
    ! systemctl start kwasmi.service && journalctl -b -u kwasmi.service -o cat --no-pager | grep -qF '/etc/kwasmi/keys/a.pem: ' &&
        equal 1 "$(kwasmi key list | wc -l)" && rm $config/keys/a.pem && systemctl start kwasmi.service &&
        systemctl restart kwasmi.service && equal 1 "$(kwasmi key list | wc -l)"
}
starts() {
    systemctl start kwasmi-meminfo && has_property meminfo ActiveState active &&
        has_property meminfo Description "Statistics 100% of the memory" && answers 9100 &&
        kwasmi ps meminfo | grep -q ' running '
}
runs_as_user() {
    systemctl start kwasmi-as-tester && answers 9101 && equal "$(id -u tester)" "$(kwasmi ps as-tester | awk 'NR == 2 { print $5 }')" &&
        equal tester "$(stat -c %U "/proc/$(property as-tester MainPID)")"
}
words_arrive() {
    systemctl start kwasmi-arguments && within 10 has_property arguments ActiveState inactive || return
    # shellcheck disable=SC2016 # the guest gets these words
    within 10 logged arguments 'arguments.wasm|50% %n|$HOME ${HOME} $$|a "quoted" \ word||;|größe|'
}
refused_module_fails() {
    cp /usr/bin/true /srv/kwasmi/nothing.wasm && ! systemctl start kwasmi-manual && equal 126 "$(property manual ExecMainStatus)" && sleep 1 &&
        has_property manual NRestarts 0 && rm /srv/kwasmi/nothing.wasm && systemctl reset-failed kwasmi-manual
}
restarts() {
    before=$(property meminfo MainPID)
    # 0 would be the group of this script.
    [ "$before" -gt 0 ] || return
    kill -9 "$before"
    runs_again() { has_property meminfo ActiveState active && [ "$(property meminfo MainPID)" != "$before" ]; }
    within 20 runs_again && answers 9100 && has_property meminfo NRestarts 1
}
stops() {
    systemctl stop kwasmi-meminfo && has_property meminfo ActiveState inactive && has_property meminfo Result success &&
        ! kwasmi ps meminfo 2>/dev/null && systemctl start kwasmi-meminfo && answers 9100
}
kwasmi_stop() {
    kwasmi stop as-tester && within 10 has_property as-tester ActiveState inactive && has_property as-tester Result success &&
        systemctl start kwasmi-as-tester
}
has_instances() { equal "$1" "$(kwasmi ps pool | awk 'NR == 2 { print $3 }')"; }
# A service of two instances is called and upgraded, and replaces an instance that traps.
runs_instances() {
    systemctl start kwasmi-pool && has_instances 2 || return
    before=$(property pool MainPID)
    equal 40 "$(kwasmi call pool add 40)" && kwasmi upgrade pool /srv/kwasmi/sum.wasm && equal 2 "$(kwasmi call pool add 2)" &&
        equal "$before" "$(property pool MainPID)" && has_property pool ActiveState active || return
    kwasmi call pool trap 2>err
    equal 134 $? && within 5 logged pool 'kwasmi: pool: an instance has failed: trap: ' && sleep 1 && within 5 has_instances 2 && has_property pool NRestarts 0 && systemctl stop kwasmi-pool &&
        has_property pool Result success
}
python_calls() { python3 /host/vm.py /srv/kwasmi; }
python_example() {
    kwasmi spawn sum /srv/kwasmi/sum.wasm && equal 40 "$(python3 /host/call.py)" && kwasmi kill sum &&
        equal "sum: the service has ended; did the function run: no" "$(python3 /host/call.py)" && kwasmi rm sum
}
upgrades() {
    before=$(property meminfo MainPID)
    add new || return
    equal 0.1.1-1 "$(dpkg-query -W -f '${Version}' kwasmi)" && equal "$before" "$(property meminfo MainPID)" &&
        has_property meminfo ActiveState active && answers 9100 && kwasmi ps meminfo | grep -q ' running '
}

check "apt installs the packages" installs
check "the module loads, and its device belongs to the group kwasmi" module_loads
check "members of the group can list services, others cannot" members
check "files describe services" configures
check "config check names file, line and key of each mistake" config_is_checked
check "the generator names them in the journal" generator_tells
check "a service with mistakes in its file fails, and its journal names them" broken_fails
check "the keys are added, and a file that is none does not keep them out" keys_are_added
check "a service starts" starts
check "a service runs as another user" runs_as_user
check "the guest gets the words of the file, and its output is in the journal" words_arrive
check "the start of a refused module fails, and is not repeated" refused_module_fails
check "a service that was killed starts again" restarts
check "systemctl stop ends a service" stops
check "kwasmi stop ends a service, which does not start again" kwasmi_stop
check "a service with two instances is called, upgraded and stopped" runs_instances
check "a program in Python loads modules, and calls services" python_calls
check "the example in Python calls a function" python_example
check "a running service goes on during an upgrade" upgrades
finish
