"""The order of the classes, from a file that says it: the output index of a model means nothing without it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from tfmo_drive.contracts import BadInput
from tfmo_drive.core.spelling import suggestion

FILES = ("classes.json", "classes.txt")
_NUMBER = re.compile("-?[0-9]+")


def read_class_names(path: str | Path) -> tuple[str, ...]:
    """Names in the order of their ids, from a .txt (one per line) or a .json (a list, {name: id} or {id: name}).

    Raises BadInput where the file is missing, malformed or empty, or where a name or an id comes twice or is left out.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"The class names {path} cannot be read: {error}. Expected a .txt or a .json file.") from error
    names = _from_json(path, text) if path.suffix.lower() == ".json" else text.rstrip().splitlines()
    names = tuple(name.strip() for name in names)
    if not names:
        raise BadInput(f"No class names in {path}. Expected one name per line, in the order of the ids.")
    if "" in names:
        raise BadInput(f"{path}: line {names.index('') + 1} is empty, so every later class would get a wrong id.")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise BadInput(f"{path}: class names must differ, got {quoted(repeated)} more than once.")
    return names


def beside(folder: Path) -> tuple[str, ...] | None:
    """The names in classes.json or classes.txt in `folder`; None where there is neither."""
    found = [folder / name for name in FILES if (folder / name).is_file()]
    return read_class_names(found[0]) if found else None


def ordered(names: Iterable[str]) -> tuple[str, ...]:
    """Sorted: as numbers where all names are numbers (2 before 10), else as text."""
    names = set(names)
    return tuple(sorted(names, key=int if all(name.isdecimal() for name in names) else None))


def label_ids(labels: Iterable[str], names: Sequence[str]) -> dict[str, int]:
    """{label: id} of the labels that can be: names, or ids where all are numbers and not themselves names ("30")."""
    labels, ids = set(labels), {name: index for index, name in enumerate(names)}
    if not labels <= set(ids) and all(_NUMBER.fullmatch(label) for label in labels):
        return {label: int(label) for label in labels if 0 <= int(label) < len(names)}
    return ids


def no_class(label: str, names: Sequence[str]) -> str:
    """Why `label` is none of the classes, as the end of an error message."""
    if _NUMBER.fullmatch(label):
        return f"labels must be in 0..{len(names) - 1} ({len(names)} classes), got {label}."
    return f'"{label}" is not a class. {suggestion(label, names)}'


def quoted(names: Sequence[str], most: int = 5) -> str:
    """`"car", "truck", "bus" and 4 more`."""
    shown = ", ".join(f'"{name}"' for name in names[:most])
    return shown + (f" and {len(names) - most:,} more" if len(names) > most else "")


def _from_json(path: Path, text: str) -> list[str]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise BadInput(f"{path} is not JSON: {error}. Expected a list of class names or {{name: id}}.") from error
    if isinstance(value, dict) and all(isinstance(item, str) for item in value.values()):
        value = {name: int(key) if key.isdecimal() else key for key, name in value.items()}
    if isinstance(value, dict):
        ids = list(value.values())
        if any(type(number) is not int for number in ids) or sorted(ids) != list(range(len(ids))):
            raise BadInput(f"{path}: class ids must be 0 to {len(ids) - 1}, each once, got {str(ids)[:60]}.")
        value = sorted(value, key=value.__getitem__)
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise BadInput(f"{path}: expected a list of class names or {{name: id}}, got {str(value)[:60]}.")
    return value
