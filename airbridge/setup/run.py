"""Carries out the wizard's steps [shell]."""

from collections.abc import Callable
from typing import Any

from airbridge.doctor.gather_meter import gather_meter
from airbridge.setup import network_search, save, serial_ports, services
from airbridge.setup.broker_login import log_in
from airbridge.setup.line_listener import listen_to_line
from airbridge.setup.push_wait import wait_for_push
from airbridge.setup.screen import Answers, Screen
from airbridge.setup.steps import (
    BrokerAnswer,
    Choose,
    Confirm,
    Enter,
    FindAnnounced,
    LineAnswer,
    ListAdapters,
    ListenToLine,
    ListNetworks,
    LookAtMeter,
    PushAnswer,
    Restart,
    RunDoctor,
    Save,
    ScanNetworks,
    Show,
    Step,
    Steps,
    TryBroker,
    WaitForPush,
)
from airbridge.setup.wizard_input import Existing


class Runner:
    """Drives one wizard to its end."""

    def __init__(self, screen: Screen, answers: Answers, existing: Existing) -> None:
        self._screen = screen
        folder = existing.folder
        self._ways: dict[type[Step[Any]], Callable[[Any], Any]] = {
            Show: screen.show,
            Confirm: answers.confirm,
            Choose: answers.choose,
            Enter: answers.enter,
            FindAnnounced: lambda _: self._busy(network_search.find_announced),
            ListNetworks: lambda _: network_search.own_networks(),
            ScanNetworks: lambda step: self._busy(lambda: network_search.scan(step.networks)),
            LookAtMeter: lambda step: self._busy(lambda: gather_meter(step.place)),
            ListAdapters: lambda _: serial_ports.list_adapters(),
            TryBroker: self._try_broker,
            ListenToLine: self._listen,
            WaitForPush: self._wait_for_push,
            Save: lambda step: save.save(folder, step.files),
            Restart: lambda step: services.restart(step.services, folder),
            RunDoctor: lambda _: services.run_doctor(folder),
        }

    def run(self, wizard: Steps[int]) -> int:
        """Carry out one step after the other; returns the exit code."""
        try:
            step = next(wizard)
            while True:
                step = wizard.send(self._ways[type(step)](step))
        except StopIteration as end:
            return int(end.value)

    def _busy(self, work: Callable[[], Any]) -> Any:
        with self._screen.console.status("..."):
            return work()

    def _try_broker(self, step: TryBroker) -> BrokerAnswer:
        answer: BrokerAnswer = self._busy(lambda: log_in(step.mqtt))
        return answer

    def _listen(self, step: ListenToLine) -> LineAnswer:
        """Ctrl-C ends the wait alone."""
        try:
            answer: LineAnswer = self._busy(lambda: listen_to_line(step))
        except KeyboardInterrupt:
            return LineAnswer("silent", step.mode)
        return answer

    def _wait_for_push(self, step: WaitForPush) -> PushAnswer:
        """Ctrl-C ends the wait alone."""
        try:
            answer: PushAnswer = self._busy(lambda: wait_for_push(step))
        except KeyboardInterrupt:
            return PushAnswer("nothing")
        return answer
