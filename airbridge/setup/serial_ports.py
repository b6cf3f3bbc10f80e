"""Lists the serial ports of this host as the kernel describes them, and receives from one; sends nothing [shell]."""

import os
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from airbridge.capture.serial_listener import PortError, SerialListener
from airbridge.doctor.gather_host import DEVICES, holders
from airbridge.setup.port_questions import LineScan
from airbridge.setup.steps import Adapter, LineAnswer, LineMode, ListenToLine
from modbus_codec.rtu import RtuFrameReader
from service_runtime.clock import boottime

DEV: Final = Path("/dev")
SYS: Final = Path("/sys")


def list_adapters(dev: Path = DEV, sys: Path = SYS) -> tuple[Adapter, ...]:
    """USB adapters first, then the host's own ports."""
    devices = [str(one) for pattern in DEVICES for one in sorted(dev.glob(pattern))]
    by_path = _links(dev / "serial" / "by-path")
    paths = stable_paths(devices, _links(dev / "serial" / "by-id"), by_path)
    return prefer_sockets(tuple(_describe(device, paths[device], sys) for device in devices), by_path)


def _describe(device: str, path: str, sys: Path) -> Adapter:
    usb, interface = _usb_folders(sys / "class" / "tty" / Path(device).name / "device")
    held_by = holders(os.path.realpath(device), Path(device).stat())
    return Adapter(
        path=path,
        device=device,
        maker=_read(usb, "manufacturer"),
        product=_read(usb, "product"),
        serial=_read(usb, "serial"),
        usb_id=f"{_read(usb, 'idVendor')}:{_read(usb, 'idProduct')}" if usb else "",
        interface=int(_read(interface, "bInterfaceNumber") or "0", 16),
        holders=tuple((one.pid, one.command) for one in held_by),
        ours=bool(held_by) and all(one.is_ours for one in held_by),
    )


def _usb_folders(start: Path) -> tuple[Path | None, Path | None]:
    """The folders of the USB device and of its interface, upwards from the port's."""
    try:
        folder = start.resolve(strict=True)
    except OSError:
        return None, None
    interface = None
    for one in (folder, *folder.parents):
        if (one / "bInterfaceNumber").exists():
            interface = one
        if (one / "idVendor").exists():
            return one, interface
    return None, None


def _read(folder: Path | None, name: str) -> str:
    try:
        return (folder / name).read_text(encoding="utf-8", errors="replace").strip() if folder else ""
    except OSError:
        return ""


def _links(folder: Path) -> dict[str, str]:
    try:
        return {str(link): os.path.realpath(link) for link in folder.iterdir()}
    except OSError:
        return {}


_TURN: Final = 0.05


def listen_to_line(step: ListenToLine) -> LineAnswer:
    """Until requests come, or it has tried every speed; on a silent line it stays at the first one."""
    scan = LineScan(step.mode, step.seconds)
    while True:
        try:
            answer = _listen_at(step.path, scan)
        except PortError as error:
            return LineAnswer("failed", step.mode, why=str(error))
        answer = answer or scan.end_of_turn()
        if answer is not None:
            return answer


def _listen_at(path: str, scan: LineScan) -> LineAnswer | None:
    mode: LineMode = scan.mode
    reader = RtuFrameReader()
    with SerialListener(path, baudrate=mode.baudrate, parity=mode.parity, stopbits=mode.stopbits) as port:
        deadline = time.monotonic() + scan.seconds
        while time.monotonic() < deadline:
            data = port.read(reader.idle_gap if reader.pending else _TURN)
            now = boottime()
            frames = reader.flush(now)
            answer = scan.receive([*frames, *reader.feed(data, now)] if data else frames)
            if answer is not None:
                return answer
    return None


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
