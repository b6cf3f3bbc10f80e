"""Steers a running simulator by JSON lines over a Unix socket [shell].

A command is an object with `do` and its parameters; the answer is `{"ok":true, ...}` or `{"ok":false,"error":"..."}`.
By hand: `echo '{"do":"status"}' | socat - UNIX-CONNECT:PATH`.
"""

import contextlib
import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
