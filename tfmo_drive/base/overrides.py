"""Applies `--set=recipe.0.sparsity=0.7` to a tree of frozen dataclasses.

The tree is built again with the other values, so that every check runs again. The fields of a dataclass are the
settings: there is no second list of them anywhere.
"""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any, NamedTuple, TypeVar

import numpy as np

from tfmo_drive.base.spelling import shortened, suggestion
from tfmo_drive.base.typed_text import WrongType, default, parse
from tfmo_drive.contracts import BadInput

T = TypeVar("T")
_RENAMED = {"removed": "pruning_ratio", "views": "augmented_copies", "where": "places"}
"""The new names of settings that older commands give by names too far from them for a guess by spelling."""


class _Change(NamedTuple):
    """Describes one assignment."""

    path: list[str]
    """The rest of the path below the current value."""
    text: str
    """The text to put there."""
    said: str
    """The whole assignment as it was typed."""
    adds: bool
    """Whether the text goes behind the parts that are there."""

    def made(self, annotation: Any, value: Any) -> Any:
        """Returns what stands in the place of `value`, which is declared as `annotation`; raises WrongType."""
        found = parse(self.text, annotation or (Any if value is None else type(value)))
        if not self.adds:
            return found
        if not isinstance(value, tuple):
            raise WrongType(f"is no list, to which += adds. Type {self.said.replace('+=', '=')}.")
        return (*value, *found)


def override(value: T, assignments: Sequence[str]) -> T:
    """Returns `value`, a tree of frozen dataclasses, with the assignments made; the last one of a path wins.

    The assignments are made all at once, so that values that only make sense together can be given together.

    Args:
        value: The dataclass, such as an Experiment.
        assignments: Texts `path=text`, or `path+=text` for more parts of a tuple. A path goes through fields, tuple
            positions and dictionary keys, as `recipe.0.sparsity`.

    Returns:
        A new tree of the same classes.

    Raises:
        BadInput: A name is not there (the line suggests the nearest one), a text is of the wrong type, or a
            `__post_init__` refuses the value.
    """
    changes: list[_Change] = []
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        path, adds = path.removesuffix("+"), path.endswith("+")
        said = shortened(assignment, 100)
        if not equals or not all(part.strip() for part in path.split(".")):
            raise BadInput(f'A setting is given as path=value, as in recipe.0.sparsity=0.7; got "{said}".')
        changes.append(_Change([part.strip() for part in path.split(".")], text.strip(), said, adds))
    made = _changed(value, None, changes, "")
    _refuse_unheard(made, changes)
    return made


