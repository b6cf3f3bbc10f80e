"""Every text that the setup shows, as a template with named parameters [core].

The wizard names a template and gives its parameters; nothing else in the setup holds words for people. A translation
is a second table with the same names and the same parameters.
"""

from collections.abc import Mapping
from typing import Final

from airbridge.setup.steps import Text

ENGLISH: Final[Mapping[str, str]] = {
    "welcome": (
        "KSEM AirBridge setup. Each answer is tested; nothing is written before the end. Ctrl-C leaves all as it is."
    ),
    # what this host runs
    "which part": "What does this host do?",
    "part both": "all: it reaches the meter, and the inverter's RS485 adapter is plugged in here",
    "part publisher": "the meter's side only (ksem-publisher)",
    "part rtu-server": "the inverter's side only (rtu-server)",
    "what to change": "Everything is set. What do you want to change?",
    "change meter": "the meter (now {now})",
    "change port": "the RS485 port (now {now})",
    "change broker": "the MQTT broker and its login (now {now})",
    "change all": "everything",
    "change nothing": "nothing, only check",
    # the meter
    "searching announced": "Looking for a KSEM that announces itself in the network ...",
    "scan?": "May this host try ports 502 and 802 of every address in {networks}, to find the KSEM?",
    "scanning": "Trying ports 502 and 802 in {networks} ...",
    "no meter found": "No KSEM was found.",
    "which meter": "Which meter do you mean?",
    "another address": "another address",
    "meter address?": "The KSEM's address or host name (your router lists it)",
    "use untested?": "Write this address all the same?",
    "tls only": "{host} speaks TLS only. Looking again, encrypted, on port 802.",
    "device ksem": "{host}: {name}, serial number {serial}, measures every {interval} ms",
    "device booting": "{host}: {name}, serial number {serial}, but it measures no grid frequency yet",
    "device inverter": "{host} port {port}: an inverter, not the meter",
    "device other": "{host} port {port}: another Modbus device",
    "device tls": "{host} port {port}: speaks TLS only",
    "device closed": "{host}: there, but its port {port} takes no Modbus",
    "device silent": "{host} port {port}: accepts connections and does not answer",
    "device away": "{host}: nothing answers there ({why})",
    "device unknown": "{host}: this name is not known ({why})",
    "remedy booting": "Wait a minute. If it stays so, look at the meter's voltage inputs L1 to L3 and N.",
    "remedy inverter": "The KSEM is another device, with an address of its own: your router lists it.",
    "remedy other": "Give the KSEM's own address: your router lists it.",
    "remedy tls": "Switch TLS off in the KSEM's menu, or give port 802.",
    "remedy closed": "Open http://{host}. If it is the KSEM's page: Modbus settings, TCP slave: enable it there.",
    "remedy silent": "Restart the meter. If it stays so, stop other programs that read from it.",
    "remedy away": "Is the meter on, its network cable in, and this address right? Your router lists it.",
    "remedy unknown": "Give the meter's IP address: your router lists it.",
    "meter menu": (
        "In the KSEM's web page (http://{host}), Modbus settings:\n"
        "  TCP slave: enabled\n"
        "  TCP master: add a slave with address {own}, port {port}\n"
        "  Register groups: instantaneous values total and phases on. Fixed transmit interval: off\n"
        "Waiting for its first write. Without it the meter is polled, which is a little slower. Ctrl-C goes on without."
    ),
    "meter pushes": "The meter at {peer} writes to this host.",
    "other peer": "It writes from {peer}, not from {host}: another device, or the meter behind a router (push_from).",
    "push nothing": "Nothing was written to port {port} yet.",
    "push taken": "Port {port} is in use: ksem-publisher listens there already, and the doctor will report on it.",
    "push failed": "Can't listen on port {port}: {why}",
    "wait on?": "Wait on?",
    # the port
    "no adapter": "No serial adapter is plugged in. Plug the USB-RS485 adapter in.",
    "adapter": "{path} ({name})",
    "adapter taken": "RS485 port: {path} ({name})",
    "adapter other": "{path} ({name}): a {kind} stick, it is left alone",
    "adapter held": "{path} ({name}): in use by {holder}. Stop that program if this is the RS485 adapter.",
    "adapter ours": "rtu-server uses this port already ({holder}): the doctor will report what the inverter requests.",
    "port not listed": "{path} is none of the serial ports that were found; it is used as it is.",
    "which adapter": "Which one is the RS485 adapter to the inverter?",
    "look again": "look again (after plugging it in)",
    "inverter menu": (
        "In the inverter: Service menu, energy management / energy meter:\n"
        "  type KOSTAL Smart Energy Meter, position as it is built in\n"
        "Wiring: adapter A (D+) to the inverter's A, B to B, GND to GND.\n"
        "Waiting for the inverter's requests. Ctrl-C goes on without."
    ),
    "line requests": "The inverter requests unit {units} at {mode}.",
    "line silent": "Nothing is received on {path} yet.",
    "line noise": (
        "Something is received on {path}, and at no speed it is Modbus. A and B are most likely swapped: swap the two "
        "wires at the adapter."
    ),
    "line failed": "Can't listen: {why}",
    "other unit": "It requests unit {units}. Set that number as id in [[line.unit]] of rtu-server.toml.",
    # the broker
    "broker up": "The broker at {host}:{port} took the login.",
    "broker login": "The broker at {host}:{port} wants a name and a password that it knows.",
    "broker down": "{host}:{port}: {why}",
    "no broker here": "No MQTT broker was found on this host.",
    "broker address?": "The broker's address or host name, with its port if that is not 1883",
    "username?": "Its user name",
    "password?": "The password of {username}",
    # the end
    "unreadable": "The settings there are can't be read: {why}. Nothing was written.",
    "nothing changes": "The settings are as they should be.",
    "will write": "To be written: {files}",
    "one change": "  {file}: {key} = {value}",
    "save?": "Write this?",
    "not saved": "Nothing was written.",
    "saved": "Written. The files as they were are in the folder `backup` beside them.",
    "mistake": "{line}",
    "doctor comes": "What the doctor finds:",
    # asking
    "yes": "y",
    "no": "n",
    "answer number": "Number",
    "unanswered": "{question}\nNothing to answer this with: {option}. Nothing was written.",
    "interrupted": "Nothing was written.",
}
"""The texts as they are shown. Menu names are those of KOSTAL's English manuals."""

OPTIONS: Final[Mapping[str, str]] = {
    "services": "name the parts: --publisher, --rtu-server",
    "meter": "give --meter HOST, or --network to search in",
    "port": "give --port PATH",
    "broker": "give --broker HOST[:PORT]",
    "username": "give --username NAME",
    "password": "give --password-file FILE",
    "change": "give --change meter, port or broker",
    "untested": "correct the option, or give --untested",
}
"""For each question without a default: the option by which a script answers it."""


def render(shown: Text, table: Mapping[str, str] = ENGLISH) -> str:
    """The text with its parameters in place."""
    return table[shown.name].format(**shown.parameters)
