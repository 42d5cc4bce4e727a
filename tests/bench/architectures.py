"""What works on whole architectures: `make architectures`, or `python -m tests.bench.architectures VGG16 fold int8`.

Every family of keras.applications goes through every method, untrained, with weights and BatchNorms that have seen the
built-in driving frames (tests/bench/families.py). Each family runs in a process of its own, so that a crash costs one
cell; a cell is kept in runs/bench/architectures until the code that it ran changes. With all families and methods, the
page experiments/ARCHITECTURES.md is written; `make architectures ONLY=kept` writes it from what is kept, while a slow
machine is at it.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import hashlib
import inspect
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType

import tfmo_drive
from tests.bench import families
from tests.bench.families import BEYOND_DB, EXACT_DB, FAMILIES, FILE_DB, IMAGES, LEAST_DB, METHODS, NOISE, OWN, Cell
from tfmo_drive.base import atomic
from tfmo_drive.base.keras2 import keras, tf

KEPT = "kept"
SECONDS = 3600
FOLDER = Path("runs/bench/architectures")
PAGE = Path("experiments/ARCHITECTURES.md")
ABOUT = f"""# Architectures

Which families of `keras.applications` go through which method, as `{{command}}` found it on {{cores}} cores (tf_keras
{keras.__version__}, TensorFlow {tf.__version__}). Each is the smallest of its family, for 10 classes and images of 64
pixels (InceptionV3, Xception: 96), and its weights are random. BatchNorm scales are drawn from 0.5 to 1.5 and its
offsets around 2, and it has seen {IMAGES} built-in driving frames. With offsets around 0 an untrained network of fifty
layers makes of a rounding in its first layer another answer. The offset was chosen knowing so, and knowing that both
last columns rise with it: they compare families and find what is broken, and are no promise for a trained network.
How much of a small change is left, the second column says: to what 40 dB of noise at the input become at the output.

- **fold**: BatchNorms folded, of all; outputs as before, to {EXACT_DB:g} dB.
- **channels**: `ChannelPruning(pruning_ratio=0.3)`. The narrow model's outputs are those of the whole one whose
  kernels do not read the removed channels, to {EXACT_DB:g} dB, before BatchNorm is estimated again.
- **low rank**: `LowRank(energy=0.9)`. The outputs are those of the whole model with the products of the factors.
- **cluster**: kernels with 16 values each. **2:4**: kernels that hold the pattern, in the `.tflite` file too, of all.
- **int8**: after training, the file against the Keras model, on {IMAGES} test frames: from {FILE_DB:g} dB on.
- **QAT**: the file against the fake-quantised Keras model that it was made from: from {LEAST_DB:g} dB on, as in the
  survey of layers. What is rounded the other way in one layer goes through all later ones, so that a deep network has
  less than a single block.
- Both files must be {BEYOND_DB:g} dB better than the best answer that is equal for all images, and integers throughout.

A family goes through where every cell says what was done, or that there is nothing to do. What is "not run" counts
against it.

"""


def row(family: str, names: list[str], kept_alone: bool = False) -> dict[str, Cell]:
    """Returns by method what works in a family, from files, or from a process; a method that ends that one says so.

    With `kept_alone` nothing is run, and what no file says is "not run".
    """
    found: dict[str, Cell] = {}
    files = {name: FOLDER / f"{family} {name}.json" for name in names}
    for name, file in files.items():
        kept = json.loads(file.read_text()) if file.is_file() else {}
        if kept.pop("key", "") == _key(name):
            found[name] = Cell(**kept)

    if kept_alone:
        return {name: found.get(name, Cell("not run", False)) for name in names}

    def keep(name: str, one: Cell) -> None:
        found[name] = one
        atomic.write_json(files[name], {"key": _key(name), **dataclasses.asdict(one)})

    while left := [name for name in names if name not in found]:
        command = [sys.executable, "-m", "tests.bench.architectures", "--child", family, *left]
        with tempfile.TemporaryFile("w+") as errors:
            child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
            watch = threading.Timer(SECONDS, child.kill)
            watch.start()
            for line in child.stdout:
                if line.startswith("["):
                    watch.cancel()
                    name, one = json.loads(line)
                    keep(name, Cell(**one))
                    watch = threading.Timer(SECONDS, child.kill)
                    watch.start()
            child.wait()
            watch.cancel()
            errors.seek(0)
            last = errors.read().strip().splitlines()[-1:]
        if unsaid := [name for name in left if name not in found]:
            why = f"failed: the process ended with {child.returncode} {' '.join(last)[:200]}"
            found[unsaid[0]] = Cell(why.rstrip(), False)  # which is not kept: the machine may have ended it
    return found


@functools.cache
def _key(method: str) -> str:
    """Returns a digest of the source of what a method's cells run: their own, and of the package what they reach."""
    content = hashlib.sha256(Path(families.__file__).read_bytes())
    for module in sorted(reached(METHODS.get(method))):
        content.update(_source(module).read_bytes())
    return content.hexdigest()


