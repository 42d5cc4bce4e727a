"""Turns a text from the command line into a value of a declared type.

It is strict where a guess would train the wrong model.
"""

from __future__ import annotations

import ast
import dataclasses
import enum
import math
import types
import typing
import warnings
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from tfmo_drive.base.spelling import shortened, suggestion

_WORDS = {"true": True, "false": False, "none": None, "null": None}
LARGEST = 2**40
"""The largest whole number taken: far beyond any count, and within what every array and file can hold."""
_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", types.NoneType: "none"}


class WrongType(ValueError):
    """Is raised where a text does not fit the declared type."""


def parse(text: str, annotation: Any) -> Any:
    """Returns `text` as a value of type `annotation`.

    Whole numbers become floats where a float is declared, never the other way round; `a,b` becomes a tuple where one is
    declared.

    Args:
        text: What was typed.
        annotation: A class, X | None, Literal, tuple[int, ...], a mapping or Any.

    Raises:
        WrongType: The text does not fit, or no run can use it: a number that is not finite, a whole number beyond
            LARGEST, a text that is not Unicode.
    """
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise WrongType(f"must be a text in UTF-8, got {shortened(text, 60)}.")
    made = _fit(annotation, _literal(text), text)
    _refuse_extreme(made, text)
    return made


def expected(annotation: Any) -> str:
    """Returns the type in words, such as "a whole number or none"."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(expected(member) for member in arguments)
    if origin is typing.Literal:
        return "one of " + ", ".join(map(str, arguments))
    if _is_sequence(origin or annotation):
        items = [expected(argument) for argument in arguments if argument is not Ellipsis]
        return "a tuple" + (f" ({', '.join(items)}{', ...' if Ellipsis in arguments else ''})" if items else "")
    if dataclasses.is_dataclass(annotation):
        names = ", ".join(field.name for field in dataclasses.fields(annotation))
        return f"{annotation.__name__} (or set one of its fields: {names})"
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return "one of " + ", ".join(member.name for member in annotation)
    return _NAMES.get(annotation) or f"a {getattr(annotation, '__name__', annotation)}"


def default(kind: type) -> Any:
    """Returns a dataclass with its default values; raises WrongType where it has a field without one."""
    needed = [f.name for f in dataclasses.fields(kind) if f.default is f.default_factory is dataclasses.MISSING]
    if needed:
        raise WrongType(f"cannot be made of defaults: {kind.__name__} needs {', '.join(needed)}.")
    return kind()


def _literal(text: str) -> Any:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        with warnings.catch_warnings(action="ignore"):  # Python warns about texts that are almost numbers
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return text


def _refuse_extreme(value: Any, text: str) -> None:
    if isinstance(value, Mapping):
        value = [*value, *value.values()]
    if isinstance(value, (list, tuple)):
        for one in value:
            _refuse_extreme(one, text)
    elif isinstance(value, float) and not math.isfinite(value):
        raise WrongType(f"must be finite, got {shortened(text, 60)}.")
    elif isinstance(value, int) and abs(value) > LARGEST:
        raise WrongType(f"must be within {LARGEST:,} of zero, got {shortened(text, 60)}.")
    elif isinstance(value, (complex, bytes, set)) or value is Ellipsis:
        raise WrongType(f"must be numbers, texts, true, false, none, or lists of them, got {shortened(text, 60)}.")


def _fit(kind: Any, value: Any, text: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind in (Any, object):
        return value
    if origin in (typing.Union, types.UnionType):
        return _first_fit(sorted(arguments, key=lambda member: member is str), value, text)  # any text fits a str
    if origin is typing.Literal:
        return _one_of({str(choice): choice for choice in arguments}, value, text)
    if _is_sequence(origin or kind):
        return _sequence(origin or kind, arguments, value)
    if isinstance(origin or kind, type) and issubclass(origin or kind, Mapping) and isinstance(value, dict):
        item = arguments[1] if arguments else Any
        return {key: _fit(item, each, str(each)) for key, each in value.items()}
    if kind is float and type(value) is int:
        if value.bit_length() > 1000:
            raise WrongType(f"must be finite, got {shortened(text, 60)}.")
        return float(value)
    if kind is str:
        return value if isinstance(value, str) else text
    if isinstance(kind, type) and issubclass(kind, PurePath) and isinstance(value, str):
        return kind(value)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return _one_of(dict(kind.__members__), value, text)
    if isinstance(kind, type):  # `task.network=MobileNetV2`, `importance=L1`: with its defaults
        named = {one.__name__: one for one in _family(kind) if dataclasses.is_dataclass(one)}
        if text in named:
            return default(named[text])
        if isinstance(value, str) and (offered := [name for name in named if name != kind.__name__]):
            raise WrongType(f"must be {expected(kind)}, got {shortened(text, 60)}. {suggestion(text, sorted(offered))}")
    if type(value) is kind:
        return value
    raise WrongType(f"must be {expected(kind)}, got {shortened(text, 60)}.")


def _family(kind: type) -> list[type]:
    """Returns the class and all that descend from it."""
    return [kind, *(one for child in kind.__subclasses__() for one in _family(child))]


def _first_fit(kinds: Sequence[Any], value: Any, text: str) -> Any:
    for kind in kinds:
        try:
            return _fit(kind, value, text)
        except WrongType:
            continue
    raise WrongType(f"must be {' or '.join(map(expected, kinds))}, got {shortened(text, 60)}.")


def _one_of(choices: Mapping[str, Any], value: Any, text: str) -> Any:
    name = value if isinstance(value, str) else text
    if name not in choices:
        raise WrongType(f"must be one of {', '.join(choices)}, got {shortened(text, 60)}.")
    return choices[name]


def _sequence(kind: Any, arguments: tuple[Any, ...], value: Any) -> Any:
    if isinstance(value, str):
        value = [_literal(part.strip()) for part in value.split(",")]
    items = list(value) if isinstance(value, (tuple, list)) else [value]
    kinds = [argument for argument in arguments if argument is not Ellipsis] or [Any]
    if Ellipsis in arguments or kind is not tuple or not arguments:
        kinds = kinds[:1] * len(items)
    if len(kinds) != len(items):
        raise WrongType(f"must be {len(kinds)} values, got {len(items)}.")
    made = [_fit(each, item, str(item)) for each, item in zip(kinds, items, strict=True)]
    return made if kind is list else tuple(made)


def _is_sequence(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Sequence) and not issubclass(kind, (str, bytes))
