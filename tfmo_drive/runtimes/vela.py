"""Runs Arm's Vela, which compiles an int8 `.tflite` for an Ethos-U NPU and estimates what it costs there.

https://gitlab.arm.com/artificial-intelligence/ethos-u/ethos-u-vela . Cycles are Vela's estimates: no NPU is here.
"""

from __future__ import annotations

import csv
import dataclasses
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tfmo_drive.contracts import BadInput
from tfmo_drive.runtimes import tflite_file

CONFIGS = "Arm/vela.ini"
"""The system configurations and memory modes that come with Vela, by Arm."""
_SPLIT = re.compile(r"(CPU|NPU) operators = (\d+)")
_FALLEN = re.compile(r"^(?:Info|Warning): (.+ is a CPU only op.*|.+Placing on CPU.*)$", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class System:
    """Names an NPU in a chip, in Vela's words: `vela --list-configs Arm/vela.ini`."""

    accelerator: str
    """The NPU, such as "ethos-u55-128": 128 multiply-accumulates in a cycle."""
    system: str
    memory: str
    configs: str = CONFIGS


@dataclasses.dataclass(frozen=True, eq=False)
class Compiled:
    """Holds a compiled file and what Vela tells about it."""

    content: bytes
    """The file that ships: its operators on the NPU have become one of Vela's own."""
    facts: dict[str, Any]
    """Vela's figures in JSON types; bytes and cycles are of one inference."""
    layers: list[dict[str, Any]]
    """The "name", "operator", "cycles" and "macs" of every operator on the NPU, in order."""


def compiled(model: Path, system: System) -> Compiled:
    """Returns the file compiled for the NPU; raises BadInput with Vela's own complaint."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = [
            str(model), "--accelerator-config", system.accelerator, "--system-config", system.system,
            "--memory-mode", system.memory, "--config", system.configs, "--output-dir", folder,
            "--verbose-performance", "--show-cpu-operations",
        ]  # fmt: skip
        ran = subprocess.run([sys.executable, "-m", "ethosu.vela", *arguments], capture_output=True, text=True)
        if ran.returncode:
            raise BadInput(_complaint(ran.stderr or ran.stdout, model))
        summary = next(Path(folder).glob("*_summary_*.csv"))
        layers = next(Path(folder).glob("*_per-layer.csv"))
        content = next(Path(folder).glob("*_vela.tflite")).read_bytes()
        facts = _facts(_table(summary)[-1], ran.stdout, system) | {"arena_bytes": _arena(content)}
        return Compiled(content, facts, _layers(_table(layers)))


def _table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def _facts(summary: dict[str, str], printed: str, system: System) -> dict[str, Any]:
    split = {where: int(count) for where, count in _SPLIT.findall(printed)}
    whole = {
        "cycles": "cycles_total",
        "npu_cycles": "cycles_npu",
        "macs": "nn_macs",
        "weight_bytes": "total_original_weights",
        "encoded_weight_bytes": "total_npu_encoded_weights",
    }
    memories = {
        "sram_bytes": ["sram_memory_used"],
        "dram_bytes": ["dram_memory_used"],
        "flash_bytes": ["on_chip_flash_memory_used", "off_chip_flash_memory_used"],
    }
    return {
        "accelerator": system.accelerator, "system": system.system, "memory": system.memory,
        "clock_hz": round(float(summary["core_clock"])), "inference_ms": 1000 * float(summary["inference_time"]),
        "npu_operators": split.get("NPU", 0), "cpu_operators": split.get("CPU", 0),
        "on_cpu": [" ".join(line.split()) for line in _FALLEN.findall(printed)],
        **{name: int(float(summary[column])) for name, column in whole.items()},
        **{name: round(1024 * sum(float(summary[c]) for c in columns)) for name, columns in memories.items()},
    }  # fmt: skip


def _arena(content: bytes) -> int:
    """Returns the bytes that the NPU's operators ask of the interpreter's arena.

    With "Shared_Sram" that is one piece, with "Dedicated_Sram" a slow and a fast one.
    """
    given = [tensor for operator in tflite_file.read(content).operators for tensor in operator.inputs if tensor]
    return sum({one.name: one.shape[0] for one in given if one.name.startswith("scratch")}.values())


def _layers(table: list[dict[str, str]]) -> list[dict[str, Any]]:
    """Returns one entry for each operator, also where it takes several steps."""
    found: dict[str, dict[str, Any]] = {}
    for row in table:
        entry = found.setdefault(row["Name"], {"name": row["Name"], "operator": row["Original Operator"],
                                               "cycles": 0, "macs": 0})  # fmt: skip
        entry["cycles"] += int(float(row["Op Cycles"]))
        entry["macs"] += int(float(row["MAC Count"]))
    return list(found.values())


def _complaint(said: str, model: Path) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    if any("No module named" in line and "ethosu" in line for line in lines):
        return "Vela is not installed. Type: pip install ethos-u-vela."
    return f"Vela does not compile {model}: {lines[-1][:200] if lines else 'it did not say why.'}"
