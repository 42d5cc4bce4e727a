"""Writes a board's pack: model, facts, labels, golden set, examples, card, sums, and all of it once more as a zip."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from absl import logging

from tfmo_drive.base import atomic
from tfmo_drive.base.given_file import json_of
from tfmo_drive.base.row_keys import joined
from tfmo_drive.boards.board import Board, Need
from tfmo_drive.contracts import Arrays, Artifact, BadInput, Context
from tfmo_drive.expect import Expect
from tfmo_drive.measures.memory import Memory
from tfmo_drive.measures.size import Size
from tfmo_drive.pack import c_array
from tfmo_drive.pack.golden import golden
from tfmo_drive.pack.verify import SUMS, facts_header
from tfmo_drive.report import verdict, worth
from tfmo_drive.report.rendering import markdown_text, numbers
from tfmo_drive.report.schema import AGAIN
from tfmo_drive.runtimes import artifact_metadata, tflite_file

_OWN = Path(__file__).parent
_LICENCES = ("licen", "readme", "copying")


@dataclasses.dataclass(frozen=True, eq=False)
class Pack:
    """Names a pack's folder and archive, and what its model needs of the board."""

    folder: Path
    archive: Path
    needs: tuple[Need, ...]
    estimate: str
    """A sentence on the time of an inference on the board, or "" where it cannot be estimated."""


def write(artifact: Artifact, board: Board, name: str, context: Context, expect: Expect) -> Pack:
    """Writes the pack into `<run folder>/pack/<name>/`, and `<name>.zip` beside it.

    Args:
        artifact: What the board's target made.
        board: The board.
        name: The board's name.
        context: Gives the task, the seed and the run folder.
        expect: What the experiment allows its files to lose; the card begins with what this one lost beyond that.

    Returns:
        The pack.

    Raises:
        BadInput: The pack of another model is there already.
    """
    run = context.workdir.parent
    model = artifact.source.path
    _refuse_another(run / "pack" / name, model)
    _refuse_another_archive(run / "pack" / f"{name}.zip", name, model)
    measured = dict(artifact.notes)
    for measure in (Size(), Memory()):
        measured = joined(measured, measure(artifact, artifact, context), measure)
    needs = board.needs(measured)
    with atomic.folder(run / "pack" / name) as folder:
        facts = _facts(model, context)
        kept = golden(model, context, str(facts.get("decode", {}).get("kind")))
        np.savez_compressed(folder / "golden.npz", **_named(kept.inputs), **kept.outputs)
        facts |= {"board": name, "golden": kept.facts(), "licences": _licences(context)}
        for path in dict.fromkeys((model, artifact.path)):
            shutil.copyfile(path, folder / path.name)
        shutil.copyfile(_OWN / "verify.py", folder / "verify.py")
        if board.microcontroller:
            (ram,) = (need for need in needs if need.what == "RAM")
            facts |= {"arena": {"bytes": ram.needs_bytes, "counted": ram.counted}, "linked": artifact.path.name}
            _linked(artifact.path, folder)
        _examples(facts, board, folder)
        if labels := facts.get("labels"):
            _written(folder / "labels.txt", "".join(f"{label}\n" for label in labels))
        reported = _reported(run)
        reported["doubts"] = [*_unproven(artifact, run, expect), *reported["doubts"]]
        _written(folder / "README.md", _card(facts, board, artifact, needs, reported))
        facts["files"] = _sums(folder)
        _written(folder / "model.json", json.dumps(facts, indent=1, sort_keys=True) + "\n")
        _written(folder / SUMS, "".join(f"{digest}  {name}\n" for name, digest in _sums(folder).items()))
    return Pack(run / "pack" / name, _zipped(run / "pack" / name), needs, board.estimate(artifact.macs()))


def _named(inputs: Arrays) -> dict[str, np.ndarray]:
    """Returns golden inputs by their names in golden.npz (`verify.takes`)."""
    if not isinstance(inputs, Mapping):
        return {"inputs": inputs}
    return {f"inputs {name}": one for name, one in inputs.items()}


def _refuse_another(folder: Path, model: Path) -> None:
    """Raises BadInput for another model's pack, from which firmware may have been built, and for files put there."""
    if not os.path.lexists(folder):
        return
    try:
        held = json.loads((folder / "model.json").read_text(encoding="utf-8"))["sha256"]
        listed = {line[66:] for line in (folder / SUMS).read_text(encoding="utf-8").split("\n")} | {SUMS}
        others = sorted(path.name for path in folder.iterdir() if path.name not in listed or not path.is_file())
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        held = None
    if held != _digest(model):
        what = f"the pack of another model (SHA-256 {str(held)[:12]}...)" if held else "something that is no pack"
        raise BadInput(f"{folder} holds {what}. Move it away or remove it, then pack again.")
    if others:
        raise BadInput(f"{folder} holds {others[0]}, which was not packed. Move it away, then pack again.")


def _refuse_another_archive(archive: Path, name: str, model: Path) -> None:
    if not os.path.lexists(archive):
        return
    try:
        with zipfile.ZipFile(archive) as packed:
            held = json.loads(packed.read(f"{name}/model.json"))["sha256"]
    except Exception:  # whatever is wrong with it, it is not this program's to replace
        held = None
    if held != _digest(model):
        what = "the pack of another model" if held else "no pack"
        raise BadInput(f"{archive} is {what}. Move it away or remove it, then pack again.")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _written(path: Path, text: str) -> None:
    """Writes UTF-8 with the line breaks of `text`, so that the file has the same digest on every system."""
    path.write_bytes(text.encode())


