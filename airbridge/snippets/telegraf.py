"""Makes an MQTT consumer for telegraf.conf. Source: Telegraf's docs, inputs/mqtt_consumer and parsers/json."""

from airbridge.snippets.place import PASSWORD, Address
from service_runtime.setting import toml_word


def render_telegraf(place: Address) -> str:
    """The settings: one point for each measuring cycle, at the time the meter was read."""
    lines = [
        "# telegraf.conf. One point for each measuring cycle; topics that stop leave a gap, never a repeated value.",
        *place.login_notes(),
        "[[inputs.mqtt_consumer]]",
        f"  servers = [{toml_word(place.url('tcp', 'ssl'))}]",
        f"  topics = [{toml_word(place.values)}]",
        "  qos = 0",
    ]
    if place.username:
        lines += [f"  username = {toml_word(place.username)}", f'  password = "{PASSWORD}"']
    if place.tls:
        files = (("tls_ca", "ca.pem"), ("tls_cert", "cert.pem"), ("tls_key", "key.pem"))
        lines += [f'  {key} = "/etc/telegraf/{name}"' for key, name in files]
    lines += [
        '  topic_tag = ""',
        '  name_override = "ksem"',
        '  data_format = "json"',
        '  json_time_key = "time"',
        '  json_time_format = "2006-01-02T15:04:05.000Z07:00"',
        "  [inputs.mqtt_consumer.tags]",
        f"    meter = {toml_word(place.meter)}",
    ]
    return "\n".join(lines) + "\n"
