"""What the setup is made of: adapters, the line's speed, a file's text, and files that are written whole."""

import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest

from airbridge.setup import save
from airbridge.setup.port_questions import OTHERS, LineScan, is_candidate, other_device
from airbridge.setup.serial_ports import list_adapters
from airbridge.setup.settings_text import EMPTY, change, values
from airbridge.setup.steps import Adapter, LineAnswer, LineMode, NewFile
from modbus_codec.rtu import Noise, Request

EXAMPLES = Path(__file__).parents[3] / "deploy/packaging"


class Usb:
    """A fake /dev and /sys with USB adapters."""

    def __init__(self, folder: Path) -> None:
        self.dev, self.sys = folder / "dev", folder / "sys"
        for name in ("by-id", "by-path"):
            (self.dev / "serial" / name).mkdir(parents=True)

    def plug(self, number: int, by_id: str, **texts: str) -> None:
        """One adapter; texts are those of its descriptor."""
        device = self.dev / f"ttyUSB{number}"
        device.touch()
        for folder, name in (("by-id", by_id), ("by-path", f"platform-usb-0:1.{number}:1.0-port0")):
            link = self.dev / "serial" / folder / name
            link.unlink(missing_ok=True)
            link.symlink_to(device)
        usb = self.sys / "devices" / f"1-{number}"
        interface = usb / f"1-{number}:1.0" / f"ttyUSB{number}"
        interface.mkdir(parents=True)
        (interface.parent / "bInterfaceNumber").write_text("00\n")
        for name, text in texts.items():
            (usb / name).write_text(f"{text}\n")
        port = self.sys / "class" / "tty" / f"ttyUSB{number}"
        port.mkdir(parents=True)
        (port / "device").symlink_to(interface)

    def list(self) -> tuple[Adapter, ...]:
        """What the setup sees."""
        return list_adapters(self.dev, self.sys)


CH340 = {"product": "USB Serial", "idVendor": "1a86", "idProduct": "7523"}
FTDI = {"manufacturer": "FTDI", "product": "FT232R USB UART", "idVendor": "0403", "idProduct": "6001"}


class TestAdapters:
    def test_make_serial_number_and_stable_name_are_found(self, tmp_path: Path) -> None:
        usb = Usb(tmp_path)
        usb.plug(0, "usb-FTDI_FT232R_A1-if00-port0", **FTDI, serial="A1")
        (one,) = usb.list()
        assert one.path.endswith("/by-id/usb-FTDI_FT232R_A1-if00-port0")
        assert one.label == "FTDI FT232R USB UART, A1"
        assert is_candidate(one)

    def test_two_equal_adapters_without_a_serial_number_are_named_by_their_sockets(self, tmp_path: Path) -> None:
        usb = Usb(tmp_path)
        for number in (0, 1):
            usb.plug(number, "usb-1a86_USB_Serial-if00-port0", **CH340)
        assert [Path(one.path).parent.name for one in usb.list()] == ["by-path", "by-path"]

    def test_an_adapter_with_a_number_of_its_own_keeps_its_name_beside_them(self, tmp_path: Path) -> None:
        usb = Usb(tmp_path)
        usb.plug(0, "usb-FTDI_A1", **FTDI, serial="A1")
        usb.plug(1, "usb-FTDI_A2", **FTDI, serial="A2")
        assert [Path(one.path).name for one in usb.list()] == ["usb-FTDI_A1", "usb-FTDI_A2"]

    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            ("usb-ITead_Sonoff_Zigbee_3.0_USB_Dongle_Plus_0001-if00-port0", "Zigbee"),
            ("usb-dresden_elektronik_ConBee_II_DE1-if00", "Zigbee"),
            ("usb-Nabu_Casa_SkyConnect_v1.0_abc-if00-port0", "Zigbee or Thread"),
            ("usb-Texas_Instruments_TI_CC2531_USB_CDC-if00", "Zigbee"),
            ("usb-Nabu_Casa_ZWA-2_Z-Wave_abc-if00", "Z-Wave"),
            ("usb-1a86_USB_Serial-if00-port0", ""),
            ("usb-FTDI_FT232R_USB_UART_A1-if00-port0", ""),
            ("usb-Waveshare_USB_TO_RS485-if00", ""),
            ("usb-Silicon_Labs_CP2102N_USB_to_UART_Bridge_Controller-if00-port0", ""),
        ],
    )
    def test_known_sticks_are_told_apart_by_their_names(self, name: str, kind: str) -> None:
        assert other_device(Adapter(f"/dev/serial/by-id/{name}", "/dev/ttyUSB0")) == kind

    def test_a_stick_is_known_by_its_number_whatever_its_name_is(self) -> None:
        assert other_device(Adapter("/dev/ttyACM0", "/dev/ttyACM0", usb_id="0658:0200")) == "Z-Wave"


