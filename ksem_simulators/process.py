"""Does what each simulator process needs around its own work [shell]: a ready line, a clean end, exact sleep, commands.

JSON lines over a Unix socket steer it while it runs: a command is an object with `do` and its parameters; the answer is
`{"ok":true, ...}` or `{"ok":false,"error":"..."}`. By hand: `echo '{"do":"status"}' | socat - UNIX-CONNECT:PATH`.
"""

import argparse
import contextlib
import ctypes
import json
import os
import resource
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

_PR_SET_TIMERSLACK: Final = 29


def add_common(parser: argparse.ArgumentParser) -> None:
    """Options that all simulators have."""
    parser.add_argument("--control", type=Path, metavar="PATH", help="Unix socket for commands (JSON lines)")
    parser.add_argument(
        "--with-parent", action="store_true", help="end when standard input closes, so that no orphan is left"
    )


def add_replay(parser: argparse.ArgumentParser) -> None:
    """Options of the simulators that can replay a recording."""
    parser.add_argument(
        "--replay", type=Path, metavar="FILE", help="replay a recording at its times (airbridge capture)"
    )
    parser.add_argument(
        "--replay-waits", action="store_true", help="begin on a command over --control, so that both ends keep step"
    )


def exact_sleep() -> None:
    """Timers of this thread fire when they are due; by default Linux may let them be 50 us late."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)


def announce(**facts: Any) -> None:
    """Prints one JSON line: the simulator is ready."""
    print(json.dumps({"ready": True, "pid": os.getpid(), **facts}), flush=True)


def summarise(summary: dict[str, Any]) -> None:
    """The last line on standard output. Nobody may be listening any more."""
    try:
        print(json.dumps({"summary": summary}), flush=True)
    except BrokenPipeError:
        sys.stdout = None  # or the interpreter complains at exit


def cpu_seconds() -> float:
    """CPU time of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return round(usage.ru_utime + usage.ru_stime, 4)


def follow_parent(signal_number: int) -> None:
    """Sends this process the signal as soon as standard input closes."""

    def wait() -> None:
        while os.read(0, 4096):
            pass
        os.kill(os.getpid(), signal_number)

    threading.Thread(target=wait, name="parent", daemon=True).start()


Handler = Callable[[str, dict[str, Any]], dict[str, Any]]
"""Takes `do` and the parameters, returns the answer's fields. ValueError, TypeError and KeyError become refusals."""


class CommandRefused(Exception):
    """The simulator refused a command; the text gives the reason."""


class ControlServer:
    """Answers commands in threads of its own until closed."""

    def __init__(self, path: Path, handler: Handler) -> None:
        path.unlink(missing_ok=True)
        self._path = path
        self._handler = handler
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(path))
        self._socket.listen()

    def start(self) -> None:
        """Begins to answer."""
        threading.Thread(target=self._accept, name="control", daemon=True).start()

    def close(self) -> None:
        """Removes the socket. Threads end with the process."""
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            threading.Thread(target=self._serve, args=(connection,), name="control", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection, connection.makefile("rwb") as stream:
            for line in stream:
                stream.write(json.dumps(self._answer(line)).encode() + b"\n")
                stream.flush()

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            command = json.loads(line)
            do = command.pop("do")
            return {"ok": True, **self._handler(do, command)}
        except (ValueError, TypeError, AttributeError) as error:
            return {"ok": False, "error": str(error)}
        except TimeoutError:
            return {"ok": False, "error": "took too long"}
        except KeyError as error:
            return {"ok": False, "error": f"{error} is missing"}


class ControlClient:
    """Sends commands to a simulator. Use from one thread at a time."""

    def __init__(self, path: Path, timeout: float = 30.0) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._timeout = timeout
        self._socket.settimeout(timeout)
        self._socket.connect(str(path))
        self._stream = self._socket.makefile("rwb")

    def command(self, do: str, **parameters: Any) -> dict[str, Any]:
        """The answer's fields. CommandRefused when the simulator refuses, ConnectionError when it is gone."""
        self._socket.settimeout(float(parameters.get("seconds") or 0.0) + self._timeout)
        self._stream.write(json.dumps({"do": do, **parameters}).encode() + b"\n")
        self._stream.flush()
        line = self._stream.readline()
        if not line:
            raise ConnectionError("the simulator closed its control socket")
        answer: dict[str, Any] = json.loads(line)
        if not answer.pop("ok"):
            raise CommandRefused(f"{do}: {answer['error']}")
        return answer

    def close(self) -> None:
        """Ends the connection."""
        self._stream.close()
        self._socket.close()
