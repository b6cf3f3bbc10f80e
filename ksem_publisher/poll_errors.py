"""What can go wrong when the meter is asked."""


class PollError(Exception):
    """No usable answer; the connection is closed."""


class RefusedError(PollError):
    """The meter answered with an exception; the connection is fine."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
