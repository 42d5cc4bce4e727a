"""Show what an Arm Ethos-U would make of the int8 files of finished runs: one table of Vela's estimates.

    tfmo-drive npu runs/quantized runs/channels_quantized
    tfmo-drive npu runs/* --accelerators=ethos-u55-128,ethos-u85-512

Reads the report.json of each run folder and compiles the .tflite of every integer row; scores are the report's. Writes
npu.json, npu.md and npu.html into --out. No NPU is run: cycles are the compiler's.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from tqdm import tqdm

from tfmo_drive.base import atomic, environment
from tfmo_drive.base.given_file import reading
from tfmo_drive.base.spelling import suggestion
from tfmo_drive.commands import shared_flags  # noqa: F401 (defines --out)
from tfmo_drive.commands.npu_page import write
from tfmo_drive.contracts import BadInput
from tfmo_drive.report.schema import AGAIN
from tfmo_drive.report.write_report import read
from tfmo_drive.runtimes import artifact_metadata, tflite_file, vela
from tfmo_drive.targets.ethos_u import ACCELERATORS, system_of

FLAGS = flags.FLAGS
flags.DEFINE_list("accelerators", "ethos-u55-128", "Which NPUs, of Vela's names.")
flags.declare_key_flag("out")


def main(argv: list[str]) -> int:
    """Compiles the int8 files of the run folders in argv[1:] and returns the exit code.

    Raises BadInput where there is none.
    """
    for name in FLAGS.accelerators:
        if name not in ACCELERATORS:
            raise BadInput(f'--accelerators: no "{name}". {suggestion(name, ACCELERATORS)}')
    rows = list(integer_rows(Path(name) for name in argv[1:]))
    if not rows:
        raise BadInput("No finished run with an int8 .tflite here. Type: tfmo-drive npu runs/quantized.")
    found = {"rows": compiled(rows, FLAGS.accelerators), "command": environment.describe()["command"]}
    out = Path(FLAGS.out or "runs/npu")
    atomic.write_json(out / "npu.json", found)
    print(write(found, out))
    print(out / "npu.html")
    return 0


def integer_rows(folders: Iterable[Path]) -> Iterator[dict[str, Any]]:
    """Yields the int8 rows of baselines and recipes whose file is there, with its path; controls are left out.

    Each comes once, whatever its targets, and a baseline that is alike in several runs (in score and weights) comes
    once.
    """
    seen: set[tuple] = set()
    for folder in folders:
        try:
            report = read(folder)
            with reading(folder / "report.json", "a report that can be shown", AGAIN):
                wanted = [row for row in report["rows"] if row["stage"] in ("baseline", report["experiment"])]
            for row in wanted:
                path = folder / "artifacts" / row["name"] / "model.tflite"
                alike = tuple(row.get(key) for key in ("target", "score", "parameters"))
                known = {(folder, row["stage"])} | ({alike} if row["stage"] == "baseline" else set())
                if path.is_file() and not known & seen and _answers_int8(path):
                    seen |= known
                    kept = ("name", "stage", "score", "score_delta", "size_bytes", "macs")
                    yield {"run": folder.name, "path": path, **{key: row.get(key) for key in kept}}
        except BadInput as error:
            print(f"Note: {error}", file=sys.stderr)


def _answers_int8(path: Path) -> bool:
    artifact_metadata.refuse_damaged(path)
    with reading(path, "a TensorFlow Lite model"):
        tflite_file.weights(path)
        return {end["dtype"] for end in tflite_file.signature(path)["outputs"]} == {"int8"}


def compiled(rows: list[dict[str, Any]], accelerators: list[str]) -> list[dict[str, Any]]:
    """Returns every row on one accelerator after the other.

    They have "npu" (runtimes.vela's facts), "zeros" (share of the weights) and "values" (how many different ones a
    layer has, the median over layers).
    """
    found = []
    for row in tqdm(rows, desc="Vela", unit="file", disable=None):
        path = row["path"]
        kernels = [values for key, values in tflite_file.weights(path).items() if key.endswith("/kernel")]
        facts = {
            "zeros": float(sum(np.count_nonzero(one == 0) for one in kernels) / sum(one.size for one in kernels)),
            "values": float(np.median([len(np.unique(one)) for one in kernels])),
        }
        for accelerator in accelerators:
            try:
                said = vela.compiled(path, system_of(accelerator)).facts
            except BadInput as error:
                print(f"Note: {error}", file=sys.stderr)
                continue
            found.append({**row, "path": str(path), **facts, "npu": said})
    if not found:
        raise BadInput("Vela compiles none of them; the lines above say why.")
    return sorted(found, key=lambda row: accelerators.index(row["npu"]["accelerator"]))