def _facts(model: Path, context: Context) -> dict[str, Any]:
    facts = artifact_metadata.read(model)
    for told in artifact_metadata.inputs(facts).values():
        if "colour_order" in told:
            told["layout"] = "NHWC"
    return facts | {
        "sha256": _digest(model),
        "training_data_fingerprint": context.task.fingerprint(),
    }


def _licences(context: Context) -> dict[str, str]:
    """Returns which files beside data and weights speak of their licences: what they say is for a person to read."""
    data = getattr(context.task, "data", "")  # a name that is no path is that of built-in data
    found = {"data": f"the built-in {data}, generated by tfmo_drive" if data else "not from a file: nothing says"}
    for what, setting in (("data", "data"), ("weights", "baseline"), ("first weights", "weights")):
        path = Path(getattr(context.task, setting, "") or "")
        if not path.name or not path.exists():
            continue
        folders = [path if path.is_dir() else path.parent, path.parent]
        names = [one.name for folder in dict.fromkeys(folders) for one in sorted(folder.iterdir())
                 if one.is_file() and one.name.lower().startswith(_LICENCES)]  # fmt: skip
        found[what] = f"{path.name}: see {', '.join(names)} beside it" if names else f"{path.name}: nothing says"
    return found


def _examples(facts: dict[str, Any], board: Board, folder: Path) -> None:
    """Writes how the model is fed and read, in Python and in C++."""
    program = "example_micro.cc" if board.microcontroller else "example.cc"
    for name in ("example.py", "decode.h", "facts.h", program):
        shutil.copyfile(_OWN / name, folder / name)
    _written(folder / "model_facts.h", facts_header(facts))


def _linked(model: Path, folder: Path) -> None:
    """Writes the same file as C++ source, with the operators to register."""
    content = model.read_bytes()
    _written(folder / "model.cc", c_array.source(content))
    _written(folder / "model.h", c_array.HEADER)
    _written(folder / "model_operators.h", c_array.operators(tflite_file.operators(content)))


def _reported(run: Path) -> dict[str, list]:
    """Returns "rows", the "trivial" one, "expect" and "doubts" of the run's report.json, where there is one."""
    path = run / "report.json"
    said = json_of(path, "a run's report", AGAIN) if path.is_file() else {}
    rows = [row for row in said.get("rows", ()) if row.get("score") is not None and row.get("size_bytes")]
    expect = [
        {**one, "limit": verdict.limit(one), "measured": verdict.amount(one, "value"), "outcome": verdict.outcome(one)}
        for one in said.get("expect", ())
    ]
    trivial = [worth.trivial_row(row) for row in rows[:1] if row.get("trivial_score") is not None]
    return {"rows": rows, "trivial": trivial, "expect": expect, "doubts": worth.doubts(said) if rows else []}


def _unproven(artifact: Artifact, run: Path, expect: Expect) -> list[str]:
    """Returns what a firmware team must know before anything else: that the file was never measured, or lost too much.

    The file's row is that of the folder that it lies in, and of its size: a report of another file says nothing of it.
    """
    name, size = "/".join(artifact.path.parent.parts[-2:]), artifact.path.stat().st_size
    path = run / "report.json"
    rows = json_of(path, "a run's report", AGAIN)["rows"] if path.is_file() else []
    row = next((one for one in rows if one["name"] == name and one.get("size_bytes", size) == size), None)
    if row is None or row.get("score") is None:
        found = [
            f"NEVER MEASURED: nothing says what this file scores, because the run's report has no row {name} of "
            f"{size:,} bytes. Add the board's target to the experiment's targets and use tfmo-drive run."
        ]
    else:
        lost = [f"{one['name']} is {verdict.amount(one, 'value')}, allowed is {verdict.limit(one)}"
                for one in expect.losses(row, rows)]  # fmt: skip
        found = [f"NOT AS GOOD AS EXPECTED: of {name}, {'; '.join(lost)}. Do not ship it as it is."] if lost else []
    for sentence in found:
        logging.warning("%s", sentence)
    return found


def _card(facts: dict, board: Board, artifact: Artifact, needs: tuple[Need, ...], reported: dict) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_OWN), trim_blocks=True, lstrip_blocks=True, undefined=jinja2.ChainableUndefined
    )
    environment.filters |= {"text": markdown_text.escaped, "code": markdown_text.code, "measured": numbers.measured}
    return environment.get_template("card.md.j2").render(
        errors=any(row.get("error") is not None for row in reported["rows"]),
        facts=facts, labels=facts.get("labels"), board=board, needs=needs, **reported, model=artifact.path.name,
        size=artifact.path.stat().st_size, held=Memory()(artifact, artifact, None).get("activation_peak"),
        estimate=board.estimate(artifact.macs()),
    )  # fmt: skip


def _sums(folder: Path) -> dict[str, str]:
    """Returns the SHA-256 of each file by name."""
    return {path.name: _digest(path) for path in sorted(folder.iterdir())}


def _zipped(folder: Path) -> Path:
    """Writes the archive; equal packs give equal archives."""
    archive = folder.with_suffix(".zip")
    with atomic.file(archive) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(folder.iterdir()):
            entry = zipfile.ZipInfo(f"{folder.name}/{path.name}")
            entry.external_attr = 0o100644 << 16  # else unzip lets its own user alone read it
            packed.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return archive
