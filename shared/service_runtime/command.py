"""The command line of a service [shell]: --config, --check, --log-level, --version; signals; exit codes.

Before it starts, known inputs must give known outputs, and the clock must go on: a wrong interpreter, library or memory
shows here, and not in a number that an inverter gets.
"""

import argparse
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import attrs

from ksem_contract.block_message import BlockMessage
from ksem_contract.mac import MessageKeys
from ksem_contract.message_fields import InvalidMessage
from modbus_codec.crc import append_crc, crc16
from modbus_codec.pdu import FunctionCode, ReadReply, ReadRequest, WriteMultipleRequest, decode_reply, decode_request
from modbus_codec.tcp import MbapFrame, MbapReader
from service_runtime import logs
from service_runtime.clock import boottime
from service_runtime.setting import describe
from service_runtime.settings import Loaded, SettingsError, load_with_sources
from service_runtime.version import VERSION

if TYPE_CHECKING:
    import asyncio  # at run time only where a service uses it: it costs 8 MB

S = TypeVar("S")

EXIT_OK, EXIT_FAILED, EXIT_BAD_SETTINGS = 0, 1, 2
STOP_WITHIN = 1.9
"""Seconds after the first signal until the process ends, whatever still hangs."""

_HELP = """\
examples:
{examples}

Each key of the settings file can also be given as an environment variable, which beats the file; arrays count from 0:
  AIRBRIDGE_MQTT__HOST=broker.lan   AIRBRIDGE_MQTT__TLS=true   AIRBRIDGE_{array}

exit codes:
  0  ended on request (SIGTERM, Ctrl-C), or the settings are good (--check)
  1  ended by an error that was logged
  2  the settings or the command line are wrong; every mistake is printed
"""

log = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class Command(Generic[S]):
    """A service's command: its name, its help, and the settings that it reads."""

    name: str
    """As typed: `rtu-server`."""
    summary: str
    settings_class: type[S]
    default_path: Path
    """Read where no --config is given, if it exists."""
    array_example: str = "LINE__0__PORT=/dev/ttyUSB0"
    """An environment variable for a key in an array of tables, without its AIRBRIDGE_."""
    why_unfit: Callable[[], str] = lambda: ""
    """Returns why the service must not start, beside what all services check; empty where it may."""
    more_options: Callable[[argparse.ArgumentParser], None] | None = None
    instead: Callable[[argparse.Namespace, S], int | None] = lambda _options, _settings: None
    """Does what one of `more_options` wants instead of serving; returns the exit code, or None where none was given."""


def run(
    command: Command[S], serve: Callable[[S, threading.Event], int | None], argv: Sequence[str] | None = None
) -> int:
    """Run a service made of threads; returns the exit code.

    `serve` gets the settings and an event that SIGTERM or SIGINT sets; it is to return within 1.9 s after that.
    """
    stop = threading.Event()
    return _main(command, argv, stop.set, lambda settings: serve(settings, stop))


def run_async(
    command: Command[S],
    serve: "Callable[[S, asyncio.Event], Coroutine[Any, Any, int | None]]",
    argv: Sequence[str] | None = None,
) -> int:
    """Run a service made of coroutines; as `run`, with an asyncio.Event."""
    import asyncio  # noqa: PLC0415  (see above)

    loop: asyncio.AbstractEventLoop | None = None
    stop = asyncio.Event()
    requested = threading.Event()

    def request_stop() -> None:
        requested.set()
        if loop is not None:
            loop.call_soon_threadsafe(stop.set)

    async def serving(settings: S) -> int | None:
        nonlocal loop
        loop = asyncio.get_running_loop()
        if requested.is_set():
            stop.set()
        return await serve(settings, stop)

    return _main(command, argv, request_stop, lambda settings: asyncio.run(serving(settings)))


def _main(
    command: Command[S],
    argv: Sequence[str] | None,
    request_stop: Callable[[], None],
    serve: Callable[[S], int | None],
) -> int:
    options = _parser(command).parse_args(argv)
    try:
        loaded = load_with_sources(
            command.settings_class, path=options.config, environ=os.environ, default_path=command.default_path
        )
    except SettingsError as error:
        count = len(error.mistakes)
        print(*error.mistakes, sep="\n", file=sys.stderr)  # noqa: T201
        print(f"{command.name}: {count} mistake{'s' * (count > 1)} in the settings", file=sys.stderr)  # noqa: T201
        return EXIT_BAD_SETTINGS
    if options.check:
        print(*loaded.renamed, sep="\n", end="\n" * bool(loaded.renamed), file=sys.stderr)  # noqa: T201
        print(_report(command, options.config, loaded), end="")  # noqa: T201
        return EXIT_OK
    if (code := command.instead(options, loaded.settings)) is not None:
        return code
    _watch_signals(request_stop)
    logs.configure(options.log_level)
    if unfit := why_unfit(boottime) or command.why_unfit():
        log.error("%s does not start: %s", command.name, unfit)
        return EXIT_FAILED
    for line in loaded.renamed:
        logging.getLogger(command.name).warning("%s", line)
    try:
        return serve(loaded.settings) or EXIT_OK
    except SettingsError as error:  # what only shows once the service is put together
        print(*error.mistakes, sep="\n", file=sys.stderr)  # noqa: T201
        return EXIT_BAD_SETTINGS
    except Exception:
        log.exception("%s ends: an unforeseen error", command.name)
        return EXIT_FAILED


