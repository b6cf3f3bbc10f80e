"""Why a link to the broker does not come up or was lost, as reasons that name what to check [core]."""

import errno
import socket
import ssl

from ksem_contract.reasons import Reason
from service_runtime.common_settings import MqttSettings

_REFUSALS = {
    0x80: "the broker refuses the connection and gives no reason: see its log",
    0x84: 'the broker does not speak MQTT {version}: set mqtt.version = "auto"',
    0x85: "the broker refuses the client id {client_id}: allow ids that begin with {id_start}, or any, there",
    0x86: "bad user name or password: see mqtt.username, mqtt.password",
    0x88: "the broker is unavailable",
    0x89: "the broker is busy",
    0x8A: "the broker has banned this client",
    0x90: "the broker refuses the topic {prefix}/... of the last will: allow it there, or change mqtt.prefix",
    0x95: "the broker refuses the last will as too large: raise its packet limit to 131072 bytes",
    0x97: "the broker's quota is used up: raise it there",
    0x9A: "the broker keeps no retained messages: switch them on there, or use another broker",
    0x9B: "the broker does not support QoS 1: switch it on there, or use another broker",
    0x9F: "the broker takes no more connections so fast: raise its connection rate",
}
_ENDS = {
    0x04: "the broker closed the link",
    0x82: "the broker saw a protocol error",
    0x87: "the broker withdrew the right to be connected",
    0x8B: "the broker shuts down",
    0x8D: "the broker received nothing from here for too long",
    0x90: "the broker refuses a topic below {prefix}/: allow it there, or change mqtt.prefix",
    0x8E: "session taken over: another client connected with the client id {client_id}",
    0x93: "the broker was sent too much at once",
    0x95: "the broker refuses a packet as too large: raise its packet limit to 131072 bytes",
    0x97: "the broker's quota is used up: raise it there",
    0x9A: "the broker keeps no retained messages: switch them on there, or use another broker",
    0x9B: "the broker does not support QoS 1: switch it on there, or use another broker",
    0xA1: "the broker does not know shared subscriptions",
    0xA2: "the broker takes no subscriptions with wildcards: switch them on there, or use another broker",
    0x98: "the broker's administrator closed the link",
}
LARGEST_MESSAGE = 98304
"""Bytes that every message of ours stays under: the health of a node with 32 units is the largest."""
PACKET_LIMIT = 131072
"""Bytes a packet that a broker should take; the shipped mosquitto is set to it."""
# X509_V_ERR_*, from OpenSSL's x509_vfy.h
_EXPIRED, _NOT_YET, _UNKNOWN_CA, _OTHER_NAME = {10}, {9}, {2, 18, 19, 20, 21}, {62, 64}
_UNFIT_CA = {24, 32, 79, 92}
"""INVALID_CA (24 in OpenSSL 1.1.1, 79 since 3.0), KEYUSAGE_NO_CERTSIGN, CA_CERT_MISSING_KEY_USAGE.

Only Python 3.13 and later check the last (VERIFY_X509_STRICT).
"""
# The alert with which a broker ends the handshake
_ALERTS = {
    "CERTIFICATE_EXPIRED": "mqtt.cert_file {cert} has expired, or the broker's clock is wrong",
    "UNKNOWN_CA": "mqtt.cert_file {cert} is not signed by the broker's CA",
    "BAD_CERTIFICATE": "mqtt.cert_file {cert} is refused: expired, not valid yet, or of another CA",
    "CERTIFICATE_REVOKED": "mqtt.cert_file {cert} was revoked",
    "UNSUPPORTED_CERTIFICATE": "mqtt.cert_file {cert} is not a client's certificate",
}


def address(settings: MqttSettings) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{host}:{settings.port}"


