"""Reads tables into settings classes: types, mistakes with their place and remedy, and where each value came from.

Types of a field: str, int, float, bool, Path, `X | None`, `tuple[X, ...]`, an attrs class (a table), `tuple[attrs
class, ...]` (an array of tables). A whole number is taken for a float; nothing else is converted, so that a typing slip
is reported. It reads no file: `settings` hands it what the file and the environment hold.
"""

import math
import re
import tomllib
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from service_runtime.setting import MASK, toml_word


@attrs.frozen
class Variable:
    """One environment variable that is meant for a settings key."""

    name: str
    text: str


@attrs.frozen
class Address:
    """A table of the settings: its path, `("line", "0", "unit", "1")`, and its file."""

    file: str
    path: tuple[str, ...]

    def __str__(self) -> str:
        """Shows `publisher.toml: [[line.unit]] #1.2`: counted from one, as a reader of the file does."""
        title = ".".join(part for part in self.path if not part.isdigit())
        numbers = ".".join(str(int(part) + 1) for part in self.path if part.isdigit())
        return f"{self.file}: [[{title}]] #{numbers}" if numbers else f"{self.file}: [{title}]"

    def variable(self, key: str) -> str:
        return "AIRBRIDGE_" + "__".join((*self.path, key)).upper()


class TreeReader:
    """Reads tables into settings classes; `mistakes` and `sources` grow as it goes."""

    def __init__(self, file: str, read_secret: Callable[[Path], str]) -> None:
        """`read_secret` gives the text of a secret's file; ValueError with the reason where it can't."""
        self.file = file
        self.read_secret = read_secret
        self.mistakes: list[str] = []
        self.sources: dict[str, str] = {}
        self.renamed: list[str] = []
        """A line for each key that was given by the name it had in an earlier version."""

    def table(self, cls: type[Any], raw: object, variables: object, path: tuple[str, ...]) -> Any:
        """One table as an instance of `cls`, or WRONG."""
        place = Address(self.file, path)
        if not isinstance(raw, Mapping):
            hint = f"write [{path[-1]}], it stands once" if isinstance(raw, list) else "must be a table"
            self.mistakes.append(f"{place}: {hint}")
            return WRONG
        if isinstance(variables, Variable):
            self.mistakes.append(f"environment: {variables.name}: a table can't be given whole, give its keys")
            return WRONG
        variables = typing.cast("Mapping[str, Any]", variables)
        before = len(self.mistakes)
        names = [field.name for field in attrs.fields(cls)]
        raw = self._by_new_names(cls, raw, str(place))
        variables = self._by_new_names(cls, variables, "environment:")
        self._refuse_unknown(names, raw, variables, place)
        types_of = typing.get_type_hints(cls)
        values: dict[str, Any] = {}
        for field in attrs.fields(cls):
            found = self.field(field, types_of[field.name], raw, variables, path)
            if found is not None:
                values[field.name] = found[0]
        if len(self.mistakes) > before:
            return WRONG
        self._read_secret_files(cls, values, place)
        return self.build(cls, values, str(place)) if len(self.mistakes) == before else WRONG

    def tables(self, cls: type[Any], raw: object, variables: object, path: tuple[str, ...]) -> Any:
        """An array of tables as a tuple of `cls`, or WRONG."""
        title = ".".join(part for part in path if not part.isdigit())
        if not isinstance(raw, list):
            self.mistakes.append(f"{self.file}: [{title}]: write [[{title}]], it may stand several times")
            return WRONG
        if isinstance(variables, Variable):
            self.mistakes.append(f"environment: {variables.name}: a table can't be given whole, give its keys")
            return WRONG
        by_index: dict[int, Any] = {}
        for part, node in _parts(variables):
            if not re.fullmatch("[0-9]{1,6}", part):
                some = next(leaves(node)).name
                self.mistakes.append(f"environment: {some}: [[{title}]] needs a number, counted from 0, after its name")
                return WRONG
            by_index[int(part)] = node
        count = len(raw) + sum(index >= len(raw) for index in by_index)
        for index, node in by_index.items():
            if index >= count:
                some = next(leaves(node)).name
                self.mistakes.append(f"environment: {some}: there is no [[{title}]] before it; count from 0, no gaps")
                return WRONG
        made = [
            self.table(cls, raw[index] if index < len(raw) else {}, by_index.get(index, {}), (*path, str(index)))
            for index in range(count)
        ]
        return WRONG if any(one is WRONG for one in made) else tuple(made)

    def build(self, cls: type[Any], values: Mapping[str, Any], where: str) -> Any:
        """The instance, or WRONG and a mistake for each argument of a ValueError from its checks across fields."""
        try:
            return cls(**values)
        except ValueError as error:
            self.mistakes += [f"{where}: {text}" for text in error.args]
            return WRONG

    def field(
        self, field: Any, kind: Any, raw: Mapping[str, Any], variables: Mapping[str, Any], parent: tuple[str, ...]
    ) -> tuple[Any] | None:
        """The field's value in a tuple of one; None where the default holds (or where there is a mistake)."""
        place = Address(self.file, parent)
        path = (*parent, field.name)
        nested = table_class(kind)
        if nested is not None and typing.get_origin(kind) is tuple:
            return self._array(field, nested, raw.get(field.name), variables.get(field.name), path)
        if nested is not None:
            made = self.table(nested, raw.get(field.name, {}), variables.get(field.name, {}), path)
            return None if made is WRONG else (made,)
        variable = variables.get(field.name)
        if variable is not None:
            return self._variable(field, kind, variable, path)
        if field.name in raw:
            value = self._checked(field, kind, raw[field.name], f"{place} {field.name}")
            self.sources[".".join(path)] = self.file
            return None if value is WRONG else (value,)
        if field.default is attrs.NOTHING:
            help_text = field.metadata["help"]
            self.mistakes.append(f"{place}: {field.name} is missing (or {place.variable(field.name)}): {help_text}")
        return None

    def _array(
        self, field: Any, cls: type[Any], raw: object, variables: object, path: tuple[str, ...]
    ) -> tuple[Any] | None:
        if raw is None and variables is None:
            made = field.default.factory() if isinstance(field.default, attrs.Factory) else field.default  # type: ignore[arg-type]
            made = () if made is attrs.NOTHING else made
        else:
            made = self.tables(cls, [] if raw is None else raw, {} if variables is None else variables, path)
        if made is WRONG:
            return None
        title = ".".join(part for part in path if not part.isdigit())
        wrong = [rule for rule in field.metadata["rules"] if not rule.holds(made)]
        needed = [one.name for one in attrs.fields(cls) if one.default is attrs.NOTHING] if not made else []
        hint = f", with {' and '.join(needed)}" if needed else ""
        self.mistakes += [f"{self.file}: [[{title}]]: {rule.text}{hint}" for rule in wrong]
        return (made,)

    def _variable(self, field: Any, kind: Any, variable: object, path: tuple[str, ...]) -> tuple[Any] | None:
        if not isinstance(variable, Variable):
            some = next(leaves(variable))
            self.mistakes.append(f"environment: {some.name}: {field.name} is one value, not a table")
            return None
        raw: object = variable.text
        if leaf_type(kind) not in (str, Path):
            try:
                raw = tomllib.loads(f"value = {variable.text}")["value"]
            except (ValueError, RecursionError):  # not TOML, or a number with thousands of digits
                raw = variable.text  # reported as a wrong value, with what is allowed
        value = self._checked(field, kind, raw, f"environment: {variable.name}", variable.text)
        self.sources[".".join(path)] = variable.name
        return None if value is WRONG else (value,)

    def _checked(self, field: Any, kind: Any, raw: object, where: str, shown: object = None) -> Any:
        rules = field.metadata["rules"]
        value = converted(raw, kind)
        if value is not WRONG and all(rule.holds(value) for rule in rules):
            return value
        words = [rule.text for rule in rules]
        if value is WRONG:
            words.insert(0, type_words(kind))
        word = MASK if field.metadata.get("secret") else toml_word(raw if shown is None or _holds_table(raw) else shown)
        self.mistakes.append(f"{where} = {word}: {', '.join(words)}")
        return WRONG

    def _by_new_names(self, cls: type[Any], given: Mapping[str, Any], where: str) -> Mapping[str, Any]:
        """The given values, under today's names of their keys. A key given by both names is a mistake."""
        found = dict(given)
        for field in attrs.fields(cls):
            for old in field.metadata.get("was", ()):
                if old not in found:
                    continue
                if field.name in found:
                    self.mistakes.append(f"{where} {old}: {field.name} is set too; {old} is its old name: remove it")
                    continue
                found[field.name] = found.pop(old)
                self.renamed.append(f"{where} {old}: this key is called {field.name} now; the old name is still taken")
        return found

    def _refuse_unknown(
        self, names: Sequence[str], raw: Mapping[str, Any], variables: Mapping[str, Any], place: Address
    ) -> None:
        for key in raw:
            if key not in names:
                self.mistakes.append(f"{place} {key}: unknown key; {suggestion(key, names)}")
        for key, node in _parts(variables):
            if key not in names:
                hint = suggestion(key, names)
                self.mistakes += [f"environment: {leaf.name}: unknown key; {hint}" for leaf in leaves(node)]

    def _read_secret_files(self, cls: type[Any], values: dict[str, Any], place: Address) -> None:
        for field in attrs.fields(cls):
            by_file = f"{field.name}_file"
            path = values.get(by_file)
            if not field.metadata.get("secret") or path is None:
                continue
            key, file_key = (".".join((*place.path, part)) for part in (field.name, by_file))
            if field.name in values:
                from_environment = [self.sources[one] != self.file for one in (key, file_key)]
                if from_environment[0] == from_environment[1]:
                    self.mistakes.append(f"{place}: {field.name} and {by_file}: give one of them")
                    continue
                if from_environment[0]:
                    del values[by_file]  # the environment's password is the one in force
                    continue
            try:
                values[field.name] = self.read_secret(path)
            except ValueError as error:
                self.mistakes.append(f"{place} {by_file} = {toml_word(path)}: {error}")
            self.sources[key] = f"file {path}"


