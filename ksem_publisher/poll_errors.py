"""What can go wrong when the meter is polled."""

from ksem_contract.reasons import Reason


class PollError(Exception):
    """No usable answer; the connection is closed."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.text)
        self.reason = reason


class RefusedError(PollError):
    """The meter answered with an exception; the connection is fine."""

    def __init__(self, code: int, reason: Reason) -> None:
        super().__init__(reason)
        self.code = code