def refusal(code: int, settings: MqttSettings, client_id: str) -> Reason:
    """The reason of a CONNACK that refuses; `code` as in MQTT 5."""
    if code == 0x87:
        # mosquitto 2.0 answers a wrong password with this code too.
        if settings.username is None:
            text = "not authorised: the broker wants a user name and password (mqtt.username, mqtt.password)"
        else:
            text = "not authorised: bad user name or password (mqtt.username, mqtt.password), or no right to connect"
        return Reason.of("broker-login", error=text)
    text = _REFUSALS.get(code, "the broker refuses the connection (reason 0x{code:02X})")
    version = "5" if settings.version == 5 else "3.1.1"
    start = client_id.rpartition("-")[0] or client_id
    text = text.format(version=version, client_id=client_id, id_start=start, code=code, prefix=settings.prefix)
    return Reason.of("broker-login" if code == 0x86 else "broker-refuses", error=text)


def end(code: int, client_id: str, prefix: str = "ksem") -> Reason:
    """The reason of a DISCONNECT that the broker sent (MQTT 5)."""
    text = _ENDS.get(code, f"the broker closed the link (reason 0x{code:02X})")
    text = text.format(client_id=client_id, prefix=prefix)
    return Reason.of("client-id-taken" if code == 0x8E else "broker-closed", error=text)


def limits(
    *,
    retain_available: int | None = None,
    maximum_qos: int | None = None,
    maximum_packet_size: int | None = None,
    wildcard_available: int | None = None,
    assigned_client_id: str | None = None,
) -> tuple[str, ...]:
    """What a broker's CONNACK (MQTT 5.0, section 3.2.2.3) lacks that the services need; None = it names no limit."""
    found = []
    if retain_available == 0:
        found.append("it keeps no retained messages: after a start the inverter waits for the next poll of each block")
    if maximum_qos == 0:
        found.append("it has no QoS 1: status and health may be lost on the way")
    if maximum_packet_size is not None and maximum_packet_size < LARGEST_MESSAGE:
        found.append(f"it takes at most {maximum_packet_size} bytes a packet: raise that to {PACKET_LIMIT}")
    if wildcard_available == 0:
        found.append("it takes no wildcards: ranges on demand and other nodes are not received")
    if assigned_client_id:
        found.append("it gives clients an id of its own: a second service with the same login may be cut off")
    return tuple(found)


def no_greeting(settings: MqttSettings) -> Reason:
    """The reason of a connection that ended before the broker's CONNACK."""
    return Reason.of("broker-no-greeting", error=_no_greeting(settings))


def _no_greeting(settings: MqttSettings) -> str:
    version = "5" if settings.version == 5 else "3.1.1"
    text = f"{address(settings)} closed the connection and gave no reason: does it speak MQTT {version} (mqtt.version)"
    if not settings.tls:
        return f"{text}, or does it want TLS (mqtt.tls)?"
    if settings.cert_file:  # with TLS 1.3 a refused certificate looks like this
        return (
            f"{text}, or does it refuse mqtt.cert_file {settings.cert_file} (expired, of another CA, a clock is wrong)?"
        )
    return f"{text}, or does it require a client certificate (mqtt.cert_file)?"


def no_answer(settings: MqttSettings) -> Reason:
    """The reason of a broker that accepts the connection and stays silent: frozen, or not a broker."""
    return Reason.of("broker-silent", error=f"{address(settings)} accepts connections but does not answer")


def no_suback(settings: MqttSettings) -> Reason:
    """The reason of a broker that accepts the login and stays silent then."""
    return Reason.of("broker-silent", error=f"{address(settings)} does not answer a subscription")


def silence(settings: MqttSettings) -> Reason:
    """The reason of a link over which nothing arrives any more."""
    return Reason.of("broker-silent", error=f"no answer from {address(settings)}")


def lost(settings: MqttSettings) -> Reason:
    """The reason of a link that ended without one."""
    return Reason.of("broker-closed", error=f"connection to {address(settings)} lost")


def no_mqtt(error: Exception, settings: MqttSettings) -> Reason:
    """The reason of bytes that are not MQTT."""
    return Reason.of("broker-no-greeting", error=f"{address(settings)} sent something that is not MQTT: {error}")


