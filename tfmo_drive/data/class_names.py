"""Reads and checks the names of classes in the order of their ids, without which an output's index means nothing."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from tfmo_drive.base import given_file
from tfmo_drive.base.spelling import shortened, suggestion
from tfmo_drive.contracts import BadInput

FILES = ("classes.json", "classes.txt", "codes.txt", "class_names.txt")
"""Files of names in the order of their ids; the last two are fast.ai's and labelme's."""
LONGEST = 200
"""The largest number of characters in a class name."""
_MISSING = ("", "nan", "n/a", "#n/a", "<na>", "null")
"""The texts that spreadsheets and pandas write into a cell without a value, in lower case."""
_ID = re.compile("-?[0-9]{1,18}")
_WHOLE = re.compile(r"-?[0-9]{1,18}(\.0+)?")
"""A number as it is, or as pandas writes it beside others that are not whole, or missing."""
_NEVER = {
    "Cc": "a control character",
    "Cs": "half a character (the name is not UTF-8)",
    "Zl": "a line separator",
    "Zp": "a paragraph separator",
}
"""Unicode categories (Unicode Standard, table 4-4) of what breaks lines, terminals and compilers."""
_TURNS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Marks that turn the direction of writing: source code with them reads as what it is not (CVE-2021-42574)."""


def clean(name: str) -> str:
    """Returns a name as it is compared and kept: without spaces around it, in Unicode's composed form (NFC).

    macOS writes an accented letter as two characters, and others as one: both are one class.
    """
    return unicodedata.normalize("NFC", name.strip())


def is_missing(cell: str) -> bool:
    """Says whether a cell of a table holds what spreadsheets and pandas write where there is no value."""
    return cell.strip().lower() in _MISSING


def is_id(label: str) -> bool:
    """Says whether a label is a whole number as ids of classes are; one of more than 18 digits is a name."""
    return _ID.fullmatch(label) is not None


def refuse_unfit(source: object, names: Sequence[str], said: bool) -> None:
    """Raises BadInput where a class must not have such a name.

    Names reach C code, Markdown, labels.txt and the model file. A name is 1..LONGEST characters in NFC, without control
    characters, line separators, halves of surrogate pairs and marks that turn the direction of writing, without spaces
    around it, and no two are equal. Whatever else it holds (quotes, `<`, `*/`, `??/`, pipes) is escaped by the code
    that writes it.

    Args:
        source: The file or folder of the names, with which the line begins.
        names: The names.
        said: Whether a file lists the names. Only then may names differ in case, leading zeros or invisible characters
            alone, or mean that nothing is known (nan): in data these are slips.
    """
    for place, name in enumerate(names):
        fault = _fault(name)
        if fault:
            raise BadInput(f'{source}: class {place} may not be called "{name[:60]}": {fault}. Give it another name.')
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise BadInput(f"{source}: class names must differ, got {quoted(twice)} more than once.")
    if said:
        return
    alike: dict[str, str] = {}
    for name in names:
        other = alike.setdefault(_folded(name), name)
        if other != name:
            raise BadInput(
                f'{source}: "{other}" and "{name}" differ in case, zeros or invisible characters alone. Make them one '
                "class, or name both in a file of classes (classes.txt, one per line)."
            )
        if is_missing(name):
            raise BadInput(
                f'{source}: a class is called "{name}", as tables say that nothing is known. Fill or drop those, or, '
                "if it is one, name the classes in classes.txt, one per line."
            )


def _fault(name: str) -> str:
    if not name or name != name.strip():
        return "spaces around it, or nothing" if name.strip() else "it is empty"
    if len(name) > LONGEST:
        return f"it has {len(name):,} characters, of {LONGEST} at most"
    for character in name:
        kind = unicodedata.category(character)
        if kind in _NEVER or character in _TURNS:
            what = _NEVER.get(kind, "a mark that turns the direction of writing")
            return f"it holds {what}, {ascii(character)[1:-1]}"
    return "" if name == clean(name) else "it is not in Unicode's composed form (NFC)"