def request(unit: int = 1) -> Request:
    return Request(b"", unit, b"", 0.0)


class TestLineScan:
    def test_requests_at_the_first_speed_decide_at_once(self) -> None:
        scan = LineScan(LineMode(), 3)
        assert scan.receive([request()]) is None
        assert scan.receive([request(71)]) == LineAnswer("requests", LineMode(), (1, 71))

    def test_a_silent_line_is_not_tried_at_other_speeds(self) -> None:
        scan = LineScan(LineMode(), 3)
        scan.receive([Noise(b"\0", 0.0)])
        assert scan.end_of_turn() == LineAnswer("silent", LineMode())

    def test_noise_leads_through_all_speeds_once(self) -> None:
        scan = LineScan(LineMode(), 3)
        modes = [scan.mode]
        scan.receive([Noise(bytes(40), 0.0)])
        while (answer := scan.end_of_turn()) is None:
            modes.append(scan.mode)
        assert answer.state == "noise"
        assert modes == [LineMode(), *OTHERS]

    def test_one_request_by_chance_is_no_proof(self) -> None:
        scan = LineScan(LineMode(), 3)
        scan.receive([Noise(bytes(40), 0.0), request()])
        assert scan.end_of_turn() is None
        assert scan.receive([request()]) is None


CHANGES: dict[str, dict[tuple[str, str], Any]] = {
    "publisher.toml": {("meter", "host"): "10.0.0.5", ("meter", "tls"): True, ("mqtt", "port"): 1884},
    "rtu-server.toml": {("line", "port"): "/dev/ttyUSB7", ("line", "baudrate"): 9600, ("mqtt", "host"): "b"},
    "dashboard.toml": {("mqtt", "username"): "dashboard", ("mqtt", "host"): "b"},
}


@pytest.mark.parametrize("name", sorted(EMPTY))
class TestSettingsText:
    def test_values_take_the_place_of_the_comments_that_show_them(self, name: str) -> None:
        old = (EXAMPLES / name).read_text()
        new = change(old, CHANGES[name])
        assert CHANGES[name].items() <= values(new).items()
        assert len(new.splitlines()) == len(old.splitlines())

    def test_every_other_line_stays_as_it_was(self, name: str) -> None:
        old = (EXAMPLES / name).read_text()
        new = change(old, CHANGES[name])
        different = [pair for pair in zip(old.splitlines(), new.splitlines(), strict=True) if pair[0] != pair[1]]
        assert len(different) == len(CHANGES[name])

    def test_a_file_made_from_nothing_holds_the_values_too(self, name: str) -> None:
        new = change(EMPTY[name], CHANGES[name])
        assert values(new) == CHANGES[name]

    def test_a_key_that_is_taken_out_leaves_the_rest(self, name: str) -> None:
        key = ("mqtt", "keepalive")
        new = change(change(EMPTY[name], {key: 5, **CHANGES[name]}), {key: None})
        assert values(new) == CHANGES[name]

    def test_any_text_is_quoted_as_toml_wants_it(self, name: str) -> None:
        odd = 'a"b\\c\nü'
        new = change((EXAMPLES / name).read_text(), {("mqtt", "host"): odd})
        assert tomllib.loads(new)["mqtt"]["host"] == odd


GOOD = '[[meter]]\nhost = "10.0.0.5"\n[mqtt]\nhost = "b"\n'


