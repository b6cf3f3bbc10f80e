"""The line that pairs two hosts: written, read, damaged."""

import base64
import hashlib
import json
import zlib
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airbridge.pairing.line import MAX_CONTENT, BadLine, Pairing, decode, encode

PEM = "-----BEGIN CERTIFICATE-----\nTm8gcmVhbCBjZXJ0aWZpY2F0ZQ==\n-----END CERTIFICATE-----\n"
SECRET, KEY = "correct-horse-battery", "00112233445566778899aabbccddeeff\n"
PLAIN = Pairing("192.168.1.5", 1883, "ksem", "rtu", KEY, password=SECRET)
ENCRYPTED = Pairing("broker.lan", 8883, "site/ksem", "rtu", KEY, tls=True, ca=PEM, cert=PEM, cert_key=PEM)


def line_of(content: object, version: int = 1) -> str:
    packed = content if isinstance(content, bytes) else zlib.compress(json.dumps(content).encode())
    text = f"airbridge-pair-{version}.{base64.urlsafe_b64encode(packed).decode().rstrip('=')}"
    return f"{text}.{hashlib.sha256(text.encode()).hexdigest()[:8]}"


@pytest.mark.parametrize("pairing", [PLAIN, ENCRYPTED, replace(PLAIN, tls=True, ca=PEM)])
def test_what_is_written_is_read_again(pairing: Pairing) -> None:
    assert decode(encode(pairing)) == pairing


def test_a_line_that_a_terminal_or_a_mail_has_wrapped_is_read() -> None:
    line = encode(ENCRYPTED)
    wrapped = "\r\n  ".join(line[at : at + 60] for at in range(0, len(line), 60))
    assert decode(f"\n {wrapped} \n") == ENCRYPTED


def test_a_line_is_one_word_of_a_shell() -> None:
    line = encode(ENCRYPTED)
    assert set(line) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


@given(st.data())
def test_a_line_with_a_changed_or_missing_character_is_refused(data: st.DataObject) -> None:
    line = encode(PLAIN)
    at = data.draw(st.integers(0, len(line) - 1))
    other = data.draw(st.sampled_from(["", "A", "b", "7", "-", ".", "é"]).filter(lambda one: one != line[at]))
    with pytest.raises(BadLine):
        decode(line[:at] + other + line[at + 1 :])


@given(st.text(max_size=200))
def test_no_text_ends_in_another_error(text: str) -> None:
    with pytest.raises(BadLine):
        decode(text)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "no line was given"),
        ("sudo ./install.sh pair", "begins with airbridge-pair-1"),
        (encode(PLAIN)[:-3], "copy it anew"),
        (encode(PLAIN)[:40] + encode(PLAIN)[41:], "missing or changed"),
        (line_of({}, version=2), "version 2, this host reads version 1"),
        (line_of(b"no zlib"), "can't be read"),
        (line_of(zlib.compress(b" " * (MAX_CONTENT + 1))), "more than a pairing"),
        (line_of(zlib.compress(b"{" * 9999)), "can't be read"),
        (line_of([1]), "does not hold"),
        (line_of({**asdict(PLAIN), "more": 1}), "does not hold"),
    ],
)
def test_a_bad_line_is_named_with_what_to_do(line: str, words: str) -> None:
    with pytest.raises(BadLine, match=words):
        decode(line)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("host", 'a"\nport = 1'),
        ("host", ""),
        ("port", 0),
        ("port", "1883"),
        ("port", True),
        ("prefix", "a/#"),
        ("prefix", ""),
        ("username", "r tu"),
        ("password", "a\nb"),
        ("password", None),
        ("key", ""),
        ("key", "secret"),
        ("tls", 1),
        ("ca", "no certificate"),
        ("ca", PEM),
        ("cert", PEM),
        ("cert_key", PEM),
    ],
)
def test_a_line_whose_content_could_do_harm_is_refused_without_quoting_it(name: str, value: Any) -> None:
    with pytest.raises(BadLine, match=r"can't be used|cert") as raised:
        decode(line_of({**asdict(PLAIN), name: value}))
    assert SECRET not in str(raised.value)


def test_nothing_secret_stands_in_a_pairings_own_text() -> None:
    shown = repr(PLAIN) + repr(ENCRYPTED)
    assert SECRET not in shown
    assert KEY.strip() not in shown


def test_certificates_take_the_passwords_place_in_the_settings() -> None:
    settings = ENCRYPTED.settings("/logins/rtu")
    assert settings["mqtt", "cert_file"] == "/logins/rtu/cert.pem"
    assert settings["mqtt", "username"] is settings["mqtt", "password_file"] is None
    assert PLAIN.settings("/logins/rtu")["mqtt", "cert_file"] is None