def _holds_table(raw: object) -> bool:
    return isinstance(raw, Mapping) or (isinstance(raw, list) and any(map(_holds_table, raw)))


def suggestion(word: str, known: Iterable[str]) -> str:
    """The nearest of the known words, or all of them."""
    from difflib import get_close_matches  # noqa: PLC0415  (0.3 MB that settings without a mistake don't need)

    known = sorted(known)
    near = get_close_matches(word.lower(), known, n=1)
    return f"did you mean {near[0]}?" if near else "there are: " + ", ".join(known)


def _parts(variables: object) -> list[tuple[str, Any]]:
    return list(variables.items()) if isinstance(variables, Mapping) else []


def leaves(node: object) -> Iterator[Variable]:
    """All variables below a node of the environment's tree."""
    if isinstance(node, Variable):
        yield node
    for _part, below in _parts(node):
        yield from leaves(below)


WRONG: Any = object()
"""Stands for a value that could not be made; its mistake is reported already."""


_WORDS: dict[Any, str] = {
    str: "a text",
    Path: "a path",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}


def leaf_type(kind: Any) -> Any:
    """`X` of `X | None`; any other type as it is."""
    kinds = _choices(kind)
    return kinds[0] if len(kinds) == 1 else kind


def _choices(kind: Any) -> list[Any]:
    """The types of a union, None left out."""
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        return [one for one in typing.get_args(kind) if one is not type(None)]
    return [kind]