def _folded(name: str) -> str:
    if _WHOLE.fullmatch(name):
        return str(int(name.partition(".")[0]))
    visible = "".join(c for c in unicodedata.normalize("NFKC", name) if unicodedata.category(c) != "Cf")
    return " ".join(visible.casefold().split())


def read_class_names(path: str | Path) -> tuple[str, ...]:
    """Returns the names in the order of their ids, from a file.

    A .txt has one per line, a .json is a list, {name: id} or {id: name}.
    Raises BadInput where the file is missing, malformed or empty, where a name or an id comes twice or is left out, and
    for a name that no class may have (refuse_unfit).
    """
    path = Path(path)
    if path.suffix.lower() == ".json":
        names = _from_json(path)
    else:
        names = given_file.text_of(path, "a file of class names, one per line", windows=True).rstrip().split("\n")
    names = tuple(map(clean, names))
    if not any(names):
        raise BadInput(f"No class names in {path}. Expected one name per line, in the order of the ids.")
    if "" in names:
        raise BadInput(f"{path}: line {names.index('') + 1} is empty, so every later class would get a wrong id.")
    refuse_unfit(path, names, said=True)
    return names


def beside(folder: Path) -> tuple[str, ...] | None:
    """Returns the names in the first of FILES in `folder`, or None where there is none."""
    found = [folder / name for name in FILES if (folder / name).exists() and not (folder / name).is_dir()]
    return read_class_names(found[0]) if found else None


def ordered(source: object, names: Iterable[str]) -> tuple[str, ...]:
    """Returns the classes of data that names them, sorted as numbers where all are (2 before 10), else as texts.

    Raises BadInput for a name that no class may have (refuse_unfit).
    """
    found = sorted({clean(name) for name in names})
    refuse_unfit(source, found, said=False)
    return tuple(sorted(found, key=int) if all(map(is_id, found)) else found)


def label_ids(labels: Iterable[str], names: Sequence[str]) -> dict[str, int]:
    """Returns {label: id} for the labels that are classes.

    Labels are names, or ids where all of them are numbers and not all are names.
    """
    labels, ids = {label: clean(label) for label in labels}, {clean(name): index for index, name in enumerate(names)}
    if not ids.keys() >= set(labels.values()) and all(map(is_id, labels.values())):
        return {label: int(plain) for label, plain in labels.items() if 0 <= int(plain) < len(names)}
    return {label: ids[plain] for label, plain in labels.items() if plain in ids}


def no_class(label: str, names: Sequence[str]) -> str:
    """Returns why `label` is none of the classes, as the end of an error message."""
    label = shortened(label)
    if is_id(label):
        return f"labels must be in 0..{len(names) - 1} ({len(names)} classes), got {label}."
    return f'"{label}" is not a class. {suggestion(label, names)}'


def quoted(names: Sequence[str], most: int = 5) -> str:
    """Returns names in quotes as one text, such as `"car", "truck", "bus" and 4 more`."""
    shown = ", ".join(f'"{shortened(name)}"' for name in names[:most])
    return shown + (f" and {len(names) - most:,} more" if len(names) > most else "")


def _from_json(path: Path) -> list[str]:
    value = given_file.json_of(path, "a JSON list of class names or {name: id}")
    if isinstance(value, dict) and all(isinstance(item, str) for item in value.values()):
        refuse_unfit(path, [clean(name) for name in value.values()], said=True)  # before equal ones become one key
        value = {name: int(key) if is_id(key) else key for key, name in value.items()}
    if isinstance(value, dict):
        ids = list(value.values())
        if any(type(number) is not int for number in ids) or sorted(ids) != list(range(len(ids))):
            raise BadInput(f"{path}: class ids must be 0 to {len(ids) - 1}, each once, got {str(ids)[:60]}.")
        value = sorted(value, key=value.__getitem__)
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise BadInput(f"{path}: expected a list of class names or {{name: id}}, got {str(value)[:60]}.")
    return value
