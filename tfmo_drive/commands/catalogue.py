"""Print what there is, with a line each: experiments, boards and steps.

tfmo-drive list
tfmo-drive list boards
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tfmo_drive import boards, steps
from tfmo_drive.base.spelling import suggestion
from tfmo_drive.commands import experiment_flags
from tfmo_drive.contracts import BadInput


def main(argv: list[str]) -> int:
    """Prints the lists that argv names, or all, and returns the exit code."""
    for name in argv[1:]:
        if name not in LISTS:
            raise BadInput(f"There is no list of {name!r}. {suggestion(name, LISTS)}")
    blocks = []
    for name in argv[1:] or LISTS:
        found = list(LISTS[name]())
        width = max(len(one) for one, _ in found)
        blocks.append("\n".join([f"{name}:", *(f"  {one:<{width}}  {line}" for one, line in found)]))
    print("\n\n".join(blocks))
    return 0


def _experiments() -> Iterator[tuple[str, str]]:
    for path in experiment_flags.files():
        yield path.stem, _first_line(ast.parse(path.read_text(encoding="utf-8")))


def _boards() -> Iterator[tuple[str, str]]:
    for path in sorted(Path(boards.__file__).parent.glob("*.py")):
        if path.stem not in ("__init__", "board"):
            yield path.stem, _first_line(ast.parse(path.read_text(encoding="utf-8")))


def _steps() -> Iterator[tuple[str, str]]:
    """Yields the classes that are built on a step's base, found in the source so that TensorFlow is not imported."""
    for path in sorted(Path(steps.__file__).parent.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and any(ast.unparse(one).endswith("Step") for one in node.bases):
                yield node.name, _first_line(node)


def _first_line(node: ast.Module | ast.ClassDef) -> str:
    return (ast.get_docstring(node) or "").split("\n")[0]


LISTS = {"experiments": _experiments, "boards": _boards, "steps": _steps}
