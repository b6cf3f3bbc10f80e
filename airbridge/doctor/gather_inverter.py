"""Reads on the inverter's own Modbus TCP port what it believes, beside what was measured [shell]."""

import contextlib
import logging
import secrets
import threading
from typing import Final

from airbridge.doctor.facts import InverterFacts, InverterPlace
from inverter_reader.inverter import Inverter
from inverter_reader.modbus_client import InverterClient, ReadError, RefusedError
from ksem_contract.block_message import BlockMessage
from ksem_contract.message_fields import InvalidMessage
from ksem_contract.topics import Topics
from ksem_contract.values import decode_live
from ksem_contract.values_message import ValuesMessage
from service_runtime.clock import boottime
from service_runtime.common_settings import MqttSettings
from service_runtime.mqtt_link import MqttLink
from service_runtime.mqtt_session import Incoming

COMPARED_FOR: Final = 20.0
"""Seconds of reads beside measurements: values that stand still are found after 15 s."""
ALONE_FOR: Final = 3.0
"""Seconds of reads where there is nothing to compare with."""
_PAUSE: Final = 0.5
_log: Final = logging.getLogger("airbridge.doctor.inverter")


def gather_inverter(place: InverterPlace, mqtt: MqttSettings | None) -> InverterFacts:
    """Read the inverter for some seconds, and compare with the measurements that this login is delivered, if any."""
    inverter, lock = Inverter(place.meter, "auto", f"{place.host}:{place.port}"), threading.Lock()
    with contextlib.ExitStack() as stack:
        if mqtt is not None:
            link = _measurements(mqtt, place.meter, inverter, lock)
            link.start()
            stack.callback(link.stop)
        client = InverterClient(place.host, place.port, unit=place.unit, timeout=2.0)
        stack.callback(client.close)
        begun = boottime()
        while boottime() - begun < (ALONE_FOR if inverter.served_w is None else COMPARED_FOR):
            if not _read(client, inverter, lock) and inverter.is_lost:
                break
            threading.Event().wait(_PAUSE)
    condition = inverter.condition(boottime())
    return InverterFacts(
        place=place,
        state=condition.state,
        reasons=condition.reasons,
        believed_w=None if inverter.believed is None else inverter.believed.power,
        served_w=inverter.served_w,
        delay=inverter.delay,
        kind=inverter.kind,
        order=inverter.order,
        used_broker=mqtt is not None,
    )


def _read(client: InverterClient, inverter: Inverter, lock: threading.Lock) -> bool:
    """Read once what is due; False where no answer came."""
    for span in inverter.reads_due(boottime()):
        sent = boottime()
        try:
            registers = client.read(span)
        except RefusedError as refused:
            inverter.on_refused(span, str(refused), boottime())
        except ReadError as error:
            inverter.on_failure(error.failure, str(error))
            return False
        else:
            with lock:
                inverter.on_read(span, registers, sent, boottime())
    return True


def _measurements(mqtt: MqttSettings, meter: str, inverter: Inverter, lock: threading.Lock) -> MqttLink:
    """A link that hands measurements on. Some logins may read values, the services' own only blocks."""
    topics = Topics(mqtt.prefix)
    block_topic = topics.meter_block(meter, "live")

    def on_message(message: Incoming) -> None:
        with contextlib.suppress(InvalidMessage), lock:
            if message.retained:
                return
            if message.topic == block_topic:
                block = BlockMessage.decode(message.payload)
                inverter.on_measured(decode_live(block.registers), message.received - block.age_ms / 1000)
            else:
                values = ValuesMessage.decode(message.payload)
                inverter.on_measured(values.values, message.received - values.age_ms / 1000)

    _log.addHandler(logging.NullHandler())
    _log.propagate = False
    return MqttLink(
        mqtt,
        client_id=f"airbridge-doctor-{secrets.token_hex(4)}",
        will=None,
        subscriptions=[topics.meter_values(meter), block_topic],
        on_message=on_message,
        on_link=lambda _up, _why: None,
        log=_log,
    )
