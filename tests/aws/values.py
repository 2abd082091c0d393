"""What a property may hold once a profile is applied: plain values, and what only a deployment can know."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

Value = Any
"""A JSON value whose leaves may be symbols."""


@dataclass(frozen=True, slots=True)
class Reference:
    """What `Ref` (without an attribute) or `Fn::GetAtt` gives of a resource, named by its path: `Data/Database`."""

    resource: str
    attribute: str = ""

    def __str__(self) -> str:
        return f"<{self.resource}{'.' if self.attribute else ''}{self.attribute}>"


@dataclass(frozen=True, slots=True)
class Text:
    """A text of which some parts are symbols."""

    parts: tuple[Value, ...]

    def __str__(self) -> str:
        return "".join(map(str, self.parts))


@dataclass(frozen=True, slots=True)
class Call:
    """A function of CloudFormation whose arguments hold symbols."""

    function: str
    arguments: tuple[Value, ...]

    def __str__(self) -> str:
        return f"<{self.function}({', '.join(map(str, self.arguments))})>"


@dataclass(frozen=True, slots=True)
class Unresolved:
    """What could not be resolved; why has been said."""

    name: str

    def __str__(self) -> str:
        return f"<unresolved {self.name}>"


class _NoValue:
    """AWS::NoValue: the property is left out."""


NO_VALUE: Final = _NoValue()
SYMBOLS: Final = (Reference, Text, Call, Unresolved)


def join(parts: list[Value]) -> Value:
    """Return one text of many; a plain one where nothing is symbolic."""
    flat: list[Value] = []
    for part in parts:
        for piece in part.parts if isinstance(part, Text) else (part,):
            text = piece if isinstance(piece, SYMBOLS) else plain(piece)
            if isinstance(text, str) and flat and isinstance(flat[-1], str):
                flat[-1] += text
            elif text != "":
                flat.append(text)
    if not flat:
        return ""
    return flat[0] if len(flat) == 1 else Text(tuple(flat))


def plain(value: Value) -> str:
    """Return a scalar as CloudFormation writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def split(value: Value, separator: str) -> list[Value]:
    """Return the pieces between separators; a symbol has none inside."""
    pieces: list[list[Value]] = [[]]
    for part in value.parts if isinstance(value, Text) else (value,):
        if isinstance(part, SYMBOLS):
            pieces[-1].append(part)
            continue
        first, *others = plain(part).split(separator)
        pieces[-1].append(first)
        pieces.extend([other] for other in others)
    return [join(piece) for piece in pieces]


def references(value: Value) -> Iterator[Reference]:
    """Every reference anywhere in a value."""
    if isinstance(value, Reference):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from references(inner)
    elif isinstance(value, Text):
        yield from references(value.parts)
    elif isinstance(value, Call):
        yield from references(value.arguments)


def leaves(value: Value, path: str = "") -> Iterator[tuple[str, Value]]:
    """Every (path, leaf) in a value."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from leaves(inner, f"{path}[{number}]")
    else:
        yield path, value


def as_list(value: Value) -> list[Value]:
    """Return a list of what may be one thing or a list of things."""
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def number(value: Value, default: float = 0) -> float:
    """Return a number that may be written as text."""
    try:
        return float(plain(value))
    except ValueError:
        return default


def is_true(value: Value) -> bool:
    """Whether a flag is set; a text counts as CloudFormation takes it."""
    return plain(value).lower() == "true" if value is not None else False
