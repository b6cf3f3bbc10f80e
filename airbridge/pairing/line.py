"""The line that pairs two hosts: what it holds, how it is written and read [core].

    airbridge-pair-1.<base64url of zlib of JSON>.<first 8 hex digits of SHA-256 over what stands before>

It holds secrets. So no message of this module quotes any of it. Blanks and line ends in it don't count: a terminal or a
mail may have wrapped it.
"""

import base64
import binascii
import hashlib
import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final

from ksem_contract.mac import parse_keys

VERSION: Final = 1
_HEAD: Final = "airbridge-pair-"
MAX_LINE: Final = 16_384
"""Characters of a line; with three certificates it has some 2,500."""
MAX_CONTENT: Final = 32_768
"""Bytes of the JSON in it: a line that unpacks to more is none of ours."""
_is_line = re.compile(rf"{_HEAD}(\d{{1,4}})\.([A-Za-z0-9_-]+)\.([0-9a-f]{{8}})").fullmatch
_is_host = re.compile(r"[A-Za-z0-9._:-]{1,253}").fullmatch
_is_name = re.compile(r"[!-~]{1,64}").fullmatch
_is_prefix = re.compile(r"[^\s+#/]+(/[^\s+#/]+)*").fullmatch
_is_pem = re.compile(r"(-----BEGIN [A-Z ]+-----\n[A-Za-z0-9+/=\n]+-----END [A-Z ]+-----\n)+").fullmatch


class BadLine(ValueError):
    """A line that can't be used; the text gives the reason and the remedy."""


@dataclass(frozen=True, slots=True)
class Pairing:
    """What a line holds. Texts are empty where there is nothing."""

    host: str
    port: int
    prefix: str
    username: str
    key: str = field(repr=False)
    """The keys of [integrity], as their file holds them."""
    password: str = field(default="", repr=False)
    tls: bool = False
    ca: str = ""
    cert: str = ""
    cert_key: str = field(default="", repr=False)

    @property
    def files(self) -> Mapping[str, str]:
        """The files of the login's folder, by name."""
        password = self.password and f"{self.password}\n"
        found = {"password": password, "message.key": self.key, "ca.pem": self.ca, "cert.pem": self.cert}
        return {name: text for name, text in {**found, "key.pem": self.cert_key}.items() if text}

    def settings(self, folder: str) -> Mapping[tuple[str, str], Any]:
        """What changes in rtu-server.toml, by table and key, with the login's files in `folder`; None: not set."""

        def path(name: str) -> str | None:
            return f"{folder}/{name}" if name in self.files else None

        return {
            ("mqtt", "host"): self.host,
            ("mqtt", "port"): self.port,
            ("mqtt", "prefix"): None if self.prefix == "ksem" else self.prefix,
            ("mqtt", "username"): self.username if self.password else None,
            ("mqtt", "password"): None,
            ("mqtt", "password_file"): path("password"),
            ("mqtt", "tls"): True if self.tls else None,
            ("mqtt", "ca_file"): path("ca.pem"),
            ("mqtt", "cert_file"): path("cert.pem"),
            ("mqtt", "key_file"): path("key.pem"),
            ("integrity", "key_file"): path("message.key"),
        }


def encode(pairing: Pairing) -> str:
    """Write the line."""
    content = json.dumps(asdict(pairing), separators=(",", ":")).encode()
    body = base64.urlsafe_b64encode(zlib.compress(content, 9)).decode().rstrip("=")
    text = f"{_HEAD}{VERSION}.{body}"
    return f"{text}.{_checksum(text)}"


def decode(text: str) -> Pairing:
    """Read a line. Raises BadLine, and nothing else."""
    line = "".join(text.split())
    if not line:
        raise BadLine("no line was given: paste the one that `pair` has printed on the publisher's host")
    match = _is_line(line) if len(line) <= MAX_LINE else None
    if match is None:
        raise BadLine(f"this is no line of `pair`: one begins with {_HEAD}{VERSION}; copy it anew, all of it")
    if match[3] != _checksum(line.rpartition(".")[0]):
        raise BadLine("a part of the line is missing or changed: copy it anew, all of it")
    if int(match[1]) != VERSION:
        raise BadLine(f"the line is of version {match[1]}, this host reads version {VERSION}: upgrade both hosts")
    return _checked(_unpacked(match[2]))


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _unpacked(body: str) -> Any:
    try:
        unpack = zlib.decompressobj()
        content = unpack.decompress(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)), MAX_CONTENT)
        if unpack.unconsumed_tail or not unpack.eof:
            raise BadLine("the line holds more than a pairing does; print it anew")
        return json.loads(content)
    except (binascii.Error, zlib.error, RecursionError, UnicodeDecodeError, json.JSONDecodeError):
        raise BadLine("the line's content can't be read; print it anew") from None


def _checked(found: Any) -> Pairing:
    kinds = {one.name: one.type for one in fields(Pairing)}
    if type(found) is not dict or found.keys() != kinds.keys():
        raise BadLine("the line does not hold what a pairing does; print it anew")
    for name, kind in kinds.items():
        if type(found[name]) is not kind:
            raise _wrong(name)
    pairing = Pairing(**found)
    checks: Mapping[str, object] = {
        "host": _is_host(pairing.host),
        "port": 1 <= pairing.port <= 65535,
        "prefix": len(pairing.prefix) <= 200 and pairing.prefix.isprintable() and _is_prefix(pairing.prefix),
        "username": _is_name(pairing.username),
        "password": not pairing.password or (len(pairing.password) <= 256 and pairing.password.isprintable()),
        "key": _holds_keys(pairing.key),
        **{name: not text or _is_pem(text) for name, text in _certificates(pairing).items()},
        "cert_key": bool(pairing.cert) == bool(pairing.cert_key) and _is_pem(pairing.cert_key or _EMPTY_PEM),
        "tls": pairing.tls or not any(_certificates(pairing).values()),
    }
    for name, fits in checks.items():
        if not fits:
            raise _wrong(name)
    return pairing


_EMPTY_PEM: Final = "-----BEGIN X-----\nAA==\n-----END X-----\n"


def _certificates(pairing: Pairing) -> Mapping[str, str]:
    return {"ca": pairing.ca, "cert": pairing.cert}


def _holds_keys(text: str) -> bool:
    try:
        parse_keys(text)
    except ValueError:
        return False
    return True


def _wrong(name: str) -> BadLine:
    return BadLine(f"the line's {name} can't be used; print it anew")
