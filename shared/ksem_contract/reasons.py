"""Why something is in its state: a code for programs, a sentence and a remedy for people [core].

Every state that a health message reports is explained by reasons. Programs compare codes and read parameters, and never
match a sentence: sentences may change at any time, and may come in another language. All sentences stand in
`reason_catalogue`, by code. A second catalogue there translates them: `Reason.by` renders a reason with it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from ksem_contract.declared import Rule
from ksem_contract.message_fields import Fields, InvalidMessage, JsonObject, bounded_text, check_reason_code
from ksem_contract.reason_catalogue import ENGLISH, Template

MAX_REASONS: Final = 8
"""Reasons in one list of a message; the first ones matter most."""
MAX_REASON_TEXT: Final = 500
"""Characters of a reason's sentence in a message."""
MAX_REMEDY: Final = 700
"""Characters of its remedy: the longest names every address a meter may push from."""
MAX_PARAMS: Final = 6
MAX_PARAM: Final = 200
"""Characters of one parameter in a message."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason. `str()` gives sentence and remedy: `the meter has stopped pushing: see the slaves in its menu`.

    In a message: `{"code":"push-stopped","text":"the meter has stopped pushing","remedy":"see ...","params":{}}`
    """

    code: str
    """Words joined by `-`. A code keeps its meaning for ever; docs/contract.md lists them."""
    text: str
    remedy: str = ""
    """What a user can do; empty where there is nothing to do."""
    params: tuple[tuple[str, str], ...] = ()
    """The parameters of the sentence, by name."""

    @classmethod
    def of(cls, code: str, **params: object) -> "Reason":
        """The reason `code` in English. KeyError for a code or a parameter that the catalogue does not have."""
        texts = {name: str(value) for name, value in params.items()}
        return cls(code, *_render(ENGLISH[code], texts), tuple(texts.items()))

    def __str__(self) -> str:
        return f"{self.text}: {self.remedy}" if self.remedy else self.text

    def param(self, name: str) -> str:
        """The parameter `name`; empty where it is missing."""
        return dict(self.params).get(name, "")

    def by(self, catalogue: Mapping[str, Template]) -> "Reason":
        """The same reason in the texts of `catalogue`; unchanged where that lacks the code or a parameter."""
        template = catalogue.get(self.code)
        if template is None:
            return self
        try:
            return Reason(self.code, *_render(template, dict(self.params)), self.params)
        except KeyError:
            return self

    def to_json(self) -> JsonObject:
        """The object in a message."""
        return {
            "code": self.code,
            "text": bounded_text(self.text, MAX_REASON_TEXT),
            "remedy": bounded_text(self.remedy, MAX_REMEDY),
            "params": {name: bounded_text(value, MAX_PARAM) for name, value in self.params[:MAX_PARAMS]},
        }

    @classmethod
    def from_json(cls, fields: Fields) -> "Reason":
        """Read from a message; a code that this version does not know is kept with its sentence."""
        params = fields.part("params") if "params" in fields.names() else None
        return cls(
            code=check_reason_code("code", fields.text("code")),
            text=fields.text("text"),
            remedy=fields.text("remedy"),
            params=tuple((name, params.text(name)) for name in params.names()) if params else (),
        )


def reasons_json(reasons: Iterable[Reason]) -> list[JsonObject]:
    """The list `reasons` of a message."""
    return [reason.to_json() for reason in list(reasons)[:MAX_REASONS]]


def _at_most(path: str, found: tuple[Reason, ...]) -> tuple[Reason, ...]:
    if len(found) > MAX_REASONS:
        raise InvalidMessage(f"{path}: {len(found)} of them, at most {MAX_REASONS} are allowed")
    return found


Reasons = Annotated[tuple[Reason, ...], Rule(_at_most, lambda reasons: reasons[:MAX_REASONS])]
"""The field `reasons` of a message, the most important first."""


def sentence(reasons: Iterable[Reason]) -> str:
    """All reasons as one text, each once: the field `why` beside them."""
    return "; ".join(dict.fromkeys(map(str, reasons)))


def find_reason(reasons: Iterable[Reason], *codes: str) -> Reason | None:
    """The first reason that has one of these codes."""
    return next((reason for reason in reasons if reason.code in codes), None)


def without(reasons: Iterable[Reason], *codes: str) -> tuple[Reason, ...]:
    """The reasons that have none of these codes."""
    return tuple(reason for reason in reasons if reason.code not in codes)


def _render(template: Template, params: Mapping[str, str]) -> tuple[str, str]:
    return template.text.format_map(params), template.remedy.format_map(params)
