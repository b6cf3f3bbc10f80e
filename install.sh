#!/bin/bash
# Installs KSEM AirBridge from this checkout. ./install.sh --help shows how.
set -euo pipefail

CHECKOUT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly CHECKOUT
# Python finds modules in the current folder first, and anybody may write to /tmp. So nothing here runs where the user stood.
cd /
HOME_DIR=/opt/ksem-airbridge
SETTINGS=/etc/ksem-airbridge
COMMANDS=/usr/local/bin
UNITS=/usr/local/lib/systemd/system
BROKER=/etc/mosquitto
SERIAL=/dev/serial
# Every service that may be installed: command, unit and user have one name.
readonly SERVICES=(ksem-publisher rtu-server inverter-reader ksem-dashboard)
readonly TOOLS=(airbridge)

readonly DONE=0 FAILED=1 USAGE=2 SETTINGS_WANTED=3 NO_DATA=4

export PYTHONDONTWRITEBYTECODE=1 # a look at the settings leaves nothing behind
umask 022
changes=0
SCRATCH=$(mktemp -d)
readonly SCRATCH
trap 'rm -rf "$SCRATCH"' EXIT

help() {
    cat <<'TEXT'
Installs KSEM AirBridge on Raspberry Pi OS or Debian, 12 and later. Run it again at any time: to upgrade, to repair,
to add another part. What is as it should be stays untouched; settings are never overwritten.

usage:
  sudo ./install.sh PART... [options]        installs parts, beside those that are here already
  sudo ./install.sh pair [--broker HOST]     prints a line for `rtu-server --pair` on another host
  sudo ./install.sh upgrade                  all parts that are here, after `git pull`
  sudo ./install.sh uninstall [--purge]      removes all parts; --purge: settings, logins and certificates too

parts:
  publisher        the meter's side
  rtu-server       the inverter's side
  both             these two on this host
  inverter-reader  reads on the network what the inverter believes of its meter (docs/inverter.md)
  dashboard        the web page; beside the others or on a host of its own

options:
  --mosquitto      the broker runs here, too: installs mosquitto with a login for each role
  --meter HOST     the KSEM's address or host name (publisher; else `airbridge setup` looks for it)
  --port PATH      the RS485 port (rtu-server; not needed where just one USB adapter is plugged in)
  --inverter HOST  the inverter's address or host name (inverter-reader)
  --broker HOST    the broker's address (default: localhost)
  --pair LINE      what `pair` printed on the publisher's host: broker, login, key, certificates (rtu-server).
                   `--pair -` takes it from standard input: it then stands in no history and no list of processes
  --page WHO       who may open the web page: host (this host only, the default) or house (the whole network)
  --no-setup       no questions; on a terminal `airbridge setup` finds and tests what is missing otherwise
  --help

examples:
  one Raspberry Pi for all:        sudo ./install.sh both --mosquitto
  two, at the meter:               sudo ./install.sh publisher --mosquitto --meter 192.168.1.50
                                   sudo ./install.sh pair
  two, at the inverter:            sudo ./install.sh rtu-server --pair -
  the web page, too:               sudo ./install.sh dashboard
  upgrade:                         git pull && sudo ./install.sh upgrade

what goes where:
  /etc/ksem-airbridge/             settings and logins, all there is to back up
  /opt/ksem-airbridge/             the programs, in a Python environment of their own
  /usr/local/bin/                  ksem-publisher, rtu-server, inverter-reader, ksem-dashboard, airbridge: they start them
  /usr/local/lib/systemd/system/   a unit for each service: ksem-publisher.service, rtu-server.service, ...
  /etc/mosquitto/                  conf.d/ksem-airbridge.conf, ksem-airbridge/ (with --mosquitto)
  users                            one for each service, of its name, without rights

exit codes:
  0  installed and running (or removed)
  1  something failed; what ran before still runs
  2  wrong command line
  3  installed, but a service waits for its settings; what is missing is printed
  4  installed and running, but no data flows yet; what the services report is printed
TEXT
}

say() { printf '%s\n' "$*"; }
step() { printf '  %-38s %s\n' "$1" "$2"; }
changed() {
    changes=$((changes + 1))
    step "$1" "$2"
}
fail() {
    printf 'install.sh: %s\n' "$*" >&2
    exit "$FAILED"
}
misused() {
    printf 'install.sh: %s\nTry ./install.sh --help\n' "$*" >&2
    exit "$USAGE"
}
has_systemd() { [[ -d /run/systemd/system ]]; }
settings_of() { printf '%s/%s.toml' "$SETTINGS" "${1#ksem-}"; }
role_of() { case $1 in ksem-publisher) echo publisher ;; rtu-server) echo rtu ;; inverter-reader) echo inverter ;; *) echo "${1#ksem-}" ;; esac; }
is_installed() { [[ -e $UNITS/$1.service ]]; }