def reached(method: Callable | None) -> set[str]:
    """Returns the package's modules that a method's cells import, themselves or through others."""
    left = {module for function in (families.family_cells, method) for module in _named(function)}
    found = set()
    while left:
        found |= left
        left = {module for one in left for module in _imported(one)} - found
    return found


def _named(function: Callable | None) -> Iterator[str]:
    """Yields the package's modules that a function of `families` names, itself or through others there."""
    known = vars(families)
    left, seen = [getattr(function, "__code__", None)], set()
    while left:
        code = left.pop()
        if not isinstance(code, CodeType) or code in seen:
            continue
        seen.add(code)
        left += code.co_consts
        for value in (known[name] for name in code.co_names if name in known):
            module = value.__name__ if inspect.ismodule(value) else getattr(value, "__module__", "")
            if module == families.__name__:
                left.append(getattr(value, "__code__", None))
            elif module.startswith("tfmo_drive."):
                yield module


@functools.cache
def _imported(module: str) -> set[str]:
    """Returns the package's modules that a module imports, anywhere in its source."""
    named = set()
    for node in ast.walk(ast.parse(_source(module).read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            named |= {node.module, *(f"{node.module}.{one.name}" for one in node.names)}
    return {one for one in named if one.startswith("tfmo_drive.") and _source(one).is_file()}


def _source(module: str) -> Path:
    """Returns the file of a module of the package, which need not exist."""
    place = Path(tfmo_drive.__file__).parents[1].joinpath(*module.split("."))
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


def main(names: list[str]) -> int:
    """Prints a row for each family named, of the methods named; all of Keras's, and all methods, where none is.

    "kept" runs nothing, and makes the table and the page of what is kept of earlier calls.
    """
    kept_alone = KEPT in names
    names = [name for name in names if name != KEPT]
    known = (*FAMILIES, *OWN, *METHODS, KEPT)
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"No family or method {unknown[0]!r}. There is: {', '.join(known)}.", file=sys.stderr)
        return 1
    families = [one for one in (*FAMILIES, *OWN) if one in names] or list(FAMILIES)
    methods = [one for one in METHODS if one in names] or list(METHODS)
    FOLDER.mkdir(parents=True, exist_ok=True)
    lines = [f"| family | {' | '.join((NOISE, *methods))} | CPU seconds |", "|---" * (len(methods) + 3) + "|"]
    print("\n".join(lines))
    through, reasons = 0, []
    for family in families:
        cells = row(family, [NOISE, *methods], kept_alone)
        through += all(one.passed for one in cells.values())
        shown = [cells[name].short for name in (NOISE, *methods)]
        lines.append(f"| {family} | {' | '.join(shown)} | {sum(one.seconds for one in cells.values()):.0f} |")
        print(lines[-1], flush=True)
        reasons += [f"- {family}, {name}: {one.said}" for name, one in cells.items() if ":" in one.said]
    lines += ["", f"{through} of {len(families)} families go through {', '.join(methods)}.", "", *reasons]
    print("\n".join(lines[len(families) + 2 :]))
    if not names:
        about = ABOUT.format(command="make architectures", cores=os.cpu_count())
        atomic.write_text(PAGE, about + "\n".join(lines).rstrip() + "\n")
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        families.family_cells(sys.argv[2], sys.argv[3:])
    else:
        sys.exit(main(sys.argv[1:]))