def table_class(kind: Any) -> type[Any] | None:
    """The attrs class of a table or of an array of tables; None for a plain value."""
    inner = typing.get_args(kind)[0] if typing.get_origin(kind) is tuple else kind
    return inner if isinstance(inner, type) and attrs.has(inner) else None


def type_words(kind: Any) -> str:
    """What is allowed, for people: "a whole number"."""
    kind = leaf_type(kind)
    if typing.get_origin(kind) is tuple:
        return f"a list, each item {type_words(typing.get_args(kind)[0])}"
    return " or ".join(_WORDS[one] for one in _choices(kind))


def converted(raw: object, kind: Any) -> Any:
    """`raw` as the field's type, or WRONG."""
    kind = leaf_type(kind)
    if len(choices := _choices(kind)) > 1:
        made = (converted(raw, one) for one in choices)
        return next((value for value in made if value is not WRONG), WRONG)
    if typing.get_origin(kind) is tuple:
        inner = typing.get_args(kind)[0]
        items = [converted(item, inner) for item in raw] if isinstance(raw, list) else [WRONG]
        return WRONG if any(item is WRONG for item in items) else tuple(items)
    if kind is float:
        try:
            number = float(raw) if isinstance(raw, int | float) and not isinstance(raw, bool) else math.nan
        except OverflowError:  # a whole number with hundreds of digits
            return WRONG
        return number if math.isfinite(number) else WRONG
    if kind is Path:
        return Path(raw) if isinstance(raw, str) and raw else WRONG
    return raw if type(raw) is kind else WRONG