# put SOURCE TARGET MODE [OWNER[:GROUP]]: a file as it should be; true if something changed
put() {
    local source=$1 target=$2 mode=$3 owner=${4:-root:root}
    if [[ -f $target ]] && cmp -s "$source" "$target" && [[ $(stat -c '%a %U:%G' "$target") == "$mode $owner" ]]; then
        return 1
    fi
    install -D -m "$mode" -o "${owner%:*}" -g "${owner#*:}" "$source" "$target.new" || fail "can't write $target"
    mv "$target.new" "$target" || fail "can't write $target"
}

# put_kept SOURCE TARGET MODE OWNER: as put, but what the owner of the house has changed is left alone
put_kept() {
    local source=$1 target=$2 shipped=$HOME_DIR/shipped$2
    if [[ -f $target ]] && ! cmp -s "$source" "$target" && ! cmp -s "$shipped" "$target"; then
        step "$target" "kept, you have changed it (as shipped: $shipped)"
        put "$source" "$shipped" 644 || true
        return 1
    fi
    put "$source" "$shipped" 644 || true
    put "$source" "$target" "$3" "$4"
}

check_host() {
    [[ $(id -u) == 0 ]] || fail "needs root: sudo ./install.sh ..."
    command -v apt-get >/dev/null || fail "needs Debian 12 or later, or Raspberry Pi OS; elsewhere: docs/install.md"
    if dpkg-query -W -f '${db:Status-Status}' ksem-airbridge 2>/dev/null | grep -qx installed; then
        fail "the Debian package ksem-airbridge is installed: apt remove ksem-airbridge first (settings stay)"
    fi
}

install_packages() {
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
    done
    if [[ ${#missing[@]} == 0 ]]; then
        step "Debian packages" "there"
        return
    fi
    changed "Debian packages" "installing ${missing[*]} ..."
    apt-get update -qq || fail "apt-get update failed: is the network there?"
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
        fail "apt-get install ${missing[*]} failed"
}

make_user() {
    if getent passwd "$1" >/dev/null; then
        step "user $1" "there"
        return
    fi
    useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin \
        --comment "KSEM AirBridge" "$1"
    changed "user $1" "made"
}

# What an installation is made from, as a name: same sources, same Python, same extras, same name.
fingerprint() {
    local version
    version=$(sed -n 's/.*"\(.*\)".*/\1/p' "$CHECKOUT/shared/service_runtime/version.py" | tail -n 1)
    (
        cd "$CHECKOUT"
        python3 --version
        echo "$1"
        find airbridge inverter_reader ksem_* rtu_server shared pyproject.toml locked.txt README.md LICENSE -type f \
            ! -name '*.pyc' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
    ) | sha256sum | sed "s/^\(.\{8\}\).*/$version-\1/"
}

# Each version has a folder of its own, and `current` points at one: a failed upgrade changes nothing that runs.
install_programs() {
    local name version file extras=tools
    [[ " $* " != *" ksem-dashboard "* ]] || extras+=,dashboard
    python3 -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "needs Python 3.11 or later, there is $(python3 --version)"
    name=$(fingerprint "$extras")
    version=$HOME_DIR/versions/$name
    if [[ -e $version/complete ]]; then
        step "programs" "there ($name)"
    else
        changed "programs" "installing $name, a few minutes on a small Raspberry Pi ..."
        rm -rf "$version"
        mkdir -p "$HOME_DIR/versions"
        python3 -I -m venv "$version" || fail "python3 -I -m venv failed"
        # First everything by its hash, what builds our own package too; then nothing but that is taken.
        { "$version/bin/python" -I -m pip download --quiet --disable-pip-version-check --no-cache-dir --require-hashes \
            --no-deps --only-binary :all: --dest "$SCRATCH/wheels" --requirement "$CHECKOUT/locked.txt" &&
            "$version/bin/python" -I -m pip install --quiet --disable-pip-version-check --no-cache-dir \
                --no-warn-script-location --no-index --find-links "$SCRATCH/wheels" "${CHECKOUT}[$extras]"; } ||
            { rm -rf "$version" && fail "pip failed: is the network there? What ran before still runs."; }
        touch "$version/complete"
    fi
    if [[ $(readlink "$HOME_DIR/current" || true) != "versions/$name" ]]; then
        ln -sfn "versions/$name" "$HOME_DIR/current"
        changed "programs" "$name is the current version"
    fi
    find "$HOME_DIR/versions" -mindepth 1 -maxdepth 1 ! -name "$name" -printf '%p\n' >"$old_versions"
    link_command "${TOOLS[@]}" "$@"
    for file in make-users make-certs; do put "$CHECKOUT/mosquitto/$file" "$HOME_DIR/mosquitto/$file" 755 || true; done
    put "$CHECKOUT/mosquitto/acl" "$HOME_DIR/mosquitto/acl" 644 || true
    for file in "$CHECKOUT"/mosquitto/conf.d/*; do put "$file" "$HOME_DIR/mosquitto/conf.d/${file##*/}" 644 || true; done
    for file in "$CHECKOUT"/deploy/packaging/*.toml; do put "$file" "$HOME_DIR/settings/${file##*/}" 644 || true; done
}

link_command() {
    local name
    for name in "$@"; do
        # Not a link: after an upgrade of Debian (12 to 13) the environment's Python has no modules any more.
        cat >"$SCRATCH/launcher" <<LAUNCHER
#!/bin/sh
# Made by install.sh of KSEM AirBridge.
home=$HOME_DIR/current
python=\$(readlink -f "\$home/bin/python3")
if [ ! -x "\$python" ] || [ ! -d "\$home/lib/\${python##*/}" ]; then
    echo "$name: this host has another Python now (\${python##*/}), as after an upgrade of Debian." >&2
    echo "Renew KSEM AirBridge in its checkout:  sudo ./install.sh upgrade" >&2
    exit 1
fi
exec "\$home/bin/$name" "\$@"
LAUNCHER
        if [[ -L $COMMANDS/$name ]]; then rm "$COMMANDS/$name"; fi
        put "$SCRATCH/launcher" "$COMMANDS/$name" 755 || true
    done
}

# Whose the port is, in words; nothing where it is free or the service mosquitto has it without a listener line.
owner_of_port() {
    local port=$1 file line process
    for file in "$BROKER/mosquitto.conf" "$BROKER"/conf.d/*.conf; do
        [[ -f $file && ${file##*/} != ksem-airbridge*.conf ]] || continue
        line=$(grep -nE "^[[:space:]]*(listener|port)[[:space:]]+$port([[:space:]]|\$)" "$file" | head -n 1 || true)
        if [[ -n $line ]]; then
            printf '%s line %s (%s)' "$file" "${line%%:*}" "${line#*:}"
            return
        fi
    done
    process=$(listener_of "$port")
    [[ -z $process || $process == "$(main_process mosquitto)" ]] || printf 'process %s (%s)' "$process" "$(name_of "$process")"
}

