"""Reads Python files of users' own, experiments and boards, by path; they may import modules that lie beside them."""

from __future__ import annotations

import dataclasses
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from tfmo_drive.base.given_file import reason
from tfmo_drive.contracts import BadInput


def read(path: Path) -> ModuleType:
    """Returns the module that the Python file holds, which is run now.

    Its folder is put last among the places that modules are imported from, so that it can hide none of another's; for
    the same reason it is called `own_` and its name, under which its classes find their file.
    Raises BadInput, with the line, where the file cannot be run.
    """
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)
    spec = importlib.util.spec_from_file_location(f"own_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except BadInput:
        raise
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == spec.origin]
        line = lines[-1] if lines else getattr(error, "lineno", None) or 1
        said = reason(error).removeprefix(type(error).__name__).strip()
        raise BadInput(f"{path}, line {line}: {type(error).__name__}: {said}.") from error
    return module


def own_code(value: Any) -> list[str]:
    """Returns the source of every class in a tree of dataclasses that is not the package's.

    A result that such a class made is then not taken for that of another. A class without a source (typed into a
    prompt) is left out.
    """
    found = []
    for kind in dict.fromkeys(_kinds(value)):
        if not kind.__module__.startswith("tfmo_drive."):
            try:
                found.append(inspect.getsource(kind))
            except (OSError, TypeError):
                continue
    return found


def _kinds(value: Any) -> Iterator[type]:
    if isinstance(value, (list, tuple)):
        for one in value:
            yield from _kinds(one)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield type(value)
        for field in dataclasses.fields(value):
            if field.compare:
                yield from _kinds(getattr(value, field.name))
