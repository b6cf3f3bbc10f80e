"""Judges which serial port leads to the inverter [core]."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

_OTHER_DEVICES: Final = (
    (
        "Zigbee",
        r"zigbee|conbee|raspbee|zbdongle|sonoff.*(dongle|plus)|slzb|zigstar|zigate|tubeszb|cc2[56]\d\d|efr32|ezsp",
    ),
    ("Zigbee or Thread", r"skyconnect|home_?assistant|zbt-[12]|thread"),
    ("Z-Wave", r"z-?wave|zwa-2|aeotec|zooz|nortek|zst\d"),
    ("LTE modem", r"modem|\blte\b|huawei|quectel|sierra"),
    ("GPS receiver", r"gps|u-blox|gnss"),
    ("microcontroller", r"arduino|esp32|\bmcu\b|raspberry_pi_pico|jtag"),
    ("meter's optical head", r"\bir[_-]?head|lesekopf|volkszaehler"),
)
"""What else is plugged in by USB and speaks something else, by the texts of its USB descriptor. The Zigbee and Z-Wave
names are those by which Home Assistant's own discovery knows them (core: `zha/manifest.json` and
`zwave_js/manifest.json`)."""
_OTHER_IDS: Final = {"1cf1:0030": "Zigbee", "0658:0200": "Z-Wave", "303a:4001": "Z-Wave", "0451:16a8": "Zigbee"}
"""USB vendor and product ids that belong to one kind of stick (ConBee, Z-Stick, ZWA-2, CC2531; same source)."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """A serial port of this host, as the kernel describes it."""

    path: str
    """The best name: by-id where it is unique, by-path where two adapters share a name, else the device."""
    device: str
    """`/dev/ttyUSB0`."""
    maker: str = ""
    product: str = ""
    serial: str = ""
    usb_id: str = ""
    """`0403:6001`; empty where it is no USB device."""
    interface: int = 0
    """Of a USB device with several: only the first can be a plain adapter."""
    holders: tuple[tuple[int, str], ...] = ()
    """Process id and program of those that have it open."""
    ours: bool = False
    """An rtu-server holds it."""

    @property
    def label(self) -> str:
        """Maker, product and serial number for people, each as far as it is known."""
        name = " ".join(part for part in (self.maker, self.product) if part) or self.device.rpartition("/")[2]
        return f"{name}, {self.serial}" if self.serial else name


def other_device(adapter: Adapter) -> str:
    """What kind of stick this is, where it is known to be no RS485 adapter; else an empty text."""
    if adapter.usb_id in _OTHER_IDS:
        return _OTHER_IDS[adapter.usb_id]
    texts = "_".join((adapter.maker, adapter.product, adapter.path.rpartition("/")[2])).replace(" ", "_").lower()
    return next((kind for kind, pattern in _OTHER_DEVICES if re.search(pattern, texts)), "")


def is_candidate(adapter: Adapter) -> bool:
    """Whether it may be taken without a question: a USB adapter that nobody else holds and that is no known stick."""
    free = adapter.ours or not adapter.holders
    return bool(adapter.usb_id) and free and adapter.interface == 0 and not other_device(adapter)


def stable_paths(devices: Iterable[str], by_id: dict[str, str], by_path: dict[str, str]) -> dict[str, str]:
    """The best name of each device. `by_id` and `by_path`: link to device.

    Two equal adapters without a serial number share one by-id link, which leads to the last one plugged in. So a link
    counts only for its device, and a device without one is named by its socket.
    """
    ids = {device: link for link, device in sorted(by_id.items(), reverse=True)}
    sockets = {device: link for link, device in sorted(by_path.items(), reverse=True)}
    return {device: ids.get(device) or sockets.get(device) or device for device in devices}


def prefer_sockets(adapters: tuple[Adapter, ...], by_path: dict[str, str]) -> tuple[Adapter, ...]:
    """Name equal adapters without a serial number by their sockets: which of them a by-id link means may change."""
    kinds = Counter((one.usb_id, one.maker, one.product) for one in adapters if one.usb_id and not one.serial)
    sockets = {device: link for link, device in sorted(by_path.items(), reverse=True)}
    return tuple(
        replace(one, path=sockets[one.device])
        if one.device in sockets and kinds[one.usb_id, one.maker, one.product] > 1
        else one
        for one in adapters
    )