listener_of() {
    command -v ss >/dev/null || return 0
    ss -Hltnp "sport = :$1" 2>/dev/null | sed -n 's/.*pid=\([0-9]*\).*/\1/p' | head -n 1
}
main_process() { if has_systemd; then systemctl show --value --property MainPID "$1" 2>/dev/null || true; fi; }
name_of() { cat "/proc/$1/comm" 2>/dev/null || echo gone; }

# Before anything is changed: a second owner of a port would keep the broker from starting.
check_broker_ports() {
    local port owner
    [[ ! -e $BROKER/conf.d/ksem-airbridge.conf ]] || return 0
    for port in 1883 1884; do
        owner=$(owner_of_port "$port")
        [[ -z $owner ]] || fail "Port $port already belongs to $owner; nothing was changed. Remove that listener, or use this broker as it is: leave --mosquitto out and see docs/security.md, \"Your own broker\"."
    done
}

# restart_broker FILE...: with these new files; what was there before comes back if it does not start
restart_broker() {
    local file why since
    since=$(date '+%Y-%m-%d %H:%M:%S')
    systemctl restart mosquitto && systemctl is-active --quiet mosquitto && return
    why=$(journalctl --no-pager --output=cat --unit=mosquitto --since="$since" 2>/dev/null | grep -i error | tail -n 1 || true)
    [[ -n $why ]] || why=$(grep -i error /var/log/mosquitto/mosquitto.log 2>/dev/null | tail -n 1 || true)
    for file in "$@"; do
        if [[ -e $SCRATCH/${file##*/} ]]; then cp -p "$SCRATCH/${file##*/}" "$file"; else rm -f "$file"; fi
    done
    systemctl restart mosquitto || true
    fail "mosquitto does not start with our files, so they were taken out again (${why:-journalctl -u mosquitto})"
}

install_broker() {
    local owner=mosquitto:mosquitto restart=no reload=no service role new_files=()
    mkdir -p "$BROKER/ksem-airbridge"
    for service in "${SERVICES[@]}"; do
        make_login "$(role_of "$service")" "$service" && reload=yes
    done
    # What others log in with is for root's eyes, who hands it on.
    for role in reader homeassistant; do
        make_login "$role" root && reload=yes
    done
    put_kept "$CHECKOUT/mosquitto/acl" "$BROKER/ksem-airbridge/acl" 600 "$owner" && reload=yes
    # A restored backup brings the numbers of another host's users.
    find "$BROKER/ksem-airbridge" -type f ! -user mosquitto -exec chown "$owner" {} +
    local file
    for file in "$CHECKOUT"/mosquitto/conf.d/*; do
        if [[ -e $BROKER/conf.d/${file##*/} ]]; then cp -p "$BROKER/conf.d/${file##*/}" "$SCRATCH/"; fi
        if put_kept "$file" "$BROKER/conf.d/${file##*/}" 644 root:root && [[ $file == *.conf ]]; then
            restart=yes
            new_files+=("$BROKER/conf.d/${file##*/}")
        fi
    done
    if put "$CHECKOUT/deploy/systemd/mosquitto.conf" "$UNITS/mosquitto.service.d/ksem-airbridge.conf" 644; then
        changed "mosquitto.service" "is started again however it ends"
        if has_systemd; then systemctl daemon-reload; fi
    fi
    if [[ $restart == yes ]]; then
        changed "mosquitto" "configured"
    elif [[ $reload == yes ]]; then
        changed "mosquitto" "logins and rights renewed"
    else
        step "mosquitto" "configured already"
    fi
    if has_systemd; then
        systemctl is-enabled --quiet mosquitto || systemctl enable --quiet mosquitto
        if [[ $restart == yes ]] || ! systemctl is-active --quiet mosquitto; then
            restart_broker "${new_files[@]}"
        elif [[ $reload == yes ]]; then
            systemctl reload mosquitto
        fi
    fi
}

