"""The doctor finds faults that need the whole chain, a host of two, or another user to show."""

import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ksem_simulators.simulator import KsemHandle
from tests.bridge.doctor import ACL, PATIENCE, LoginChain, Said, a_broker, doctor

pytestmark = pytest.mark.slow

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="ports below 1024 and other users are root's")


def has(check: str, *texts: str) -> "Found":
    return Found(check, texts)


class Found:
    """Whether a run of the doctor has found this."""

    def __init__(self, check: str, texts: tuple[str, ...]) -> None:
        self.check, self.texts = check, texts

    def __call__(self, written: Said) -> bool:
        try:
            written.assert_found(self.check, *self.texts)
        except AssertionError:
            return False
        return True


@contextmanager
def a_chain(folder: Path, *parts: str, acl: str = ACL, **options: object) -> Iterator[LoginChain]:
    with LoginChain(folder, broker=a_broker(folder, acl), **options) as chain:  # type: ignore[arg-type]
        yield chain.start(*parts)


class TestPush:
    PARTS = ("broker", "meter", "publisher")

    def test_not_set_up(self, tmp_path: Path) -> None:
        with a_chain(tmp_path, *self.PARTS, push=False) as chain:
            chain.publisher.await_log("live data flows")
            found = has("push", "no push has arrived", "TCP master", "address 127.0.0.1 and port", str(chain.push_port))
            written = chain.until(found)
            assert written.states("meter") == {"ok"}

    def test_from_elsewhere(self, tmp_path: Path) -> None:
        with (
            a_chain(tmp_path, *self.PARTS, push=False) as chain,
            KsemHandle(tmp_path, name="other", host="127.0.0.5", push=("127.0.0.1", chain.push_port)),
        ):
            chain.until(has("push", "a push from 127.0.0.5 was refused", 'push_from = ["127.0.0.1", "127.0.0.5"]'))

    @pytest.mark.parametrize(("groups", "missing"), [("phases,energy_total", "0-27"), ("total,energy_total", "40-145")])
    def test_one_group_off(self, tmp_path: Path, groups: str, missing: str) -> None:
        with a_chain(tmp_path, *self.PARTS, meter_options=["--groups", groups]) as chain:
            chain.until(has("push", f"registers {missing} are not pushed", "switch on all groups"))

    def test_without_a_publisher_it_listens_itself_when_asked_to(self, tmp_path: Path) -> None:
        with a_chain(tmp_path, "broker", "meter") as chain:
            written = chain.doctor("--listen", "3", patience=1.0)
            line = next(one for one in written.findings if one["check"] == "push")
            assert line["state"] == "ok"
            assert re.search(
                r"127.0.0.1 pushes every \d+ ms: registers total \(0-27\), phases \(40-145\)", line["text"]
            )
            written.assert_found("publisher", "nothing is seen of a publisher for meter main", "systemctl status")
        assert has("push", "nobody pushed to")(chain.doctor("--listen", "1", patience=1.0))


class TestInverter:
    def test_silent(self, tmp_path: Path) -> None:
        with a_chain(tmp_path, "broker", "meter", "publisher", "line", "server") as chain:
            written = chain.until(
                has("inverter", "the inverter is silent", "check A and B", "service menu"), within=40, patience=PATIENCE
            )
            assert written.states("port") == {"ok"}
            assert written.states("publisher") == {"ok"}

    def test_wrong_baud_rate(self, tmp_path: Path) -> None:
        """At another speed an inverter's requests arrive as bytes that mean nothing."""
        with a_chain(tmp_path, "broker", "meter", "publisher", "line", "server") as chain, noise_on(chain):
            chain.until(
                has("inverter", "wrong baud rate", "baudrate = 38400", "stopbits = 2"), within=40, patience=PATIENCE
            )

    def test_wrong_unit_id(self, tmp_path: Path) -> None:
        options = ("--unit", "3", "--timeout", "0.15")
        with a_chain(tmp_path, inverter_options=options) as chain:
            chain.until(
                has("inverter", "none for unit 1", "wrong unit id", "set id in [[line.unit]]"),
                within=40,
                patience=PATIENCE,
            )

    def test_one_that_gets_no_good_answers(self, tmp_path: Path) -> None:
        with a_chain(tmp_path, "broker", "line", "server", "inverter") as chain:
            written = chain.until(has("inverter", "gets no good data", "stale"), within=40, patience=PATIENCE)
            written.assert_found("publisher", "nothing is seen of a publisher")
            written.assert_found("meter", "refuses connections")

    def test_a_server_that_is_gone(self, tmp_path: Path) -> None:
        with a_chain(tmp_path, "broker", "meter", "publisher", "line", "server", "inverter") as chain:
            chain.await_good()
            chain.server.kill()
            chain.until(has("server", "RTU server attic does not run", "systemctl status rtu-server"))
            chain.publisher.kill()
            chain.until(has("publisher", "publisher of meter main does not run", "systemctl status ksem-publisher"))


