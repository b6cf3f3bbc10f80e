"""All reasons in English: by code a sentence and a remedy [core].

`{name}` in a sentence or a remedy is a parameter of the reason. A translation is a second mapping with the same codes
and parameters. docs/contract.md shows this table; docs/generate_reason_table.py writes it there. It is one table, as
long as there are reasons: whoever looks for a code looks here alone.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple


class Template(NamedTuple):
    """The text of one code. Fragments without a capital letter at their begin and a full stop at their end."""

    text: str
    remedy: str = ""
    """What a user can do; empty where nothing is wrong, or where another reason beside it has the remedy."""
    meaning: str = ""
    """What the code means, where the text is nothing but a parameter."""


_METER_REMEDY: Final = (
    "check the meter's power and network cable, [[meter]] host in publisher.toml, and that the TCP slave is enabled"
    " in the meter's Modbus settings"
)
_VALUES_REMEDY: Final = "compare with the meter's own web page; if it shows the same, restart or replace the meter"
_GROUPS_REMEDY: Final = "switch on all groups in the meter's menu"
_PACE_REMEDY: Final = "set no fixed interval in the meter's Modbus menu"
_STOP_ONE: Final = "stop one"
_OWN_PORTS: Final = "give each meter a push_port of its own"
_WIRING: Final = "check wiring A/B, the energy meter set in the inverter's menu, and unit id"
_REPLUG: Final = "its output is stuck; plug the adapter out and in again, or try another one"
_IS_KSEM: Final = "check that it is a KSEM, and [[meter]] host and unit in publisher.toml"
_ADAPTER: Final = "plug the adapter in, and compare [[line]] port in rtu-server.toml with: ls -l /dev/serial/by-id"
_ON_LINE: Final = "unit {unit} on {line}: "

_METER: Final[Mapping[str, Template]] = {
    # the meter's state
    "live-pushed": Template("live data is pushed"),
    "live-polled": Template("live data is polled"),
    "no-live-data": Template("no live data"),
    "polled-instead": Template("polled instead of pushed"),
    "polls-unanswered": Template("no answers to polls"),
    "blocks-unread": Template("not read yet: {blocks}"),
    "blocks-old": Template("old: {blocks}"),
    "second-publisher": Template("another publisher runs for this meter (session {sessions})", _STOP_ONE),
    "publisher-contradicted": Template("another publisher runs for this meter (it publishes {topic})", _STOP_ONE),
    "broker-delivers-nothing": Template(
        "the broker delivers nothing we subscribed to", "let this user read {topic}: mend the broker's ACL, reload it"
    ),
    "another-meter": Template("{where} is another meter: {error}"),
    "serial-changed": Template(
        "another meter answers: its serial number {serial} is not {before}, the last known one; counters begin anew",
        "if you did not replace the meter, check its address; [[meter]] serial refuses others",
    ),
    "key-file": Template(
        "{error}", "", "the file of [integrity] key_file can't be read; the last good keys stay in force"
    ),
    # the push
    "push-of-another-meter": Template("not used: {error}"),
    "push-arrives": Template("a whole cycle every {period} ms"),
    "push-energy-partly": Template("registers {registers} are not pushed but polled"),
    "push-off": Template("switched off in [push]"),
    "push-not-begun": Template(
        "the meter has not pushed yet",
        "give it this host's address and the port of [push] as a slave in its Modbus menu (KOSTAL calls a receiver so)",
    ),
    "push-stopped": Template("the meter has stopped pushing", "see the slaves in its Modbus menu, and the network"),
    "push-differs": Template(
        "what {peer} pushes is not what the meter answers to polls: two meters behind one address, or a push that"
        " stands still",
        _OWN_PORTS,
    ),
    "push-rival": Template(
        "two connections from {peer} push at once: two meters behind one address; only the polled one is used",
        _OWN_PORTS,
    ),
    "push-on-two-connections": Template(
        "registers {registers} come on another connection than the rest", "look for two senders at once"
    ),
    "push-incomplete": Template("registers {registers} are not pushed", _GROUPS_REMEDY),
    "push-energy-only": Template("only energy counters are pushed", _GROUPS_REMEDY),
    "push-off-pace": Template(
        "a cycle every {period} ms, but the meter measures every {interval} ms (register 8244): live data is polled,"
        " which is newer",
        _PACE_REMEDY,
    ),
    "push-too-slow": Template("a cycle every {period} s is too slow", _PACE_REMEDY),
    "push-unconfirmed": Template("a poll is awaited that confirms what is pushed"),
    "push-awaits-cycles": Template("whole cycles are awaited"),
    "push-queued-slow": Template(
        "the meter measures every {interval} ms (register 8244) but takes {period} ms to push a cycle: cycles wait in"
        " it and are old",
        "switch groups off in its Modbus menu, and see whether the network is slow",
    ),
    "push-queued-fast": Template(
        "the meter measures every {interval} ms (register 8244) but pushes another cycle every {period} ms: these have"
        " waited in it",
    ),
    "push-port-closed": Template(
        "can't listen on {address}: {error}",
        "correct listen and port under [push] in publisher.toml, or free the port; it is tried for ever",
    ),
    "push-listener-failed": Template("the push listener failed, it is opened anew", "see the log"),
    "push-refused": Template(
        "a push from {address} was refused",
        'if it is the meter\'s, set push_from = [{sources}] in the [[meter]] with id = "{meter}"',
    ),
    "push-refused-more": Template("pushes from {count} more addresses were refused"),
    "push-ambiguous": Template(
        "pushes from {address} are refused: it is the address of the meters {meters}",
        f"correct their names or push_from, or {_OWN_PORTS}",
    ),
    # how the pushed writes make a cycle
    "cycle-not-repeated": Template("the meter's writes have not repeated three times in the same order yet"),
    "cycle-writes-twice": Template(
        "the meter writes some registers twice in a cycle, so a cycle's end can't be found",
        "remove overlapping groups in the meter's Modbus menu",
    ),
    "cycle-pace-unclear": Template("the meter's pace is not clear yet"),
    "cycle-burst": Template("the meter's writes arrive in a burst"),
    "cycle-ambiguous": Template(
        "it is not clear yet where a cycle ends: the writes of a cycle come with pauses, and the power changes too"
        " little"
    ),
    "cycle-gap": Template("a write came out of order or was missing"),
    "cycle-changed": Template("the meter has changed what it writes"),
    "cycle-pace-changed": Template("the meter's pace has changed"),
    "cycle-spread": Template("a cycle's writes are spread over {spread} s of a period of {period} s"),
    "cycle-cut-elsewhere": Template("the phases' sum shows that cycles are cut elsewhere"),
    "cycle-back": Template("the push has come back, its rhythm is awaited"),
    # polling
    "poll-answers": Template("the meter answers"),
    "poll-not-begun": Template("{where} was not polled yet"),
    "meter-unreachable": Template("no connection to {where}", _METER_REMEDY),
    "meter-name-unknown": Template(
        "no address of {host}: {error}", "correct [[meter]] host in publisher.toml, or the network's name server"
    ),
    "poll-not-connected": Template("{read}: not connected", _METER_REMEDY),
    "poll-unanswered": Template("{read}: no answer in {seconds} s", _METER_REMEDY),
    "poll-failed": Template("{read}: {error}", _METER_REMEDY),
    "poll-exception": Template("{read}: exception {exception}", _IS_KSEM),
    "not-a-ksem": Template("{where} is no KSEM: {error}", _IS_KSEM),
    "identity-refused": Template("the meter refuses to identify itself, so nothing else is read: {error}", _IS_KSEM),
    "live-refused": Template("the meter refuses live data: {error}", _IS_KSEM),
    "block-refused": Template("the meter refuses registers {registers} ({block}): exception {exception}", _IS_KSEM),
    "answers-slow": Template(
        "no whole cycle could be polled, an answer takes {duration} ms: L3 is left out",
        "let the meter push, or look for what slows it and its network down",
    ),
    # values that can't be right
    "frequency-impossible": Template(
        "{frequency} Hz, a grid has {low} to {high}: it boots, or it is no KSEM", _VALUES_REMEDY
    ),
    "power-impossible": Template(
        "registers {registers} (the total's active power) hold {value}: no value, or more than 1 MW; the meter boots,"
        " or it is no KSEM",
        _VALUES_REMEDY,
    ),
    "values-frozen": Template("the same values for more than {seconds} s: the meter is frozen", "restart the meter"),
    "phases-differ": Template("the phases' power and the total's are {gap} W apart", _VALUES_REMEDY),
    "values-missing": Template("registers {registers} hold no value", _VALUES_REMEDY),
    "phase-power-strange": Template("{phase} has {power} W", _VALUES_REMEDY),
    "phase-voltage-strange": Template("{phase} has {voltage} V", _VALUES_REMEDY),
    "counter-backwards": Template("the counter at register {register} went backwards", _VALUES_REMEDY),
    "counters-withheld": Template("not published: {counters}", _VALUES_REMEDY),
}

_NODE: Final[Mapping[str, Template]] = {
    # one inverter's unit
    "inverter-served": Template("the inverter gets data"),
    "tcp-served": Template("clients get data"),
    "unit-off": Template(f"{_ON_LINE}switched off by enabled = false"),
    "unit-has-no-port": Template(f"{_ON_LINE}its port is not open"),
    "port-stuck": Template(f"{_ON_LINE}{{port}} takes no answers", _REPLUG),
    "node-without-broker": Template(f"{_ON_LINE}no link to the broker"),
    "meter-unknown": Template(
        f"{_ON_LINE}nothing was received about meter {{meter}}: no publisher has run yet, its id is another one,"
        " or the broker's ACL keeps {topic}/# from this user",
        "start ksem-publisher, correct the meter's id, or let this user read {topic}/#",
    ),
    "meter-offline": Template(
        f"{_ON_LINE}the publisher of meter {{meter}} reports offline: its live data does not flow", "see its health"
    ),
    "blocks-missing": Template(
        f"{_ON_LINE}no block of meter {{meter}} arrives, and its publisher did not report offline: the network or the"
        " publisher has stalled, or the broker's ACL keeps {topic}/block/+ from this user",
        "check the network and the publisher, and let this user read {topic}/block/+",
    ),
    "blocks-undated": Template(
        f"{_ON_LINE}the publisher of meter {{meter}} answers no ping, so its blocks can't be dated",
        "the broker's ACL must let this user write {topic}/ping/+ and read {topic}/pong/+, and the publisher's read and"
        " write these",
    ),
    "blocks-too-old": Template(
        f"{_ON_LINE}the blocks of meter {{meter}} arrive too old: the way from its publisher is slow, or a live block"
        " is missing",
        "see the publisher's health, and the network between the two",
    ),
    "inverter-awaited": Template(f"{_ON_LINE}waits for the inverter's first request"),
    "inverter-stopped": Template(f"{_ON_LINE}the inverter has stopped sending requests", _WIRING),
    "inverter-unreadable": Template(
        f"{_ON_LINE}no request came, but other traffic did",
        f"check baudrate, parity, stopbits, unit id; else {_WIRING}",
    ),
    "inverter-silent": Template(f"{_ON_LINE}the inverter has never sent a request", _WIRING),
    "requests-refused": Template(
        f"{_ON_LINE}the inverter requests only ranges that the meter does not have, or whose block is old or missing",
        "see requests",
    ),
    "inverter-unserved": Template("the inverter got no data for a moment; data was back before the cause was seen"),
    "node-stopped": Template(
        "the RTU server did not run or stood still", "see its log; on its host: systemctl status rtu-server"
    ),
    "node-name-taken": Template(
        "another RTU server is called {node} (it publishes {topic})",
        "stop one, or give each a name of its own ([node] name)",
    ),
    # ports
    "port-not-opened": Template("not opened yet"),
    "port-open": Template("{port} is open"),
    "port-shared": Template("{port} is also open in {program}, which takes bytes from us", "stop it"),
    "port-feature-missing": Template("{feature}: not offered by {port} ({error})"),
    "thread-restarted": Template("its thread was started anew once", "see the log"),
    "thread-failed": Template("its thread {error}: started anew", "see the log"),
    "port-missing": Template("{port}: no such port", _ADAPTER),
    "port-unplugged": Template("{port}: the adapter was unplugged", _ADAPTER),
    "port-forbidden": Template(
        "{port}: permission denied", "the service's user must be in the group of the port (dialout)"
    ),
    "port-unit-forbids": Template(
        "{port}: not permitted: the systemd unit lets no port of this kind in", "see DeviceAllow= in docs/install.md"
    ),
    "port-busy": Template("{port}: held by another program", "stop it; fuser -v {port} names it"),
    "port-settings-refused": Template(
        "{port}: the port refuses these settings", "correct baudrate, parity and stopbits under [[line]]"
    ),
    "port-no-rs485": Template(
        "{port}: rs485 = true, but its driver has no RS485 mode ({error})",
        "set rs485 = false where the adapter switches by itself, else use another adapter",
    ),
    "host-out-of-memory": Template("{port}: out of memory", "free memory on this host"),
    "host-out-of-files": Template("{port}: too many open files on this host", "raise sysctl fs.file-max"),
    "process-out-of-files": Template(
        "{port}: too many open files in this process", "raise LimitNOFILE= of the systemd unit"
    ),
    "port-failed": Template("{port}: {error}", "see the log"),
    "own-error": Template("the port is opened anew after an error of ours: {error}", "see the log, and report it"),
    "tcp-open": Template("readers are served on {address}"),
    "tcp-port-closed": Template(
        "can't listen on {address}: {error}",
        "correct listen and port under [[tcp]] in rtu-server.toml, or free the port; it is tried for ever",
    ),
}

_LOGIN: Final = (
    "set [mqtt] username and password_file to a login the broker knows (mosquitto/make-users makes them), then"
    " systemctl reload mosquitto"
)

_BROKER: Final[Mapping[str, Template]] = {
    "broker-not-connected": Template("not connected yet"),
    "unit-drill": Template(_ON_LINE + "data is withheld for a drill (airbridge drill); it ends by itself"),
    "unit-silenced": Template(
        _ON_LINE + "silent since it gave a wrong answer ({error})",
        "restart rtu-server, and report it with the archive that airbridge doctor --bundle writes",
    ),
    "unit-stays": Template(_ON_LINE + "data is fresh again, and refused until {stay} s after the last refusal (stay)"),
    "mac-missing": Template(
        "messages about meter {meter} carry no mac and are refused",
        "upgrade ksem-publisher, or find out who else publishes them",
    ),
    "mac-without-key": Template(
        "messages about meter {meter} are made without a key and are refused",
        "give ksem-publisher this host's key ([integrity] key_file), or find out who else publishes them",
    ),
    "mac-of-another-key": Template(
        "messages about meter {meter} are made with another key, or changed on their way, and are refused",
        "put the same key into [integrity] key_file on both hosts, or find out who else publishes them",
    ),
    "mac-of-unknown-key": Template(
        "messages about meter {meter} are made with a key, or changed on their way, and are refused",
        "give rtu-server the key of ksem-publisher ([integrity] key_file)",
    ),
    "broker-connected": Template("connected to {address}"),
    "broker-refuses-topics": Template("the broker refuses subscriptions to {topics}", "see its access rights"),
    "broker-lacks": Template("the broker can't do all that is needed: {what}"),
    "broker-login": Template("{error}", _LOGIN, "the broker refuses the login"),
    "broker-tls": Template(
        "{error}",
        "see [mqtt] tls, port, ca_file, cert_file, key_file, and docs/security.md",
        "no secure link: a certificate, a key or a port is not right",
    ),
    "broker-unreachable": Template(
        "{error}",
        "start the broker (systemctl status mosquitto), correct [mqtt] host and port, look at the firewall",
        "no connection to the broker's address",
    ),
    "broker-silent": Template(
        "{error}",
        "restart the broker; is it a broker that answers there?",
        "the broker takes the connection and is silent",
    ),
    "broker-no-greeting": Template(
        "{error}",
        "see [mqtt] tls, port, version and cert_file, and docs/security.md",
        "whoever answers there closed the connection, or does not speak MQTT",
    ),
    "broker-refuses": Template(
        "{error}", "see the broker's log and its settings", "the broker refuses the connection for another reason"
    ),
    "broker-closed": Template("{error}", "see the broker's log", "the link to the broker ended"),
    "message-too-large": Template(
        "{address} sends a message of more than {limit} bytes below {topics}",
        "stop who publishes it, limit the broker (max_packet_size {limit}){version}",
    ),
    "link-stopped": Template("stopped"),
    "client-id-taken": Template(
        "{error}",
        "give each service a client id and a name of its own",
        "another client connected with this service's client id",
    ),
}

_SEEN: Final[Mapping[str, Template]] = {
    "link-connecting": Template("connecting to the broker", "nothing to do yet"),
    "link-down": Template("no link to the broker"),
    "no-publisher-seen": Template(
        "no meter has been seen",
        "start ksem-publisher, and give it the same broker and prefix; the broker's ACL must let this user read"
        " {prefix}/#. Some brokers (RabbitMQ) give what is retained to exact topics alone: name meters and nodes in the"
        " settings",
    ),
    "meter-not-seen": Template(
        "nothing has been received from meter {meter}",
        "start ksem-publisher, and give it the same broker and prefix; the broker's ACL must let this user read"
        " {prefix}/#",
    ),
    "meter-only-retained": Template(
        "only the broker still knows a meter {meter}",
        "was it given up? Then let the broker forget it: mosquitto_pub -r -n -t {topic}",
    ),
    "publisher-gone": Template(
        "the publisher of meter {meter} is gone", "on its host: systemctl status ksem-publisher"
    ),
    "publisher-silent": Template(
        "the publisher of meter {meter} reports nothing about itself any more",
        "on its host: systemctl status ksem-publisher",
    ),
    "live-data-late": Template(
        "no fresh live data of meter {meter} arrives",
        "the publisher was lost unnoticed, the way from it is slow, or the broker's ACL keeps {prefix}/{meter}/block/+"
        " from this user",
    ),
    "no-node-seen": Template(
        "no RTU server has been seen",
        "on the inverter's host: systemctl status rtu-server; sudo airbridge doctor. It needs the same broker and"
        " prefix as here",
    ),
    "node-not-seen": Template(
        "nothing has been received from the RTU server {node}", "on its host: systemctl status rtu-server"
    ),
    "node-only-retained": Template(
        "only the broker still knows an RTU server {node}",
        "was it given up? Then let the broker forget it: mosquitto_pub -r -n -t {topic}",
    ),
    "node-gone": Template("the RTU server {node} is gone", "on its host: systemctl status rtu-server"),
    "node-silent": Template(
        "the RTU server {node} reports nothing about itself any more", "on its host: systemctl status rtu-server"
    ),
    "message-unreadable": Template(
        "a message on {topic} can't be read: {error}", "run the same version of AirBridge everywhere"
    ),
    "notification-undelivered": Template(
        "a notification to {receiver} could not be delivered, {count} times since {since}: {error}",
        "correct that line of [notify] urls_file, then try it: ksem-dashboard --notify-test",
    ),
    "notifications-without-library": Template(
        "nobody is notified: the library apprise is missing",
        "install it (pip install 'ksem-airbridge[notify]'; on Debian: apt install apprise; after install.sh:"
        " /opt/ksem-airbridge/current/bin/pip install apprise), then restart ksem-dashboard",
    ),
    "history-not-written": Template(
        "the history can't be written: {error}",
        "see that the dashboard's user may write to {directory}, and that the disk has space",
    ),
}
"""Reasons that only an observer can know: dashboard, monitor."""

_ONE_CLIENT: Final = (
    "set share = true in inverter-reader.toml, so that the connection is free between two reads, or put a Modbus proxy"
    " between the inverter and its clients"
)
_SEE_NODE: Final = (
    "see rtu-server's health: the line, the wires A and B, and the energy meter set in the inverter's menu"
)
_SENSOR: Final = (
    "choose KOSTAL Smart Energy Meter as energy meter in the inverter's service menu (an installer's access is needed)"
)

_INVERTER: Final[Mapping[str, Template]] = {
    "inverter-starting": Template("the inverter has not been read yet"),
    "inverter-not-reached": Template(
        "the inverter can't be reached at {where}: {error}",
        "check its power and network cable, and [[inverter]] host in inverter-reader.toml",
    ),
    "inverter-modbus-off": Template(
        "{where} refuses connections: Modbus is switched off in the inverter",
        "switch on Modbus in the inverter's web page (Settings, Modbus/SunSpec (TCP)), and compare its port with"
        " [[inverter]] port; KOSTAL ships it switched off",
    ),
    "inverter-busy": Template(
        "{where} closes the connection at once: another system holds the only one that the inverter allows", _ONE_CLIENT
    ),
    "inverter-no-answer": Template(
        "{where} accepts connections, and does not answer: {error}",
        "compare [[inverter]] unit with the unit id in the inverter's Modbus settings (71 as shipped)",
    ),
    "inverter-refuses": Template(
        "the inverter refuses to be read: {error}",
        "check that host and port belong to a PLENTICORE or PIKO IQ, and that its software is current",
    ),
    "inverter-byte-order": Template(
        "the inverter sends numbers in {found} byte order, the settings expect {expected}",
        'set byte_order = "auto" in inverter-reader.toml',
    ),
    "inverter-implausible": Template(
        "the inverter's numbers make no sense in any byte order (frequency {frequency} Hz)",
        "check that host and port belong to a PLENTICORE or PIKO IQ",
    ),
    "inverter-meter-kind": Template("the inverter is set to another energy meter: {kind}, not a KSEM", _SENSOR),
    "inverter-without-meter": Template(
        "the inverter believes that it has no meter: it shows 0 for all values", _SEE_NODE
    ),
    "inverter-wrong-sign": Template(
        "the inverter believes {believed} W, {served} W were served: the sign is wrong",
        "set the sensor position to grid connection in the inverter's service menu; check that only one meter is on the"
        " line",
    ),
    "inverter-phases-swapped": Template(
        "the inverter believes the phases in another order: its L1, L2, L3 are the meter's {order}",
        "compare the order of the phases at meter and inverter",
    ),
    "inverter-other-power": Template(
        "the inverter believes {believed} W, {served} W were served ({percent} %)",
        "check that no other meter answers on the inverter's RS485 line, and the meter that is set in its menu",
    ),
    "inverter-stands-still": Template(
        "the inverter's values have not changed for {seconds} s, those that were served have",
        "see rtu-server's health for what the inverter requests; restart the inverter if it requests nothing",
    ),
    "inverter-lags": Template(
        "the inverter believes values that are {seconds} s old (0.5 s are usual)",
        "see the age of data and the turnaround in rtu-server's health; if they are small, the inverter itself is slow",
    ),
    "inverter-no-comparison": Template(
        "no values of meter {meter} arrive to compare with",
        "see the publisher's status and its [values] enabled, and compare [[inverter]] meter with the meter's id",
    ),
    "inverter-answers": Template("{where} answers"),
    "inverter-agrees": Template("the inverter believes what was served"),
    "inverter-comparing": Template("the inverter is read; the comparison with the meter has begun"),
    "inverter-reader-silent": Template(
        "nothing arrives from the reader of inverter {inverter} any more",
        "on its host: systemctl status inverter-reader",
    ),
}

ENGLISH: Final[Mapping[str, Template]] = MappingProxyType({**_METER, **_NODE, **_BROKER, **_INVERTER, **_SEEN})
"""By code."""
