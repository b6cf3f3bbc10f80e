"""Each failure of the link has words that name what to look at."""

import errno
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from service_runtime import mqtt_reasons
from service_runtime.common_settings import MqttSettings

PLAIN = MqttSettings(host="broker.lan", username="rtu", password="x")
TLS = MqttSettings(host="broker.lan", port=8883, tls=True, ca_file=Path(__file__))


def certificate_error(code: int, message: str = "refused") -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, message
    return error


@pytest.mark.parametrize(
    ("error", "settings", "words"),
    [
        (ConnectionRefusedError(), PLAIN, "connection refused by broker.lan:1883"),
        (socket.gaierror(-2, "Name or service not known"), PLAIN, "host name broker.lan is not known (mqtt.host)"),
        (TimeoutError(), PLAIN, "no answer from broker.lan:1883"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), PLAIN, "no way to broker.lan:1883: No route to host"),
        (OSError(99, "strange"), PLAIN, "can't connect to broker.lan:1883"),
        (ConnectionResetError(), PLAIN, "or does it want TLS (mqtt.tls)?"),
        (ConnectionResetError(), TLS, "does it speak TLS there (mqtt.port)?"),
        (certificate_error(10), TLS, "has expired"),
        (certificate_error(9), TLS, "not valid yet"),
        (certificate_error(20), TLS, f"not signed by the CA in mqtt.ca_file {__file__}"),
        (certificate_error(20), MqttSettings(tls=True), "not signed by a CA known here (mqtt.ca_file)"),
        (certificate_error(62, "Hostname mismatch"), TLS, "is for another name: Hostname mismatch"),
        (certificate_error(7, "signature"), TLS, "is refused: signature"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong"), TLS, "does not speak TLS there"),
        (ssl.SSLError(1, "TLSV13_ALERT_CERTIFICATE_REQUIRED"), TLS, "a client certificate (mqtt.cert_file)?"),
        (ssl.SSLError(1, "other"), TLS, "no secure link to broker.lan:8883: other"),
    ],
)
def test_a_failed_attempt_is_told_by_its_cause(error: Exception, settings: MqttSettings, words: str) -> None:
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLCertVerificationError):
        error.reason = error.strerror or ""
    assert words in mqtt_reasons.failed_attempt(error, settings).text


@pytest.mark.parametrize(
    ("code", "settings", "words"),
    [
        (0x86, PLAIN, "bad user name or password: see mqtt.username, mqtt.password"),
        (0x87, PLAIN, "not authorised: bad user name or password (mqtt.username, mqtt.password)"),
        (0x87, MqttSettings(), "wants a user name and password (mqtt.username, mqtt.password)"),
        (0x84, MqttSettings(version=3), 'does not speak MQTT 3.1.1: set mqtt.version = "auto"'),
        (0x85, PLAIN, "refuses the client id ksem-rtu-pi: allow ids that begin with ksem-rtu, or any, there"),
        (0x90, PLAIN, "refuses the topic ksem/... of the last will: allow it there, or change mqtt.prefix"),
        (0x95, PLAIN, "raise its packet limit to 131072 bytes"),
        (0x9A, PLAIN, "keeps no retained messages: switch them on there, or use another broker"),
        (0x9B, PLAIN, "does not support QoS 1: switch it on there, or use another broker"),
        (0xFE, PLAIN, "(reason 0xFE)"),
    ],
)
def test_a_refusal_names_the_keys_to_look_at(code: int, settings: MqttSettings, words: str) -> None:
    assert words in mqtt_reasons.refusal(code, settings, "ksem-rtu-pi").text


@pytest.mark.parametrize("reason", ["CERTIFICATE_EXPIRED", "UNKNOWN_CA", "BAD_CERTIFICATE", "HANDSHAKE_FAILURE"])
def test_a_refused_client_certificate_is_named(reason: str) -> None:
    settings = MqttSettings(host="b", tls=True, cert_file=Path(__file__), key_file=Path(__file__))
    error = ssl.SSLError(1, "x")
    error.reason = f"TLSV1_ALERT_{reason}"
    assert f"mqtt.cert_file {__file__}" in mqtt_reasons.failed_attempt(error, settings).text
    assert f"mqtt.cert_file {__file__}" in mqtt_reasons.no_greeting(settings).text


@pytest.mark.parametrize("code", [79, 92])
def test_a_ca_that_may_not_sign_is_named(code: int) -> None:
    words = mqtt_reasons.failed_attempt(certificate_error(code), MqttSettings(host="b", tls=True)).text
    assert "may not sign" in words
    assert "mqtt.ca_file" in words


@pytest.mark.parametrize(("code", "words"), [(0x9A, "retained"), (0x9B, "QoS 1")])
def test_what_a_broker_does_not_support_is_in_words(code: int, words: str) -> None:
    assert words in mqtt_reasons.refusal(code, PLAIN, "me").text
    assert words in mqtt_reasons.end(code, "me").text


def test_ends_told_by_the_broker_are_in_words() -> None:
    assert "another client connected with the client id ksem-rtu-pi" in mqtt_reasons.end(0x8E, "ksem-rtu-pi").text
    assert mqtt_reasons.end(0x8B, "x").text == "the broker shuts down"
    assert "(reason 0xFE)" in mqtt_reasons.end(0xFE, "x").text


def test_an_ipv6_address_is_shown_in_brackets() -> None:
    assert mqtt_reasons.address(MqttSettings(host="::1")) == "[::1]:1883"


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ({"retain_available": 0}, "keeps no retained messages"),
        ({"maximum_qos": 0}, "no QoS 1"),
        ({"maximum_packet_size": 4096}, "at most 4096 bytes a packet: raise that to 131072"),
        ({"wildcard_available": 0}, "takes no wildcards"),
        ({"assigned_client_id": "auto-7"}, "an id of its own"),
    ],
)
def test_what_a_broker_says_it_can_not_do_is_put_in_words(written: dict[str, Any], words: str) -> None:
    (text,) = mqtt_reasons.limits(**written)
    assert words in text


def test_a_broker_that_says_nothing_of_its_limits_or_has_none_that_matter_gives_no_words() -> None:
    assert mqtt_reasons.limits() == ()
    assert mqtt_reasons.limits(retain_available=1, maximum_qos=2, maximum_packet_size=2_000_000) == ()