def too_large(limit: int, settings: MqttSettings) -> Reason:
    """The reason of a message that no service of ours publishes."""
    version = "" if settings.version == 5 else ", or set mqtt.version = 5"
    where, below = address(settings), f"{settings.prefix}/"
    return Reason.of("message-too-large", address=where, limit=limit, topics=below, version=version)


def failed_attempt(error: Exception, settings: MqttSettings) -> Reason:
    """The reason of an exception raised while connecting."""
    where = address(settings)
    if isinstance(error, ssl.SSLError):
        return Reason.of("broker-tls", error=_tls(error, settings))
    if isinstance(error, socket.gaierror):
        text = f"the host name {settings.host} is not known (mqtt.host): {error.strerror}"
    elif isinstance(error, ConnectionRefusedError):
        text = f"connection refused by {where}: no broker listens there (mqtt.host, mqtt.port)"
    elif isinstance(error, TimeoutError):
        return silence(settings)
    elif isinstance(error, ConnectionError) and settings.tls:
        text = f"TLS: {where} closed the connection during the handshake: does it speak TLS there (mqtt.port)?"
        return Reason.of("broker-tls", error=text)
    elif isinstance(error, ConnectionError):
        return no_greeting(settings)
    elif isinstance(error, OSError) and error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN):
        text = f"no way to {where}: {error.strerror}"
    else:
        text = f"can't connect to {where}: {error}"
    return Reason.of("broker-unreachable", error=text)


def bad_tls_file(error: OSError, settings: MqttSettings) -> Reason:
    """The reason of an exception raised while certificates were loaded (ssl.SSLError is an OSError)."""
    files = {"ca_file": settings.ca_file, "cert_file": settings.cert_file, "key_file": settings.key_file}
    named = ", ".join(f"mqtt.{key} {path}" for key, path in files.items() if path)
    reason = getattr(error, "reason", None) or error.strerror or str(error)
    if reason == "KEY_VALUES_MISMATCH":
        text = f"mqtt.key_file {settings.key_file} is not the key of mqtt.cert_file {settings.cert_file}"
        return Reason.of("broker-tls", error=text)
    if "PEM lib" in reason:
        reason = "one of them is not a certificate or key in PEM form"
    return Reason.of("broker-tls", error=f"TLS: can't use {named}: {reason}")


def _tls(error: ssl.SSLError, settings: MqttSettings) -> str:
    where = address(settings)
    if isinstance(error, ssl.SSLCertVerificationError):
        code = error.verify_code
        if code in _EXPIRED:
            return f"TLS: the certificate of {where} has expired"
        if code in _NOT_YET:
            return f"TLS: the certificate of {where} is not valid yet (or this host's clock is behind)"
        if code in _OTHER_NAME:
            return f"TLS: the certificate of {where} is for another name: {error.verify_message}"
        if code in _UNKNOWN_CA:
            ca = f"the CA in mqtt.ca_file {settings.ca_file}" if settings.ca_file else "a CA known here (mqtt.ca_file)"
            return f"TLS: the certificate of {where} is not signed by {ca}"
        if code in _UNFIT_CA:
            ca = f"mqtt.ca_file {settings.ca_file}" if settings.ca_file else "this host's store; see mqtt.ca_file"
            return f"TLS: the CA in {ca} may not sign certificates: {error.verify_message}; make it anew"
        return f"TLS: the certificate of {where} is refused: {error.verify_message} (mqtt.ca_file)"
    reason = error.reason or str(error)
    if "WRONG_VERSION_NUMBER" in reason or "RECORD_LAYER" in reason or "UNEXPECTED_EOF" in reason:
        return f"TLS: {where} does not speak TLS there (mqtt.port, mqtt.tls)"
    if "ALERT" in reason and settings.cert_file:
        known = next((text for name, text in _ALERTS.items() if name in reason), "look at mqtt.cert_file {cert}")
        return f"TLS: {where} refuses us ({reason}): {known.format(cert=settings.cert_file)}"
    if "ALERT" in reason:
        return f"TLS: {where} refuses us ({reason}): does it require a client certificate (mqtt.cert_file)?"
    return f"TLS: no secure link to {where}: {reason}"