# make_login ROLE GROUP: true if the broker has to reload its logins
make_login() {
    local before after
    getent group "$2" >/dev/null || set -- "$1" root
    before=$(sha256sum "$BROKER/ksem-airbridge/passwords" 2>/dev/null || true)
    python3 -I -B "$CHECKOUT/mosquitto/make-users" "$1" --group "$2" >/dev/null || fail "make-users $1 failed"
    after=$(sha256sum "$BROKER/ksem-airbridge/passwords")
    [[ $before != "$after" ]]
}

# Names of things that are plugged in by USB and speak something else: Zigbee, Z-Wave, Thread, LTE, a GPS, a Bluetooth stick.
readonly NO_RS485='zigbee|z-?wave|zwave|thread|conbee|raspbee|sonoff|skyconnect|home_assistant|zbdongle|slzb|nortek|aeotec|zooz|silabs_.*ezsp|cc2[56]|efr32|modem|lte|huawei|quectel|gps|u-blox|arduino|esp32|mcu'

# find_port: the adapter to use, in `port`; in doubt nothing is taken
find_port() {
    local found=() good=() each
    shopt -s nullglob
    found=("$SERIAL"/by-id/*)
    # Two equal adapters without a serial number share one by-id link: only their sockets (by-path) distinguish them.
    local sockets=("$SERIAL"/by-path/*) named='' nodes=''
    for each in "${sockets[@]}"; do
        [[ $nodes == *" $(readlink -f "$each") "* ]] && continue # Debian 13 has two links for one socket
        nodes+=" $(readlink -f "$each") "
        for named in "${found[@]}"; do
            [[ $(readlink -f "$named") == "$(readlink -f "$each")" ]] && continue 2
        done
        found+=("$each")
    done
    shopt -u nullglob
    for each in "${found[@]}"; do
        if [[ ! $each =~ [Ii]nterface_[0-9] ]] && ! grep -qiE "$NO_RS485" <<<"${each##*/}"; then good+=("$each"); fi
    done
    if [[ ${#found[@]} == 1 && ${#good[@]} == 1 ]]; then
        port=${good[0]}
        step "RS485 port" "$port"
        return
    fi
    if [[ ${#found[@]} == 0 ]]; then
        step "RS485 port" "No USB-RS485 adapter was found. Plug it in and run this command again."
        return
    fi
    say "  Which of these is the RS485 adapter to the inverter?"
    for each in "${found[@]}"; do
        say "    $each$(grep -qiE "$NO_RS485" <<<"${each##*/}" && echo '   (does not look like one)')"
    done
    say "    None was taken. Run this again with --port PATH."
}

# host_of TEXT: a host name or address out of what a browser's address line holds
host_of() {
    local text=$1
    text=${text#*://}
    text=${text%%/*}
    [[ $text == *@* ]] && text=${text##*@}
    if [[ $text =~ ^\[(.*)\](:[0-9]+)?$ ]]; then text=${BASH_REMATCH[1]}; fi
    if [[ $text =~ ^([^:]+):[0-9]+$ ]]; then text=${BASH_REMATCH[1]}; fi
    printf '%s' "$text"
}

# A Modbus TCP server there; a look before its address is written. True too where nothing can be found out.
# shellcheck disable=SC2016
meter_answers() { timeout 3 bash -c 'exec 3<>"/dev/tcp/$0/502"' "$1" 2>/dev/null; }

check_meter() {
    [[ -n $meter ]] || return 0
    meter_answers "$meter" || step "KSEM" "nothing answers at $meter, port 502: is that its address, and its Modbus switched on? It is written all the same."
}

# fill FILE TABLE KEY VALUE OPTION: a value into a settings file that is there. A placeholder or a missing value is filled,
# another value is kept, and the line to change is printed.
fill() {
    local file=$1 table=$2 key=$3 value=$4 option=$5 line number old
    [[ -n $value ]] || return 0
    # The first line of that key, active or as a comment, after the first header of its table.
    line=$(awk -v table="$table" -v key="$key" '
        /^\[/ { inside = ($0 ~ "^\\[+" table "\\]+") }
        inside && $0 ~ "^(# )?" key " *=" { kind = /^#/ ? "#" : "="; if (kind == "=") { print NR kind; found = 1; exit } if (!first) first = NR kind }
        /^\[/ && inside && !header { header = NR }
        END { if (!found) print first ? first : (header ? header "[" : "") }' "$file")
    number=${line%[\#=\[]}
    old=$(sed -n "${number:-0}s/^$key *= *//p" "$file" 2>/dev/null | sed 's/ *#.*//; s/^"\(.*\)"$/\1/' || true)
    case $line in
    *=)
        [[ $old == "$value" ]] && return 0
        if [[ $old != 192.168.1.[56]0 && $old != */usb-... && $old != '' ]] || [[ $old == 192.168.1.[56]0 && $value == "$old" ]]; then
            if [[ -t 0 ]]; then
                local answer
                read -rp "  $file has $key = \"$old\". Write \"$value\" instead? [y/N] " answer
                [[ $answer == [yYjJ]* ]] || return 0
            else
                say "      $file line $number: $key = \"$old\" was kept. For $option write there: $key = \"$value\""
                say "      Then: sudo systemctl restart $service"
                kept=yes
                return 0
            fi
        fi
        sed -i "${number}s|.*|$key = \"$value\"|" "$file"
        ;;
    *\#) sed -i "${number}s|.*|$key = \"$value\"|" "$file" ;;
    *\[) sed -i "${number}a $key = \"$value\"" "$file" ;;
    *) printf '\n[%s]\n%s = "%s"\n' "$table" "$key" "$value" >>"$file" ;;
    esac
    changed "$file" "$key = \"$value\""
}

# On a terminal `airbridge setup` finds and tests what is missing.
uses_setup() { [[ $setup == yes && -t 0 && -t 1 ]]; }

# run_setup: the questions, for what was installed now or is not complete. Whatever comes of it, the rest goes on.
run_setup() {
    local service words=(setup --no-start)
    [[ $settings_made == yes ]] || settings_are_missing || return 0
    for service in "${wanted[@]}"; do words+=("--${service#ksem-}"); done
    [[ -z $meter ]] || words+=(--meter "$meter")
    [[ -z $port ]] || words+=(--port "$port")
    "$COMMANDS/airbridge" "${words[@]}" || say "  Run the questions again at any time: sudo airbridge setup"
    changes=$((changes + 1))
    [[ " ${wanted[*]} " != *" rtu-server "* ]] || allow_port
}

settings_are_missing() {
    local service target
    for service in "${wanted[@]}"; do
        target=$(settings_of "$service")
        [[ -e ${target%.toml}.env ]] || "$COMMANDS/$service" --check >/dev/null 2>&1 || return 0
    done
    return 1
}

# read_pairing: the line of `pair`, where --pair - was given. On a terminal it is not shown.
read_pairing() {
    [[ $pairing == - ]] || return 0
    if [[ -t 0 ]]; then
        read -rsp "Paste the line that ./install.sh pair has printed, and press Enter: " pairing || true
        say ''
    else
        pairing=$(cat)
    fi
    [[ -n $pairing ]] || misused "--pair -: no line came from standard input"
}

# check_pairing: before anything is changed. The line goes through a pipe and is never an argument.
check_pairing() {
    [[ -n $pairing ]] && command -v python3 >/dev/null || return 0
    printf '%s\n' "$pairing" | python3 -I -B -c '
import sys
sys.path[:0] = sys.argv[1:]
from airbridge.pairing.line import BadLine, decode
try:
    decode(sys.stdin.read())
except BadLine as bad:
    sys.exit(f"install.sh: --pair: {bad}. Nothing was changed.")' "$CHECKOUT" "$CHECKOUT/shared" || exit "$USAGE"
}

# take_pairing: login, key, certificates and rtu-server.toml out of the line
take_pairing() {
    [[ -n $pairing ]] || return 0
    printf '%s\n' "$pairing" | "$COMMANDS/airbridge" pair take - --folder "$SETTINGS" || fail "the line of --pair was not taken"
    changed "$(settings_of rtu-server)" "paired"
}

# print_pairing: the line for the other host alone on standard output; services that got a key start anew
print_pairing() {
    local service words=(pair show --folder "$SETTINGS")
    [[ -x $COMMANDS/airbridge && -e $(settings_of ksem-publisher) ]] ||
        fail "pair runs where ksem-publisher is installed: sudo ./install.sh publisher --mosquitto"
    [[ -z $broker ]] || words+=(--broker "$broker")
    [[ ! -e $BROKER/conf.d/ksem-airbridge-tls.conf ]] || words+=(--tls)
    cp -p "$SETTINGS"/*.toml "$SCRATCH/"
    "$COMMANDS/airbridge" "${words[@]}" || exit "$FAILED"
    for service in ksem-publisher rtu-server; do
        [[ -e $(settings_of "$service") ]] || continue
        cmp -s "$(settings_of "$service")" "$SCRATCH/$(basename "$(settings_of "$service")")" && continue
        if has_systemd && is_installed "$service"; then
            systemctl restart "$service" && say "$service was started anew with the key." >&2
        fi
        [[ $service != ksem-publisher ]] || say "An RTU server without this key gets no data from now on: give each one the line." >&2
    done
}

has_port() { grep -E '^port *= *["'"'"']/' "$1" | grep -qvF '/usb-...'; }

make_settings() {
    local service=$1 target role login new
    target=$(settings_of "$service")
    role=$(role_of "$service")
    login=$SETTINGS/logins/$role
    # A login that was made earlier, or copied here from the broker's host: readable for the one service that needs it.
    if [[ -d $login ]]; then
        own_by_group "$service" 750 "$login"
        find "$login" -type f | while read -r file; do own_by_group "$service" 640 "$file"; done
    fi
    [[ ! -e ${target%.toml}.env ]] || own_by_group root 600 "${target%.toml}.env" # systemd reads it, as root
    if [[ -e $target ]]; then
        own_by_group "$service" 640 "$target"
        local before=$changes kept=no
        case $service in
        ksem-publisher)
            check_meter
            fill "$target" meter host "$meter" --meter
            ;;
        rtu-server)
            has_port "$target" || [[ -n $port || -e ${target%.toml}.env ]] || uses_setup || find_port
            [[ -z $port ]] || fill "$target" line port "$port" --port
            ;;
        inverter-reader) fill "$target" inverter host "$inverter" --inverter ;;
        ksem-dashboard) [[ $page != house ]] || fill "$target" dashboard listen 0.0.0.0 --page ;;
        esac
        fill "$target" mqtt host "$broker" --broker
        if [[ -e $login/password ]] && ! grep -qE '^(username|cert_file|password|password_file) *=' "$target"; then
            fill "$target" mqtt username "$role" login
            fill "$target" mqtt password_file "$login/password" login
        fi
        [[ $changes != "$before" || $kept == yes ]] || step "$target" "kept"
        return
    fi
    new=$SCRATCH/settings
    cp "$CHECKOUT/deploy/packaging/$(basename "$target")" "$new"
    case $service in
    ksem-publisher)
        meter=$(host_of "$meter")
        uses_setup || check_meter
        set_key "$new" host "$meter"
        ;;
    rtu-server)
        [[ -n $port ]] || uses_setup || find_port
        set_key "$new" port "$port"
        ;;
    inverter-reader) set_key "$new" host "$inverter" ;;
    ksem-dashboard)
        if [[ -z $page && -t 0 ]]; then
            local answer
            read -rp "  Who may open the web page? It has no login. 1: this host only, 2: everybody in this network [1] " answer
            [[ $answer != 2 ]] || page=house
        fi
        [[ $page != house ]] || sed -i 's|^# listen = .*|listen = "0.0.0.0"|' "$new"
        ;;
    esac
    if [[ -n $broker ]]; then
        sed -i "s|^# host = \"localhost\"|host = \"$broker\"|" "$new"
    elif [[ $mosquitto == yes ]] && grep -qs '^listener 1884 127.0.0.1' "$BROKER/conf.d/ksem-airbridge.conf"; then
        # The broker's listener for this host: nobody from the network can take all of its places.
        sed -i '/^\[mqtt\]/,/^\[/s|^# host = "localhost"|host = "127.0.0.1"|; /^\[mqtt\]/,/^\[/s|^# port = 1883|port = 1884|' "$new"
    fi
    if [[ -e $login/password ]]; then
        sed -i 's|^# \(username = \)|\1|; s|^# \(password_file = \)|\1|' "$new"
    fi
    install -m 640 -o root -g "$service" "$new" "$target"
    changed "$target" "made"
    settings_made=yes
    [[ $service != ksem-dashboard ]] || page_made=yes
}

# set_key FILE KEY VALUE: the value in the placeholder's place; without one the key is missing, and --check reports it
set_key() {
    if [[ -n $3 ]]; then
        sed -i "s|^$2 = .*|$2 = \"$3\"|" "$1"
    else
        sed -i "s|^$2 = |# &|" "$1"
    fi
}

own_by_group() {
    [[ $(stat -c '%a %G' "$3") == "$2 $1" ]] && return
    chgrp "$1" "$3"
    chmod "$2" "$3"
}

install_unit() {
    local service=$1 new=no
    put "$CHECKOUT/deploy/systemd/$service.service" "$UNITS/$service.service" 644 && new=yes
    if (($(systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p') >= 254)); then
        put "$CHECKOUT/deploy/systemd/back-off.conf" "$UNITS/$service.service.d/back-off.conf" 644 && new=yes
    fi
    if [[ $new == yes ]]; then
        changed "$service.service" "installed"
        has_systemd && systemctl daemon-reload
    else
        step "$service.service" "there"
    fi
    [[ $service != rtu-server ]] || allow_port
    systemctl is-enabled --quiet "$service" 2>/dev/null || systemctl enable --quiet "$service"
}

# The unit may open serial ports of the settings' kind alone. By kind and not by node: an adapter that is plugged in again gets
# another number.
allow_port() {
    local ports=() each node major drop_in=$UNITS/rtu-server.service.d/serial-port.conf made=$SCRATCH/serial-port.conf
    mapfile -t ports < <(sed -n 's/^port = "\(.*\)".*/\1/p' "$(settings_of rtu-server)" 2>/dev/null | grep '^/' || true)
    [[ ${#ports[@]} != 0 ]] || return 0
    [[ ! -e $SETTINGS/rtu-server.env ]] || return 0 # it may name other ports
    printf '# Made by install.sh from %s: the kinds of its ports, and no other device.\n[Service]\nDeviceAllow=\n' \
        "$(settings_of rtu-server)" >"$made"
    for each in "${ports[@]}"; do
        node=$(readlink -f "$each")
        [[ -c $node ]] || return 0 # it is not plugged in now: the unit's own list stays
        major=$((0x$(stat -c %t "$node")))
        grep -qx "DeviceAllow=char-$major rw" "$made" || printf 'DeviceAllow=char-%s rw\n' "$major" >>"$made"
    done
    if put "$made" "$drop_in" 644; then
        changed "rtu-server.service" "may open ${ports[*]} and devices of that kind only"
        if has_systemd; then systemctl daemon-reload; fi
    fi
}

# start SERVICE: running with what is installed now; false where its settings are not complete
start() {
    local service=$1 mistakes line target
    target=$(settings_of "$service")
    # (What an .env file adds only systemd knows; then the service itself reports, in the journal.)
    if [[ ! -e ${target%.toml}.env ]] &&
        ! mistakes=$(cd / && runuser -u "$service" -- "$COMMANDS/$service" --check 2>&1 >/dev/null); then
        step "$service" "waits for its settings:"
        while read -r line; do say "      $line"; done <<<"$mistakes"
        say "      Then: sudo systemctl restart $service"
        return 1
    fi
    if ! has_systemd; then
        step "$service" "starts at the next boot"
    elif ((changes == 0)) && systemctl is-active --quiet "$service"; then
        step "$service" "runs"
    else
        systemctl restart "$service" || fail "$service does not start: journalctl -u $service"
        step "$service" "started"
    fi
}

install_all() {
    local service waiting=0 packages=(python3-venv) beside=''
    check_host
    read_pairing
    check_pairing
    # What is here already goes on with the same programs, and the broker with the rights they need.
    [[ ! -e $BROKER/conf.d/ksem-airbridge.conf ]] || mosquitto=yes
    [[ $mosquitto == no ]] || packages+=(mosquitto) beside=' and mosquitto'
    [[ $mosquitto == no ]] || check_broker_ports
    for service in "${SERVICES[@]}"; do
        if is_installed "$service"; then want "$service"; fi
    done
    [[ ${#wanted[@]} != 0 ]] || fail "nothing is installed here yet: see ./install.sh --help"
    say "Installing ${wanted[*]}$beside:"
    install_packages "${packages[@]}"
    for service in "${wanted[@]}"; do make_user "$service"; done
    mkdir -p "$SETTINGS"
    old_versions=$SCRATCH/old_versions
    install_programs "${wanted[@]}"
    [[ $mosquitto == no ]] || install_broker
    for service in "${wanted[@]}"; do
        make_settings "$service"
        [[ $service != rtu-server ]] || take_pairing
        install_unit "$service"
    done
    if uses_setup; then run_setup; fi
    for service in "${wanted[@]}"; do start "$service" || waiting=1; done
    xargs -r -d '\n' rm -rf <"$old_versions"
    if ((changes == 0)); then say "Nothing had to be changed."; fi
    if has_systemd; then
        ((changes == 0)) || sleep 3 # until they have found the broker, the meter and the inverter, or have not
        say "Status of the services:"
        for service in "${wanted[@]}"; do
            step "$service" "$(systemctl show --value --property StatusText "$service" | grep . || echo "not running")"
        done
    fi
    ((changes == 0)) || show_news
    if ((waiting)); then exit "$SETTINGS_WANTED"; fi
    if [[ $page_made == yes ]]; then
        if [[ $page == house ]]; then
            say "The web page is at http://$(hostname):8080, for everybody in this network: it has no login."
        else
            say "The web page is at http://127.0.0.1:8080, for this host only: it has no login. For your whole network write"
            say "listen = \"0.0.0.0\" into $SETTINGS/dashboard.toml, then: sudo systemctl restart ksem-dashboard"
        fi
    fi
    if has_systemd && ! data_flows; then
        say "Installed and running, but no data flows yet. What is wrong, and the remedy: sudo airbridge doctor"
        if uses_setup; then "$COMMANDS/airbridge" doctor || true; fi
        exit "$NO_DATA"
    fi
    say "Done. What is going on: systemctl status ${wanted[*]}"
}

# Each service that carries data reports in its status line that it does. Some seconds are given to it after a start.
data_flows() {
    local service tries=$(((changes > 0) * 10 + 1))
    for service in "${wanted[@]}"; do
        [[ $service != ksem-dashboard && $service != inverter-reader ]] || continue
        until carries_data "$(systemctl show --value --property StatusText "$service")"; do
            ((--tries > 0)) || return 1
            sleep 1
        done
    done
}
carries_data() { [[ $1 == 'live data flows'* || $1 == 'the inverter gets data'* ]]; }

# What is new, from the changelog: its part above the version that was here before.
show_news() {
    local now=$CHECKOUT/CHANGELOG.md before=$HOME_DIR/CHANGELOG.md
    if [[ -f $before ]] && ! cmp -s "$before" "$now"; then
        say "What is new:"
        diff --unchanged-line-format= --old-line-format= --new-line-format='%L' "$before" "$now" | sed -n 's/^/    /; /[^ ]/p' || true
    fi
    put "$now" "$before" 644 || true
}

uninstall() {
    local service file
    check_host
    say "Removing KSEM AirBridge:"
    for service in "${SERVICES[@]}"; do
        if is_installed "$service"; then
            if has_systemd; then systemctl stop "$service"; fi
            systemctl disable --quiet "$service" 2>/dev/null || true
            rm -rf "$UNITS/$service.service" "$UNITS/$service.service.d"
            changed "$service.service" "removed"
        fi
        remove_link "$service"
    done
    for file in "${TOOLS[@]}"; do remove_link "$file"; done
    if has_systemd && ((changes)); then systemctl daemon-reload; fi
    rm -rf "$UNITS/mosquitto.service.d/ksem-airbridge.conf"
    rmdir "$UNITS/mosquitto.service.d" 2>/dev/null || true
    rmdir "$UNITS" "${UNITS%/*}" 2>/dev/null || true # where nobody else's units are there
    remove_broker
    if [[ -d $HOME_DIR ]]; then
        rm -rf "$HOME_DIR"
        changed "$HOME_DIR" "removed"
    fi
    # Files of a user that is gone would one day belong to another one, who gets its number.
    if [[ -d $SETTINGS ]]; then
        if [[ $purge == yes ]]; then
            rm -rf "$SETTINGS"
            changed "$SETTINGS" "removed"
        else
            chgrp -R root "$SETTINGS"
            step "$SETTINGS" "kept (--purge removes it)"
        fi
    fi
    for service in "${SERVICES[@]}"; do
        if [[ -d /var/lib/$service ]]; then # what it wrote down after faults, the history
            rm -rf "/var/lib/${service:?}"
            changed "/var/lib/$service" "removed"
        fi
        if getent passwd "$service" >/dev/null; then
            userdel "$service"
            changed "user $service" "removed"
        fi
    done
    say "Done. Debian packages (mosquitto, python3-venv) stay: others may use them."
}

remove_link() {
    if [[ $(readlink "$COMMANDS/$1" || true) == "$HOME_DIR"/* ]] || grep -qs "^home=$HOME_DIR/current" "$COMMANDS/$1"; then
        rm "$COMMANDS/$1"
    fi
}

remove_broker() {
    local file any=no
    for file in "$BROKER"/conf.d/ksem-airbridge*; do
        [[ -e $file ]] || continue
        any=yes
        rm "$file"
    done
    if [[ $purge == yes && -d $BROKER/ksem-airbridge ]]; then
        any=yes
        rm -rf "$BROKER/ksem-airbridge"
    fi
    if [[ $any == yes ]]; then
        changed "mosquitto" "its configuration is Debian's again"
        if has_systemd && systemctl is-active --quiet mosquitto; then systemctl restart mosquitto; fi
    fi
}

# want SERVICE...: each once
want() {
    local service
    for service in "$@"; do
        [[ " ${wanted[*]} " == *" $service "* ]] || wanted+=("$service")
    done
}

# check_word OPTION VALUE: nothing that could break out of the settings file
check_word() {
    [[ $2 =~ ^[A-Za-z0-9._:/@%+,=-]*$ ]] || misused "$1 $2: only letters, digits and . _ : / @ % + , = - can stand there"
}

meter='' port='' inverter='' broker='' page='' pairing='' given='' mosquitto=no setup=yes settings_made=no purge=no page_made=no wanted=() action=''
old_versions=
[[ ${BASH_SOURCE[0]} == "$0" ]] || return 0 # a test calls its functions one by one
while (($#)); do
    case $1 in
    -h | --help) help && exit "$DONE" ;;
    publisher) want ksem-publisher ;;
    rtu-server) want rtu-server ;;
    both) want ksem-publisher rtu-server ;;
    inverter-reader) want inverter-reader ;;
    dashboard) want ksem-dashboard ;;
    upgrade | uninstall | pair) action=$1 ;;
    --mosquitto) mosquitto=yes ;;
    --purge) purge=yes ;;
    --no-setup) setup=no ;;
    --meter | --port | --inverter | --broker | --page)
        [[ -n ${2:-} ]] || misused "$1 needs a value"
        check_word "$1" "$2"
        declare "${1#--}=$2"
        given="${given:+$given, }$1"
        shift
        ;;
    --pair)
        [[ -n ${2:-} ]] || misused "--pair needs the line, or - for standard input"
        pairing=$2
        shift
        ;;
    *) misused "$1: not known" ;;
    esac
    shift
done
meter=$(host_of "$meter")
[[ -z $page || $page == host || $page == house ]] || misused "--page $page: host or house"
[[ -z $action || ${#wanted[@]} == 0 ]] || misused "$action takes no part: it is for all that are here"
[[ -z $pairing || " ${wanted[*]} " == *" rtu-server "* ]] || misused "--pair goes with rtu-server"
[[ -z $pairing || -z $broker ]] || misused "--pair names the broker: leave --broker out"
[[ $purge == no || $action == uninstall ]] || misused "--purge goes with uninstall"
case $action${wanted[*]} in
'') misused "name publisher, rtu-server, both, inverter-reader, dashboard, pair, upgrade or uninstall" ;;
uninstall) uninstall ;;
pair)
    check_host
    print_pairing
    ;;
*) install_all ;;
esac