def settings(value: Any) -> Any:
    """Returns a dataclass tree in JSON types: {"kind": class name, field: ...}.

    Fields with `compare=False` are no settings and are left out. Where a field is itself called kind, the class name
    stands under "class". Raises BadInput for a value without a stable text (a model, a lambda), since equal settings
    must hash equally.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value) if field.compare]
        key = "class" if "kind" in names else "kind"
        return {key: type(value).__name__, **{name: settings(getattr(value, name)) for name in names}}
    if isinstance(value, Mapping):
        return {str(key): settings(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [settings(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, enum.Enum):
        return settings(value.value)
    if isinstance(value, PurePath):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (type, types.FunctionType)) and "<" not in value.__qualname__:
        return f"{value.__module__}.{value.__qualname__}"
    kind = type(value).__name__
    raise BadInput(
        f"Settings must be plain values or dataclasses of them, got {value!r}. Name a function by `def`; of a class of "
        f"your own, write @dataclasses.dataclass(frozen=True) above `class {kind}`."
    )


def describe(value: Any) -> str:
    """Returns one line for each setting, as it is typed after --set=; a dataclass gets a line with its class name."""
    lines = list(_described(value, ""))
    width = max((len(path) for path, _ in lines), default=0)
    return "\n".join(f"{path:<{width}}  {text}".rstrip() for path, text in lines)


def _described(value: Any, path: str) -> Iterator[tuple[str, str]]:
    below: Iterable[tuple[Any, Any]] = ()
    if dataclasses.is_dataclass(value):
        yield path or "experiment", type(value).__name__
        below = ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value) if field.compare)
    elif isinstance(value, Mapping) and value:
        below = value.items()
    elif isinstance(value, (list, tuple)) and any(map(dataclasses.is_dataclass, value)):
        below = enumerate(value)
    else:
        text = str(value if isinstance(value, tuple) else settings(value))
        yield path, text if len(text) <= 80 else f"{text[:76]} ..."
    for name, item in below:
        yield from _described(item, f"{path}.{name}" if path else str(name))


def _changed(value: Any, annotation: Any, changes: list[_Change], where: str) -> Any:
    """Returns `value` with `changes` made below it; `annotation` is its declared type where there is one."""
    for change in changes:
        if not change.path:
            try:
                value = change.made(annotation, value)
            except WrongType as error:
                raise BadInput(f"{where} {error} (in {change.said})") from error
    below = [change for change in changes if change.path]
    if not below:
        return value
    if value is None:  # `distill.alpha=0.5` asks for what is not there yet: it starts from its defaults
        kinds = [kind for kind in typing.get_args(annotation) if dataclasses.is_dataclass(kind)]
        value = default(kinds[0]) if len(kinds) == 1 else None
    children, declared = _children(value, annotation, where, below[0])
    grouped: dict[str, list[_Change]] = {}
    for change in below:
        path, assignment = change.path, change.said
        if path[0] not in children:
            subject = f"{where} ({type(value).__name__})" if where else type(value).__name__
            answer = suggestion(path[0], children)
            if (renamed := _RENAMED.get(path[0])) in children:
                answer = f'Did you mean "{f"{where}.{renamed}".lstrip(".")}"? It was renamed.'
            raise BadInput(f'{subject} has no "{path[0]}" (in {assignment}). {answer}')
        grouped.setdefault(path[0], []).append(change._replace(path=path[1:]))
    made = {
        name: _changed(children[name], declared(name), changes, f"{where}.{name}" if where else name)
        for name, changes in grouped.items()
    }
    return _rebuilt(value, made, where)


def _refuse_unheard(value: Any, changes: list[_Change]):
    """Raises BadInput for a setting of a part that the whole then overwrites.

    MultiTask, for instance, gives its own settings to each of its tasks, so that one set on a task alone would be
    ignored without a word.
    """
    paths = [change.path for change in changes]
    for change in {tuple(change.path): change for change in changes}.values():
        path = change.path
        if change.adds or any(len(other) > len(path) and other[: len(path)] == path for other in paths):
            continue
        found, annotation, above = value, None, ""
        for depth, name in enumerate(path):
            children, declared = _children(found, annotation, "", change)
            if not above and path[-1] in children:
                above = ".".join([*path[:depth], path[-1]])
            found, annotation = children[name], declared(name)
        if change.made(annotation, found) != found:
            raise BadInput(f"{change.said} is not heard: it is {found} here, whatever is asked. Set {above}.")


def _rebuilt(value: Any, made: dict[str, Any], where: str) -> Any:
    """Returns `value` with the fields in `made`.

    Raises BadInput, which begins with the setting's whole path, where its checks refuse them.
    """
    kind = type(value).__name__
    if isinstance(value, Mapping):
        return {key: made.get(str(key), item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(made.get(str(index), item) for index, item in enumerate(value))
    for field in dataclasses.fields(value):
        if made.get(field.name) == "" and field.default != "":
            raise BadInput(f"{where or kind}.{field.name} must not be empty. Give a value, or leave it out.")
    try:
        return dataclasses.replace(value, **made)
    except (ValueError, TypeError, ArithmeticError, LookupError) as error:  # TypeError: it cannot take the value at all
        said = str(error)
        if not isinstance(error, ValueError):
            said = f"{', '.join(f'{kind}.{name}' for name in made)}: {said}."
        if where:
            said = f"{where}{said.removeprefix(kind)}" if said.startswith(f"{kind}.") else f"{where}: {said}"
        raise BadInput(said) from error


def _children(value: Any, annotation: Any, where: str, change: _Change) -> tuple[dict[str, Any], Callable[[str], Any]]:
    """Returns what lies one level below `value`, by name, and a function from such a name to its declared type."""
    if dataclasses.is_dataclass(value):
        hints = _hints(type(value))
        fields = [field for field in dataclasses.fields(value) if field.init]
        return {field.name: getattr(value, field.name) for field in fields}, hints.get
    for member in typing.get_args(annotation):  # `tuple[int, ...] | None`: take the value's own part
        if isinstance(value, typing.get_origin(member) or ()):
            annotation = member
    arguments = [argument for argument in typing.get_args(annotation) if argument is not Ellipsis]
    if isinstance(value, Mapping):
        return {str(key): item for key, item in value.items()}, lambda _: arguments[1] if len(arguments) == 2 else None
    if isinstance(value, (list, tuple)):
        items = {str(index): item for index, item in enumerate(value)}
        fixed = len(arguments) == len(value)
        return items, lambda name: (arguments[int(name)] if fixed else arguments[0]) if arguments else None
    raise BadInput(f'{where} is {value!r}, so it has no "{change.path[0]}" (in {change.said}). Set {where} itself.')


def _hints(kind: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(kind)
    except (NameError, TypeError):  # names imported for type checkers only: the current value tells its type instead
        return {}