def _parser(command: Command[Any]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=command.name,
        description=command.summary,
        epilog=_HELP.format(
            examples=f"  {command.name}                          settings from {command.default_path}\n"
            f"  {command.name} --config my.toml --check\n"
            f"  AIRBRIDGE_MQTT__HOST=broker.lan {command.name} --log-level debug",
            array=command.array_example,
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help=f"settings file (default: {command.default_path}, if it exists)"
    )
    parser.add_argument(
        "--check", action="store_true", help="print every mistake in the settings, else those in force; then end"
    )
    parser.add_argument("--log-level", choices=logs.LEVELS, default="info", help="default: info")
    if command.more_options is not None:
        command.more_options(parser)
    parser.add_argument("--version", action="version", version=f"{command.name} {VERSION}")
    return parser


def _report(command: Command[S], config: Path | None, loaded: Loaded[S]) -> str:
    path = config or command.default_path
    origin = f"from {path} and the environment" if path.exists() else f"{path} is not there; from the environment"
    return f"# {command.name} {VERSION}: settings in force, {origin}\n\n{describe(loaded.settings, loaded.sources)}"


def on_user_signal(callback: Callable[[], None]) -> None:
    """Have `callback` called at each SIGUSR1, in the thread that waits for signals."""
    _at_user_signal.append(callback)


_at_user_signal: list[Callable[[], None]] = []


def _watch_signals(request_stop: Callable[[], None]) -> None:
    """Have a thread of its own wait for SIGTERM, SIGINT and SIGUSR1.

    A signal handler would interrupt the main thread anywhere: setting an event there can deadlock on the
    event's own lock. The signals are blocked before any other thread starts, so that all threads inherit it.
    """
    requested = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, {*requested, signal.SIGUSR1})

    def watch() -> None:
        while (came := signal.sigwait({*requested, signal.SIGUSR1})) == signal.SIGUSR1:
            for callback in _at_user_signal:
                callback()
        log.info("%s: ending", signal.Signals(came).name)
        request_stop()
        again = signal.sigtimedwait(requested, STOP_WITHIN)
        log.error("ended %s", "at once: signalled twice" if again else f"by force: something hung for {STOP_WITHIN} s")
        logs.drain()
        os._exit(EXIT_FAILED)

    threading.Thread(target=watch, name="signals", daemon=True).start()


_TOTALS: Final = ReadRequest(FunctionCode.READ_HOLDING_REGISTERS, 0, 28)
_BLOCK: Final = (
    b'{"v":1,"meter":"main","block":"r9000-3","start":9000,"registers":[0,123,null],"session":"5f1c9a2e","seq":1812,'
    b'"boot_ms":90112345,"age_ms":3,"cycle_ms":null,"source":"push","time":"2026-11-22T10:00:00.123Z",'
    b'"mac":"46ee636c3697f234ff5daf65fc8eeea2"}'
)
"""The worked example of docs/contract.md."""
_KEYS: Final = MessageKeys((bytes.fromhex("00112233445566778899aabbccddeeff"),))
_LOOKS: Final = 200
_SLEEP: Final = 0.002


def why_unfit(clock: Callable[[], float]) -> str:
    """Return why this service must not start on this host, empty where it may. Takes a few ms."""
    checks = {"CRC": _crc_is_right, "Modbus codec": _codec_is_right, "block": _block_is_right}
    for name, is_right in checks.items():
        if not is_right():
            return f"the {name} gives something else than its fixed example: reinstall the package, check the memory"
    return _why_clock_unfit(clock)


def _crc_is_right() -> bool:
    # The check value of CRC-16/MODBUS, and a request that a Plenticore sends.
    return crc16(b"123456789") == 0x4B37 and append_crc(bytes.fromhex("01 03 00 00 00 1c"))[-2:] == b"\x44\x03"


def _codec_is_right() -> bool:
    # Functions 3 and 16 as the examples of the application protocol specification V1.1b3, 6.3 and 6.12, have them.
    read = ReadRequest(FunctionCode.READ_HOLDING_REGISTERS, 107, 3)
    reply = decode_reply(bytes.fromhex("03 06 02 2b 00 00 00 64"), read)
    write = decode_request(bytes.fromhex("10 00 01 00 02 04 00 0a 01 02"))
    frames = MbapReader().feed(bytes.fromhex("00 07 00 00 00 06 01 03 00 00 00 1c"))
    return (
        decode_request(bytes.fromhex("03 00 6b 00 03")) == read
        and reply == ReadReply(FunctionCode.READ_HOLDING_REGISTERS, (0x022B, 0, 0x64))
        and write == WriteMultipleRequest(1, (10, 0x0102))
        and frames == [MbapFrame(7, 1, _TOTALS.encode())]
    )


def _block_is_right() -> bool:
    try:
        _KEYS.check(_BLOCK)
        message = BlockMessage.decode(_BLOCK)
    except InvalidMessage:
        return False
    return message.registers == (0, 123, None) and message.encode(_KEYS) == _BLOCK


def _why_clock_unfit(clock: Callable[[], float]) -> str:
    looks = [clock() for _ in range(_LOOKS)]
    if any(later < earlier for earlier, later in pairwise(looks)):
        return "CLOCK_BOOTTIME goes backwards: no age can be known on this host; update its kernel"
    time.sleep(_SLEEP)
    if clock() - looks[-1] < _SLEEP / 2:
        return "CLOCK_BOOTTIME stands still: no age can be known on this host; update its kernel or hypervisor"
    return ""
