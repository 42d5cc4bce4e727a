"""Whoever reads the package from outside finds a plain sentence at everything that is public."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "tfmo_drive").rglob("*.py"))
NOUNS = {
    "Whether", "Outputs", "Inputs", "Pixels", "Rows", "Boxes", "Images", "Labels", "Classes", "Cells", "Constants",
    "Detections", "Files", "Folders", "Flags", "Kernels", "Keys", "Maps", "Neighbours", "Parts", "Questions",
    "Settings", "Stages", "Streams", "Tensors", "This", "Its",
}  # fmt: skip
"""First words that end as a verb's third person does and are none."""


class Definition(NamedTuple):
    """A public class, function or method, where it stands, and the class that it is a method of."""

    place: str
    name: str
    node: ast.ClassDef | ast.FunctionDef
    owner: ast.ClassDef | None


def definitions(source: str, file: str) -> Iterator[Definition]:
    """Everything public that a module defines at its top level, and what its public classes define."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            yield Definition(f"{file}:{node.lineno}", node.name, node, None)
            for method in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                    yield Definition(f"{file}:{method.lineno}", f"{node.name}.{method.name}", method, node)


def documented_members(kind: ast.ClassDef) -> set[str]:
    """Names of the methods with a docstring, and of the attributes with a text below them."""
    found = {one.name for one in kind.body if isinstance(one, ast.FunctionDef) and ast.get_docstring(one)}
    for one, below in zip(kind.body, kind.body[1:], strict=False):
        value = below.value if isinstance(below, ast.Expr) else None
        text = isinstance(value, ast.Constant) and isinstance(value.value, str)
        if text and isinstance(one, ast.AnnAssign):
            found.add(one.target.id)
        elif text and isinstance(one, ast.Assign):
            found |= {target.id for target in one.targets}
    return found


def inherited(definition: Definition, classes: dict[str, ast.ClassDef], protocols: set[str]) -> bool:
    """Whether a base class of the package, or one of its protocols, documents the method of this name."""
    if not definition.owner:
        return False
    waiting, seen = [definition.owner], set()
    while waiting:
        for base in waiting.pop().bases:
            name = ast.unparse(base).split("[")[0].split(".")[-1]
            if name in classes and name not in seen:
                seen.add(name)
                waiting.append(classes[name])
    members = set().union(protocols, *(documented_members(classes[name]) for name in seen))
    return definition.node.name in members


def objection(node: ast.ClassDef | ast.FunctionDef) -> str | None:
    """Says why the docstring is no sentence that a reader understands at once, or None."""
    text = ast.get_docstring(node).strip()
    first, word = text.split("\n\n")[0], text.split()[0].rstrip(",:;")
    if not (first[0].isupper() or first[0] == "`"):
        return "begins with neither a capital letter nor a backtick"
    if first[-1] not in ".:?" and not first.endswith('."'):
        return "does not end its first paragraph with a full stop"
    if len(first.split()) < 3:
        return "has no room for a subject and a verb"
    verb = word.replace("-", "").isalpha() and word.endswith("s") and word not in NOUNS
    if isinstance(node, ast.FunctionDef) and not verb:
        return f'does not begin with what the function does ("Returns", "Raises", ...), but with {word!r}'
    if word in ("Of", "What", "How", "None"):
        return f"begins with {word!r}"
    return None


@pytest.mark.parametrize(("source", "why"), [
    ('def f():\n    """Returns the mean, float64 [n]."""', None),
    ('class A:\n    """A `Scope` holds what is open."""', None),
    ('def f():\n    """returns nothing at all."""', "neither a capital"),
    ('def f():\n    """Returns the mean"""', "full stop"),
    ('def f():\n    """The mean of all values."""', "what the function does"),
    ('def f() -> bool:\n    """Whether it is sure."""', "what the function does"),
    ('class A:\n    """Of one class, each in [0, 1]."""', "begins with 'Of'"),
    ('class A:\n    """The control."""', "no room"),
])  # fmt: skip
def test_the_rules_themselves(source, why):
    found = objection(ast.parse(source).body[0])
    assert found is None if why is None else why in found


def test_who_inherits_a_docstring_needs_none():
    source = (
        'class A:\n    x: int\n    """Says it."""\n\n    def f(self):\n        """Does it."""\n\n'
        "class B(A):\n    def f(self): ...\n\n    def x(self): ...\n\n    def g(self): ...\n"
    )
    classes = {node.name: node for node in ast.parse(source).body}
    found = {one.name: inherited(one, classes, set()) for one in definitions(source, "") if one.owner}
    assert found == {"A.f": False, "B.f": True, "B.x": True, "B.g": False}


@pytest.fixture(scope="module")
def public() -> list[Definition]:
    return [one for path in FILES for one in definitions(path.read_text(), str(path.relative_to(ROOT)))]


def test_everything_public_has_a_docstring_or_inherits_one(public):
    every = [node for path in FILES for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)]
    protocols = set().union(*(documented_members(one) for one in every if "Protocol" in map(ast.unparse, one.bases)))
    classes = {node.name: node for node in every}
    assert len(public) > 800
    silent = [f"{each.place} {each.name}" for each in public if not ast.get_docstring(each.node)
              and not inherited(each, classes, protocols)]  # fmt: skip
    assert not silent, f"{len(silent)} lack a docstring:\n" + "\n".join(silent)


def test_every_docstring_is_a_sentence(public):
    told = [(each, objection(each.node)) for each in public if ast.get_docstring(each.node)]
    broken = [f"{each.place} {each.name} {why}" for each, why in told if why]
    assert not broken, f"{len(broken)} are no sentences:\n" + "\n".join(broken)


def test_every_summary_fits_on_one_line():
    """Those of modules and of what is private too, so that lists of them can be read."""
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef
    trees = [(path, ast.parse(path.read_text())) for path in FILES]
    found = [(path, node) for path, tree in trees for node in ast.walk(tree) if isinstance(node, kinds)]
    broken = [f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}" for path, node in found
              if "\n" in (ast.get_docstring(node) or "").split("\n\n")[0]]  # fmt: skip
    assert len(found) > 2000 and not broken, f"{len(broken)} take more lines:\n" + "\n".join(broken)


def test_modules_that_docstrings_name_are_there():
    """`data.recordings`, `report.timing`, `measures/accuracy.py`: what was moved takes its mentions along."""
    rooms = [path.name for path in (ROOT / "tfmo_drive").iterdir() if path.is_dir()]
    named = re.compile(rf"(?<![\w/])(?:{'|'.join(rooms)})(?:[./][a-z_]+)+")
    found = [(path, one) for path in FILES for one in texts(ast.parse(path.read_text()))]
    gone = [f"{path.relative_to(ROOT)}: {name}" for path, text in found for name in named.findall(text)
            if not re.search(r"\.(json|md|html|yaml)$", name) and not exists(name)]  # fmt: skip
    assert len(found) > 1500 and not gone, "\n".join(gone)


def texts(tree: ast.Module) -> Iterator[str]:
    """Yields docstrings, and the texts below attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value


def exists(name: str) -> bool:
    """Says whether a module, or something in one, may be meant: the longest part that is a path of the package is."""
    parts = re.split("[./]", name.removesuffix(".py"))
    places = [ROOT / "tfmo_drive" / Path(*parts[:length]) for length in range(2, len(parts) + 1)]
    return any(place.is_dir() or place.with_suffix(".py").is_file() for place in places)
