"""Floors: a file imports only from floors below its own, and brothers never import one another (DESIGN, section 2)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "tfmo_drive"
FILES = sorted((ROOT / PACKAGE).rglob("*.py"))
PLUG_INS = ("tasks", "compress", "targets", "measures", "report")
FLOW = ("experiment", "experiment_flags", "expect", "boards", "pack")


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path) for path in FILES}


def floor(module: str) -> int:
    """0 contracts, 1 core, 2 plug-ins, 3 the flow and boards, 4 command lines."""
    first = (module.split(".") + [""])[1]
    if first in ("", "contracts"):  # the package itself only selects Keras 2
        return 0
    if first == "core":
        return 1
    return 2 if first in PLUG_INS else 3 if first in FLOW else 4


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
    if above == below == 2:
        folders = [module.split(".")[1] for module in (importer, imported)]
        if folders[0] != folders[1]:
            return "one plug-in folder imports another"
        return None if folders[0] == "report" else "brothers import one another"
    return "brothers import one another" if above == below == 4 and importer != imported else None


@pytest.mark.parametrize(("importer", "imported", "allowed"), [
    ("tfmo_drive.contracts", "tfmo_drive.core.masks", False), ("tfmo_drive.core.a", "tfmo_drive.core.b", True),
    ("tfmo_drive.core.a", "tfmo_drive.compress.b", False), ("tfmo_drive.compress.a", "tfmo_drive.compress.b", False),
    ("tfmo_drive.compress.a", "tfmo_drive.targets.b", False), ("tfmo_drive.report.a", "tfmo_drive.report.b", True),
    ("tfmo_drive.tasks.a", "tfmo_drive.contracts", True), ("tfmo_drive.tasks.a", "tfmo_drive.experiment", False),
    ("tfmo_drive.experiment", "tfmo_drive.tasks.a", True), ("tfmo_drive.experiment", "tfmo_drive.expect", True),
    ("tfmo_drive.run", "tfmo_drive.experiment", True), ("tfmo_drive.experiment", "tfmo_drive.run", False),
    ("tfmo_drive.run", "tfmo_drive.compare", False),
])  # fmt: skip
def test_the_rules_themselves(importer, imported, allowed):
    assert (objection(importer, imported) is None) == allowed


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
    """So that Keras 2 is chosen first. Types may name tf_keras, and functions what only TensorFlow's inside offers."""

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
    assert found == ["tfmo_drive.core.keras2"]


def test_every_module_says_what_it_is_for():
    silent = [module_of(path) for path in FILES if not (ast.get_docstring(ast.parse(path.read_text())) or "").strip()]
    assert not silent, f"no docstring in {silent}"
