"""Reads Python files of users' own, experiments and boards, by path; they may import modules that lie beside them."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

from tfmo_drive.base.given_file import reason
from tfmo_drive.contracts import BadInput


def read(path: Path) -> ModuleType:
    """Returns the module that the Python file holds, which is run now.

    Its folder is put last among the places that modules are imported from, so that it can hide none of another's.
    Raises BadInput, with the line, where the file cannot be run.
    """
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BadInput:
        raise
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        line = lines[-1] if lines else getattr(error, "lineno", None) or 1
        raise BadInput(f"{path}, line {line}: {type(error).__name__}: {reason(error)}.") from error
    return module
