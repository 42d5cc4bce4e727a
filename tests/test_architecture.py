"""The house: a file imports only from floors below its own or from its own room, and no room is a hall."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "tfmo_drive"
FILES = sorted((ROOT / PACKAGE).rglob("*.py"))
FLOORS = (
    ("preprocessing",), ("contracts", "protocols"), ("base",), ("data", "runtimes", "keras3"), ("networks", "scenes"),
    ("training", "surgery", "conversion", "scores"), ("tasks", "steps", "targets", "measures", "report"),
    ("expect", "boards"), ("experiment",), ("flow",), ("pack", "library"), ("commands",), ("__main__",),
)  # fmt: skip
PLUG_INS = ("tasks", "steps", "targets", "measures", "boards", "commands")
SHARED = {"tasks.image_task", "tasks.frame_task", "tasks.number_task", "steps.criteria", "targets.selective",
          "measures.corruptions", "measures.live_memory", "boards.board", "commands.command_line",
          "commands.experiment_flags", "commands.chosen_run", "commands.shared_flags", "commands.npu_page",
          "commands.baseline_worth", "commands.predicted_picture", "commands.described_tflite"}  # fmt: skip
"""What lies among plug-ins and is none: what several of them share."""
MOST = 25
"""Modules that one folder may hold."""


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path) for path in FILES}


def room(module: str) -> str:
    """What the module lies in: "data", "data.layouts", "tasks.detection"."""
    inside = module.removeprefix(PACKAGE).strip(".").split(".")
    folder = (ROOT / module.replace(".", "/")).is_dir()
    return ".".join(inside if folder or len(inside) == 1 else inside[:-1])


def floor(module: str) -> int:
    """0 of the contracts and of the package itself, which only selects Keras 2, up to the command line's."""
    first = (module.split(".") + [""])[1]
    return next((number for number, rooms in enumerate(FLOORS) if first in rooms), 0)


def imports(path: Path) -> Iterator[str]:
    """Every module of the package that the file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == PACKAGE)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            if node.module.split(".")[0] == PACKAGE:
                whole = [f"{node.module}.{alias.name}" for alias in node.names]
                yield from (name if name in MODULES else node.module for name in whole)


def objection(importer: str, imported: str) -> str | None:
    """Why `importer` may not import `imported`, or None."""
    above, below = floor(importer), floor(imported)
    if below > above:
        return f"floor {above} imports from floor {below}"
    if below < above:
        return None
    inner, outer = room(importer), room(imported)
    if outer in PLUG_INS and imported.removeprefix(f"{PACKAGE}.") not in SHARED and importer != imported:
        return "a plug-in imports its brother"
    house = inner.split(".")[0] == outer.split(".")[0] == "report"
    return None if inner == outer or inner.startswith(f"{outer}.") or house else "a room imports from its neighbour"


@pytest.mark.parametrize(("importer", "imported", "allowed"), [
    ("contracts", "surgery.masks", False), ("surgery.a", "surgery.b", True), ("surgery.a", "networks.b", True),
    ("surgery.a", "training.b", False), ("data.layouts.a", "data.b", True), ("data.a", "data.layouts.b", False),
    ("base.a", "contracts", True), ("base.a", "data.b", False), ("networks.a", "steps.b", False),
    ("steps.a", "steps.b", False), ("steps.prune", "steps.criteria", True), ("steps.a", "targets.b", False),
    ("tasks.detection.a", "tasks.detection.b", True), ("tasks.detection.a", "tasks.segmentation.b", False),
    ("tasks.detection.a", "tasks.image_task", True), ("tasks.detection.a", "tasks.classification", False),
    ("report.plots.a", "report.rendering.b", True), ("tasks.a", "experiment", False), ("experiment", "tasks.a", True),
    ("experiment", "expect", True), ("flow.flow", "experiment", True), ("commands.run", "flow.flow", True),
    ("experiment", "flow.flow", False), ("flow.flow", "commands.run", False),
    ("commands.run", "commands.compare", False),
    ("commands.lint.lint", "commands.lint.a", True), ("commands.lint.lint", "commands.ledger.a", False),
    ("commands.lint.lint", "commands.command_line", True), ("commands.lint.lint", "commands.run", False),
])  # fmt: skip
def test_the_rules_themselves(importer, imported, allowed):
    assert (objection(f"{PACKAGE}.{importer}", f"{PACKAGE}.{imported}") is None) == allowed


def test_every_file_imports_only_from_floors_below():
    found = [(module_of(path), name) for path in FILES for name in imports(path)]
    assert len(found) > 50
    broken = [f"{importer} -> {name}: {why}" for importer, name in found if (why := objection(importer, name))]
    assert not broken, "\n".join(broken)


def test_no_two_files_import_one_another_in_a_circle():
    graph = {module_of(path): set(imports(path)) & MODULES - {module_of(path), PACKAGE} for path in FILES}
    while leaves := {name for name, needs in graph.items() if not needs & graph.keys()}:
        graph = {name: needs for name, needs in graph.items() if name not in leaves}
    assert not graph, f"circular imports among {sorted(graph)}"


def test_tensorflow_and_its_keras_are_imported_in_one_place():
    """So that Keras 2 is chosen first. Types may name tf_keras, and functions what only TensorFlow's inside offers.

    Keras 3 is imported by the program that reads its files, in a process of its own.
    """

    class Finder(ast.NodeVisitor):
        def __init__(self):
            self.names = set()

        def visit_If(self, node):  # noqa: N802 (ast's name)
            if ast.unparse(node.test) != "TYPE_CHECKING":
                self.generic_visit(node)

        def visit_Import(self, node):  # noqa: N802
            self.names |= {alias.name for alias in node.names}

        def visit_ImportFrom(self, node):  # noqa: N802
            self.names.add(node.module)

    def names(path: Path) -> set[str]:
        finder = Finder()
        finder.visit(ast.parse(path.read_text()))
        return finder.names

    found = [module_of(path) for path in FILES if names(path) & {"tensorflow", "tf_keras", "keras"}]
    assert found == ["tfmo_drive.base.keras2", "tfmo_drive.keras3.program"]


def test_no_folder_is_a_hall():
    held = Counter(path.parent.relative_to(ROOT) for path in FILES)
    assert not {str(folder): count for folder, count in held.items() if count > MOST}


def test_no_two_modules_have_one_name():
    """So that a name says which: boards apart, whose names are the boards'."""
    held = Counter(path.stem for path in FILES if path.stem != "__init__" and "boards" not in path.parts)
    assert not {name: count for name, count in held.items() if count > 1}


def test_every_module_says_what_it_is_for():
    silent = [module_of(path) for path in FILES if not (ast.get_docstring(ast.parse(path.read_text())) or "").strip()]
    assert not silent, f"no docstring in {silent}"
