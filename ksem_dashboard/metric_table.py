"""The names of all metrics, with what they mean and their labels [core]. Names by Prometheus's conventions."""

from typing import Final

_METER: Final = ("meter",)
_BLOCK: Final = ("meter", "block")
_NODE: Final = ("node",)
_UNIT: Final = ("node", "line", "unit", "meter")
_INVERTER: Final = ("inverter",)
_DOOR: Final = ("node", "door", "unit", "meter")

GAUGES: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "ksem_dashboard_broker_up": ("Whether this service is connected to the broker.", ()),
    "ksem_build_info": ("Version of each service, always 1.", ("service", "name", "version")),
    "ksem_meter_online": ("Whether the publisher says that live data flows.", _METER),
    "ksem_meter_fresh": ("Whether fresh live data of the meter arrives here.", _METER),
    "ksem_meter_state": ("1 for the state that the publisher is in.", (*_METER, "state")),
    "ksem_meter_health_age_seconds": ("Time since the publisher told its health.", _METER),
    "ksem_push_up": ("Whether the meter pushes.", _METER),
    "ksem_push_period_seconds": ("Learned time between two pushed cycles.", _METER),
    "ksem_poll_up": ("Whether the meter answers polls.", _METER),
    "ksem_other_publishers": ("Other publishers seen for the same meter.", _METER),
    "ksem_check_failed": ("1 for each check of the meter's values that fails.", (*_METER, "check")),
    "ksem_block_age_seconds": ("Age of a block's oldest measured word.", _BLOCK),
    "ksem_block_limit_seconds": ("Age from which on the publisher calls a block old.", _BLOCK),
    "ksem_power_watts": ("Power at the meter; above 0: taken from the grid.", _METER),
    "ksem_phase_power_watts": ("Power of a phase; above 0: taken from the grid.", (*_METER, "phase")),
    "ksem_phase_voltage_volts": ("Voltage of a phase.", (*_METER, "phase")),
    "ksem_phase_current_amperes": ("Current of a phase, with the sign of its power.", (*_METER, "phase")),
    "ksem_frequency_hertz": ("Frequency of the grid.", _METER),
    "ksem_node_online": ("Whether the inverter asks and gets data.", _NODE),
    "ksem_node_state": ("1 for the state that the RTU server is in.", (*_NODE, "state")),
    "ksem_node_health_age_seconds": ("Time since the RTU server told its health.", _NODE),
    "ksem_node_broker_up": ("Whether the RTU server was connected to the broker as it told last.", _NODE),
    "ksem_node_round_trip_seconds": ("Round trip of the echo that dates blocks.", ("node", "meter")),
    "ksem_serial_port_up": ("Whether the serial port is open.", _UNIT),
    "ksem_unit_state": ("1 for the state that the unit is in.", (*_UNIT, "state")),
    "ksem_turnaround_recent_seconds": (
        "Turnaround of the last answers, a thousand at most; quantile 1 is the longest.",
        (*_UNIT, "quantile"),
    ),
    "ksem_inverter_data_recent_age_seconds": (
        "Age of the data in the last answers, a thousand at most; quantile 1 is the oldest.",
        (*_UNIT, "quantile"),
    ),
    "ksem_last_request_age_seconds": ("Time since the inverter asked last.", _UNIT),
    "ksem_inverter_read": ("Whether the inverter's own values are read.", _INVERTER),
    "ksem_inverter_believed_power_watts": ("Power that the inverter believes; above 0: from the grid.", _INVERTER),
    "ksem_inverter_delay_seconds": ("How far the inverter is behind the meter.", (*_INVERTER, "quantile")),
    "ksem_inverter_reason": ("1 for each reason why the inverter is not well.", (*_INVERTER, "code")),
    "ksem_door_up": ("Whether a side door (Modbus TCP) is open, and has fresh data for who asks.", _DOOR),
    "ksem_door_last_request_age_seconds": ("Time since a reader asked last at a side door.", _DOOR),
}
HISTOGRAMS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "ksem_turnaround_seconds": ("From a request's last byte to its answer's first.", _UNIT),
    "ksem_inverter_data_age_seconds": ("Age of the data as the inverter got it.", _UNIT),
    "ksem_door_turnaround_seconds": ("From a request's taking up at a side door to its answer's sending.", _DOOR),
    "ksem_door_data_age_seconds": ("Age of the data as readers at a side door got it.", _DOOR),
}
"""Told as `_bucket` with the label `le`, `_sum` and `_count`, since the RTU server's start."""
COUNTERS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "ksem_dashboard_messages": ("MQTT messages of the contract received here.", ()),
    "ksem_dashboard_unreadable_messages": ("Messages that broke the contract.", ()),
    "ksem_live_blocks": ("Live blocks that arrived here.", _METER),
    "ksem_push_writes": ("Writes of the meter's push.", _METER),
    "ksem_push_changes": ("Changes of the push between up and down.", _METER),
    "ksem_poll_requests": ("Requests to the meter.", _METER),
    "ksem_poll_errors": ("Requests to the meter that failed.", _METER),
    "ksem_poll_seqlock_retries": ("Parts read again because a cycle went by meanwhile.", _METER),
    "ksem_block_messages": ("Messages of a block in the publisher's present session.", _BLOCK),
    "ksem_energy_import_joules": ("Energy taken from the grid, as the meter counts it.", _METER),
    "ksem_energy_export_joules": ("Energy fed into the grid, as the meter counts it.", _METER),
    "ksem_requests": ("Requests of the inverter to this unit.", _UNIT),
    "ksem_answers": ("What the inverter got.", (*_UNIT, "outcome")),
    "ksem_foreign_frames": ("Frames on the line that were for others.", _UNIT),
    "ksem_noise_bytes": ("Bytes on the line that were no frame.", _UNIT),
    "ksem_door_requests": ("Requests of readers at a side door to this unit.", _DOOR),
    "ksem_door_answers": ("What readers at a side door got.", (*_DOOR, "outcome")),
}
"""Names without the `_total` that they are told with."""