class TestSave:
    def test_new_settings_come_with_a_backup_of_the_old_ones(self, tmp_path: Path) -> None:
        (tmp_path / "publisher.toml").write_text("[[meter]]\nhost = 'old'\n")
        (tmp_path / "publisher.toml").chmod(0o640)
        assert save.save(tmp_path, (NewFile("publisher.toml", GOOD, "ksem-publisher"),)) == ()
        assert (tmp_path / "publisher.toml").read_text() == GOOD
        assert (tmp_path / "publisher.toml").stat().st_mode & 0o777 == 0o640
        (backup,) = (tmp_path / "backup").iterdir()
        assert "old" in backup.read_text()
        assert sorted(one.name for one in tmp_path.iterdir()) == ["backup", "publisher.toml"]

    def test_what_the_service_would_refuse_changes_no_file(self, tmp_path: Path) -> None:
        (tmp_path / "publisher.toml").write_text("old")
        files = (
            NewFile("rtu-server.toml", '[[line]]\nport = "/dev/ttyUSB0"\n', "rtu-server"),
            NewFile("publisher.toml", '[[meter]]\nhosst = "x"\n', "ksem-publisher"),
        )
        mistakes = save.save(tmp_path, files)
        assert any("hosst" in line and "publisher.toml" in line for line in mistakes)
        assert [one.name for one in tmp_path.iterdir()] == ["publisher.toml"]
        assert (tmp_path / "publisher.toml").read_text() == "old"

    def test_a_new_password_is_tested_with_the_settings_that_name_it(self, tmp_path: Path) -> None:
        path = tmp_path / "logins" / "publisher" / "password"
        text = f'{GOOD}username = "me"\npassword_file = "{path}"\n'
        files = (
            NewFile("logins/publisher/password", "secret\n", "ksem-publisher", is_settings=False),
            NewFile("publisher.toml", text, "ksem-publisher"),
        )
        assert save.save(tmp_path, files) == ()
        assert path.read_text() == "secret\n"
        assert path.stat().st_mode & 0o007 == 0

    def test_ten_backups_of_a_file_are_kept(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(save, "_mistakes", lambda *_: [])
        for number in range(13):
            monkeypatch.setattr(time, "strftime", lambda *_, n=number: f"2026{n:02}")
            save.save(tmp_path, (NewFile("publisher.toml", f"{number}", "ksem-publisher"),))
        assert len(list((tmp_path / "backup").iterdir())) == save.KEPT

    def test_killed_at_any_file_operation_each_file_is_the_old_or_the_new_one(self, tmp_path: Path) -> None:
        moments = 0
        while True:
            folder = tmp_path / f"{moments}"
            folder.mkdir()
            for name in ("publisher.toml", "rtu-server.toml"):
                (folder / name).write_text(f"old {name}")
            ran = subprocess.run([sys.executable, "-c", KILLED, str(folder), str(moments)], check=False)
            found = {name: (folder / name).read_text() for name in ("publisher.toml", "rtu-server.toml")}
            assert all(text in (f"old {name}", f"new {name}") for name, text in found.items()), found
            left = [one for one in folder.iterdir() if one.name.startswith(".setup-")]
            save._remove_old_stages(folder)
            assert not [one for one in left if one.exists()]
            if ran.returncode == 0:
                break
            assert ran.returncode == -signal.SIGKILL
            moments += 1
        assert moments > 15
        assert all(text.startswith("new") for text in found.values())


KILLED = f"""
import os, sys
sys.path[:0] = [{str(Path(__file__).parents[3])!r}, {str(Path(__file__).parents[3] / "shared")!r}]
from pathlib import Path
from airbridge.setup import save
from airbridge.setup.steps import NewFile

save._mistakes = lambda *_: []
left = int(sys.argv[2])

def killed(event, _):
    global left
    if event in ("open", "os.rename", "os.mkdir", "os.chmod", "os.remove", "os.rmdir", "shutil.copyfile"):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), {int(signal.SIGKILL)})

files = tuple(NewFile(name, f"new {{name}}", "rtu-server") for name in ("publisher.toml", "rtu-server.toml"))
sys.addaudithook(killed)
save.save(Path(sys.argv[1]), files)
left = 10**6
"""
