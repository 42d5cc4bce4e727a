"""Habits of the house, so that a file or function that grows past them says so."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("tfmo_drive", "experiments", "tests")
FILES = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
PACKAGE = [path for path in FILES if path.is_relative_to(ROOT / "tfmo_drive")]
LINES, FUNCTION_LINES, PARAMETERS = 450, 60, 6
DOOR = ROOT / "tfmo_drive" / "library.py"
"""What users call: a setting that can only be given by name does not count there, as in Keras's `fit` nobody counts."""
VAGUE = {"utils", "util", "common", "helpers", "helper", "misc", "manager", "factory"}
# In two parts, so that this file does not find itself.
MACHINE_PATHS = re.compile("/" + r"(work|tmp|home|root|Users)/\w")
UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|X" + r"XX)\b")


def functions(path: Path) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def length(function: ast.FunctionDef) -> int:
    """Lines from `def` to the last of the body, without the docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    if not body:
        return 1
    documented = function.body[0].end_lineno - function.body[0].lineno + 1 if len(body) < len(function.body) else 0
    return body[-1].end_lineno - function.lineno + 1 - documented


def parameters(function: ast.FunctionDef, by_name: bool = True) -> int:
    """How many it takes, with or without those that can only be given by name."""
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *(arguments.kwonlyargs if by_name else ())]
    return len([a for a in named if a.arg not in ("self", "cls")]) + bool(arguments.vararg) + bool(arguments.kwarg)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def found(pattern: re.Pattern, paths: list[Path]) -> list[str]:
    lines = [(path, number, line) for path in paths for number, line in enumerate(path.read_text().split("\n"), 1)]
    return [f"{name(path)}:{number}: {line.strip()}" for path, number, line in lines if pattern.search(line)]


def test_the_ruler_measures_by_hand():
    source = 'def f(self, a, *b, c=1, **d):\n    """One.\n\n    Two.\n    """\n    x = 1\n    return x\n'
    function = ast.parse(source).body[0]
    assert (length(function), parameters(function), parameters(function, by_name=False)) == (3, 4, 3)


def test_no_file_is_longer_than_its_limit():
    long = [f"{name(path)}: {count}" for path in FILES if (count := len(path.read_text().splitlines())) > LINES]
    assert not long, long


def test_no_function_is_longer_than_its_limit():
    long = [f"{name(path)}:{f.lineno} {f.name}: {length(f)}" for path in FILES for f in functions(path)
            if length(f) > FUNCTION_LINES]  # fmt: skip
    assert not long, long


def test_no_function_of_the_package_takes_more_than_six_parameters():
    wide = [f"{name(path)}:{f.lineno} {f.name}: {parameters(f)}" for path in PACKAGE for f in functions(path)
            if parameters(f, by_name=path != DOOR) > PARAMETERS]  # fmt: skip
    assert not wide, wide


def test_no_file_has_a_name_that_says_nothing():
    vague = [name(path) for path in FILES if VAGUE & set(path.relative_to(ROOT).with_suffix("").parts)]
    assert not vague, vague


def test_no_path_of_one_machine_is_written_down():
    texts = [path for suffix in ("cfg", "toml", "md", "j2") for path in ROOT.glob(f"*.{suffix}")]
    assert not found(MACHINE_PATHS, [*FILES, *texts, *(ROOT / "tfmo_drive").rglob("*.j2")])


def test_nothing_is_left_to_do():
    assert not found(UNFINISHED, FILES)
