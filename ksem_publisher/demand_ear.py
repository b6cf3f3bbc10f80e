"""Hears what inverters ask and whether their nodes are online, and keeps the demand up to date."""

import logging
from collections.abc import Callable

from ksem_contract.errors import InvalidMessage
from ksem_contract.requests import RequestsMessage
from ksem_contract.topics import ParsedTopic, Topics
from ksem_publisher.demand import Demand
from service_runtime.mqtt_connection import Incoming
from service_runtime.quiet_log import QuietLog


class DemandEar:
    """Called in the link's own thread. `tell` hands a change over to the thread that polls."""

    def __init__(
        self, demand: Demand, topics: Topics, tell: Callable[[Callable[[], None]], None], log: logging.Logger
    ) -> None:
        self._demand = demand
        self._topics = topics
        self._tell = tell
        self._log = log
        self._quiet = QuietLog()

    @property
    def subscriptions(self) -> list[str]:
        """What it needs to hear."""
        return [self._topics.all_nodes_status(), self._topics.all_nodes_requests()]

    def hear(self, topic: ParsedTopic, message: Incoming) -> None:
        """A node's message; what breaks the contract is ignored, and told once."""
        node = topic.node
        if node is None:
            return
        if topic.kind == "node_status":
            online = message.payload == b"online"
            self._tell(lambda: self._demand.hear_status(node, online=online))
        elif topic.kind == "node_requests" and message.payload:
            try:
                requests = RequestsMessage.decode(message.payload)
            except InvalidMessage as bad:
                text = f"ignored {message.topic}, which breaks the contract: {bad}"
                line = self._quiet.say("contract", text, message.received)
                if line is not None:
                    self._log.warning("%s", line)
                return
            self._tell(lambda: self._demand.hear_requests(node, requests, message.received))
