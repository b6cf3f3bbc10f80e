"""Checks one sent answer a second; a wrong one silences its unit [shell]."""

import logging
from collections.abc import Callable
from typing import Final

from ksem_contract.block_message import BlockMessage
from rtu_server.answer_check import why_wrong
from rtu_server.reply_cache import DATA, Answer
from rtu_server.responder import Responder

CHECK_EVERY: Final = 1.0

log = logging.getLogger(__name__)


class AnswerWatch:
    """Checks answers of one line or one TCP server, in another thread than the answering one."""

    def __init__(self, name: str, responder: Responder, limit_of: Callable[[BlockMessage], float] | None) -> None:
        """`limit_of`: how old a block may be, in seconds; None: the age is not checked."""
        self._name = name
        self._responder = responder
        self._limit_of = limit_of
        self._due = 0.0

    def look(self, request: bytes, answer: Answer, at: float) -> None:
        """Take an answer that was sent at `at`; the first one with data in each second is checked."""
        if at < self._due or answer.outcome != DATA:
            return
        self._due = at + CHECK_EVERY
        wrong = why_wrong(request, answer, at, self._limit_of)
        if wrong and not self._responder.why_silenced(request[0]):
            self._responder.silence(request[0], wrong)
            log.error(
                "%s: unit %d gave a wrong answer and is silent from now on: %s; request %s, answer %s",
                self._name, request[0], wrong, request.hex(" "), answer.frame.hex(" "),
            )  # fmt: skip