class TestRights:
    """From the inverter's host alone, where the publisher's settings are not."""

    @pytest.mark.parametrize(
        ("right", "texts"),
        [
            ("topic read ksem/+/block/+\n", ("no block of it is delivered", "let user rtu read ksem/+/block/+")),
            ("topic read ksem/+/pong/+\n", ("no answer to a ping arrives", "read ksem/+/pong/+")),
        ],
        ids=["blocks", "pongs"],
    )
    def test_a_starved_inverters_half(self, tmp_path: Path, right: str, texts: tuple[str, str]) -> None:
        head, rtu = ACL.split("user rtu\n")
        with a_chain(
            tmp_path,
            "broker",
            "meter",
            "publisher",
            "line",
            "server",
            acl=f"{head}user rtu\n{rtu.replace(right, '', 1)}",
        ) as chain:
            chain.publisher.await_log("live data flows")
            written = doctor("--server-config", chain.server.settings_path)
            written.assert_found("rights", *texts)

    def test_a_starved_publisher(self, tmp_path: Path) -> None:
        head, publisher = ACL.split("user publisher\n")
        acl = f"{head}user publisher\n{publisher.replace('topic read ksem/+/status', '# ', 1)}"
        with a_chain(tmp_path, "broker", "meter", "publisher", acl=acl) as chain:
            chain.publisher.await_log("live data flows")
            written = doctor("--publisher-config", chain.publisher.settings_path)
            written.assert_found(
                "rights", "ksem/+/status", "does not come back", "let user publisher read ksem/+/status"
            )


class TestMeter:
    @as_root
    @pytest.mark.parametrize(
        ("port", "options", "texts"),
        [
            (802, "tls", ("port 802 speaks TLS", "tls = true")),
            (1502, "foreign", ("this is the inverter", "KSEM's own address")),
        ],
    )
    def test_what_else_the_host_offers_tells_what_is_wrong(
        self, tmp_path: Path, port: int, options: str, texts: tuple[str, str]
    ) -> None:
        from tests.bridge.certificates import make_certificates  # noqa: PLC0415  openssl, for this one

        more: list[str] = []
        if options == "tls":
            made = make_certificates(tmp_path / "certificates")
            more = ["--tls", "--tls-cert", str(made.server_cert), "--tls-key", str(made.server_key)]
        with KsemHandle(tmp_path, host="127.0.0.77", port=port, options=more):
            doctor("--meter", "127.0.0.77").assert_found("meter", *texts)

    def test_nothing_at_the_address(self) -> None:
        """A full queue of connections lets further ones run into nothing, as an address without a host does."""
        with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf:
            waiting = [socket.socket() for _ in range(4)]
            for one in waiting:
                one.setblocking(False)
                one.connect_ex(deaf.getsockname())
            written = doctor("--meter", f"127.0.0.1:{deaf.getsockname()[1]}")
            for one in waiting:
                one.close()
        written.assert_found("meter", "nothing answers at 127.0.0.1", "[[meter]] host")

    @pytest.mark.parametrize(
        ("fault", "text"),
        [
            ("silent", "does not answer Modbus"),
            ("garbage", "does not speak Modbus TCP"),
            ("exception", "is no KSEM: it refuses a KSEM's registers with exception 4"),
        ],
    )
    def test_something_else_at_the_address(self, tmp_path: Path, fault: str, text: str) -> None:
        with KsemHandle(tmp_path) as meter:
            meter.command("fault", name=fault)
            doctor("--meter", f"127.0.0.1:{meter.port}").assert_found("meter", text)

    def test_a_refused_device_block_is_named_though_the_push_runs(self, tmp_path: Path) -> None:
        with a_chain(tmp_path, "broker", "meter") as chain:
            chain.meter.command("fault", name="exception", code=2, only="8192-8249")
            chain.start("publisher")
            block = has("block", "registers 8192-8249 (device): exception 2", "requests these first")
            written = chain.until(lambda written: block(written) and written.states("push") == {"ok"})
            written.assert_found("meter", "measures as a KSEM does, but refuses registers 8192-8249 (device)")
            assert written.states("push") == {"ok"}

    def test_a_firmware_without_a_clock_is_a_ksem(self, tmp_path: Path) -> None:
        with KsemHandle(tmp_path) as meter:
            meter.command("fault", name="exception", code=2, only="8245-8249")
            written = doctor("--meter", f"127.0.0.1:{meter.port}")
        assert written.states("meter") == {"ok"}

    def test_a_meter_that_boots(self, tmp_path: Path) -> None:
        with KsemHandle(tmp_path) as meter:
            meter.command("reboot", gone=0, zero=30)
            doctor("--meter", f"127.0.0.1:{meter.port}").assert_found("meter", "0.00 Hz: it boots", "wait a minute")


class TestPort:
    @as_root
    def test_a_port_without_permission(self, tmp_path: Path) -> None:
        """As an ordinary user, in a process of its own that may read nothing but what it needs."""
        master, slave = os.openpty()
        path = os.ttyname(slave)
        os.close(slave)
        Path(path).chmod(0o620)
        try:
            written = as_nobody(path)
            written.assert_found("port", "permission denied for user nobody", "usermod -aG dialout nobody")
            os.chown(path, 0, 0)
            Path(path).chmod(0o600)
            doctor("--serial", path).assert_found("port", "not open to the group dialout", "chgrp dialout")
        finally:
            os.close(master)


def as_nobody(path: str) -> Said:
    """The doctor, with everything imported before the rights are dropped: the sources may be root's alone."""
    program = (
        "import os, sys, encodings.ascii, encodings.idna, importlib.metadata\n"
        "from airbridge.command import app\n"
        "import airbridge.doctor.command, rich.live, rich.status, rich.spinner, rich._spinners\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        f"sys.argv = ['airbridge', 'doctor', '--json', '--serial', {path!r}]\n"
        "app()\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    return Said(ran)


@contextmanager
def noise_on(chain: LoginChain) -> Iterator[None]:
    """Bytes without meaning, as often as an inverter asks."""
    over = threading.Event()

    def make() -> None:
        while not over.wait(0.16):
            chain.line.command("inject", hex="f81e80fef0e08000", to="server")

    thread = threading.Thread(target=make)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
