"""Whatever reads a file does so inside `given_file.reading`: a new reader cannot forget damaged files and pipes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = sorted((ROOT / "tfmo_drive").rglob("*.py"))
OPENERS = {"open", "read_text", "read_bytes", "File", "load_model", "load_weights", "ParquetFile", "InferenceSession",
           "Interpreter", "ZipFile", "loadtxt", "load"}  # fmt: skip
"""Last parts of what opens a file, or a model of one."""
GUARDS = {"reading", "reads", "_reading", "_FILE", "text_of", "json_of"}
OWN = {
    "commands/catalogue.py": "this program",
    "surgery/untrained_step.py: reload": "stages of this run, by their digests",
    "flow/stages.py: _baseline": "as above",
    "training/trained_step.py: reload": "as above", "training/trained_step.py: saved": "progress, refused by name",
    "base/cache.py": "the cache, by its seals", "training/teacher.py": "as above",
    "base/run_folder.py: file_digest": "files alone, whatever is in them", "data/copies.py: _digest": "as above",
    "data/near_duplicates.py: near_duplicates": "the cache, by its seals",
    "__init__.py: ": "this program", "scenes/scenes.py: version": "this program", "base/environment.py": "the system",
    "runtimes/vela.py": "what Vela has just written", "runtimes/micro.py": "an artifact just made",
    "commands/ledger/layer_values.py": "as above", "runtimes/flatbuffer_edit.py": "as above",
    "commands/ledger/ledger.py: _onnx": "as above",
    "measures/size.py": "as above", "runtimes/artifact_metadata.py: write": "as above",
    "runtimes/artifact_metadata.py: flatbuffer": "bytes in memory",
    "runtimes/artifact_metadata.py: _read_tflite": "as above, inside the guard of `read`",
    "runtimes/onnx_file.py: _load": "inside the guards of its callers",
    "measures/corruptions.py: _jpeg": "bytes in memory",
    "data/images.py": "images.reading, which names the image", "data/mask_files.py: _read_ids": "as above",
    "networks/model_code.py": "everything is caught by refuse_code",
    "networks/own_model.py: load": "everything is caught",
    "networks/own_model.py: _version": "opened before by is_whole_model, and read inside the guard of read_model",
    "networks/hdf5_file.py": "as above", "networks/networks.py: load_weights": "as above",
    "keras3/program.py": "a process of its own, in which everything is caught",
    "keras3/exported.py: export": "this program, and what its other process wrote",
    "networks/networks.py: started": "networks.load_weights", "training/given_model.py: baseline": "as above",
    "conversion/trials.py": "this program, the cache, and what a trial has just written",
    "conversion/freezing.py: load": "what `save` has just written",
    "pack/": "run on their own in a pack, or what was just packed",
    "report/write_report.py: write_figures": "a page of our own, any bytes",
}  # fmt: skip
"""What reads without it, and why it may: a folder, a file, or a function of one."""


def _name(call: ast.expr) -> str:
    function = call.func if isinstance(call, ast.Call) else call
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _opens(node: ast.AST) -> bool:
    """Whether a call opens a file to read it."""
    if not isinstance(node, ast.Call) or _name(node) not in OPENERS:
        return False
    if isinstance(node.func, ast.Attribute) and _name(node.func.value) in ("os", "interpreters", "json", "own_model"):
        return False
    modes = [
        one.value for one in [*node.args, *(word.value for word in node.keywords)] if isinstance(one, ast.Constant)
    ]
    return not any(isinstance(mode, str) and mode.strip("b+") in ("w", "a", "x") for mode in modes)


def _unguarded(node: ast.AST, inside: str) -> Iterator[tuple[str, int]]:
    """Function and line of every call that opens a file outside a guard."""
    if isinstance(node, ast.FunctionDef):
        if any(_name(one) in GUARDS for one in node.decorator_list):
            return
        inside = node.name
    if isinstance(node, ast.With) and any(_name(item.context_expr) in GUARDS for item in node.items):
        return
    if _opens(node):
        yield inside, node.lineno
    for child in ast.iter_child_nodes(node):
        yield from _unguarded(child, inside)


def test_every_file_is_read_inside_a_guard():
    found = [(f"{path.relative_to(ROOT / 'tfmo_drive')}: {function}", line) for path in PACKAGE
             for function, line in _unguarded(ast.parse(path.read_text()), "")]  # fmt: skip
    used = {own for place, _ in found for own in OWN if place.startswith(own)}
    assert not [f"{place} (line {line})" for place, line in found if not any(map(place.startswith, OWN))]
    assert used == OWN.keys(), "what is no longer there"
