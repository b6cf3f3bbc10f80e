"""Makes settings for openWB 2: the publisher's own table, and the bridge to openWB's broker.

Source: openWB's packages/modules/devices/generic/mqtt.
"""

from airbridge.snippets.place import Address
from service_runtime.setting import toml_word

_OPENWB = """\
# publisher.toml. In openWB: add a device "MQTT" with a counter component; openWB shows the counter's id.
# openWB does not look at a value's age: when the meter's data stops, the last value stays there. Where that matters,
# use openWB's own module for the KSEM with the Modbus TCP server of rtu-server instead (docs/modbus-tcp.md).
[openwb]
[[openwb.counter]]
meter = {meter}
id = {counter}

# The publisher writes to the broker of its [mqtt] table. openWB has a broker of its own: let mosquitto carry it there,
# /etc/mosquitto/conf.d/openwb.conf:
#   connection openwb
#   address OPENWB:1883
#   topic openWB/set/mqtt/counter/{counter}/get/# out 0
#   # Is openWB's user management on? Then its broker takes logins alone, encrypted on port 8883: make a user in openWB
#   # that may write the counter's topics, and instead of the line `address` above:
#   #   address OPENWB:8883
#   #   bridge_cafile /etc/ssl/certs/ca-certificates.crt     (or the CA that signed openWB's certificate)
#   #   remote_username USER
#   #   remote_password PASSWORD
# and, where the broker has an ACL, allow it to the publisher:
#   topic write openWB/set/mqtt/counter/#
"""


def render_openwb(place: Address, counter: int) -> str:
    """The settings."""
    return _OPENWB.format(meter=toml_word(place.meter), counter=counter)
