"""Counting what a service logs during a fault: one line per change, however fast it repeats."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.bridge.service import Service


class Lines:
    """Lines that a service logged since a moment; without their times."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._begin = len(service.log_text())

    def __iter__(self) -> Iterator[str]:
        return iter(self._service.log_text()[self._begin :].splitlines())

    def with_word(self, word: str) -> list[str]:
        return [line for line in self if word in line]


@contextmanager
def quiet(*services: Service, at_most: int) -> Iterator[list[Lines]]:
    """Each service logs no more than so many lines in the `with` block, and no traceback."""
    logged = [Lines(service) for service in services]
    yield logged
    for service, lines in zip(services, logged, strict=True):
        reported = list(lines)
        text = "\n".join(reported)
        assert len(reported) <= at_most, f"{service.module} logged {len(reported)} lines:\n{text}"
        assert "Traceback" not in text, text
