"""The whole flow through the command line: what is printed and written, and that a killed run loses nothing."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tfmo_drive.base import speed

ROOT = Path(__file__).parents[1]
SETTINGS = (
    "task.scenes.train=1024", "training.epochs=3", "recipe.0.epochs=3", "recipe.1.epochs=3", "recipe.0.end_epoch=2",
    "controls={}", "measures.4.seconds=0.4",
)  # fmt: skip
VOLATILE = speed.KEYS | {"seconds", "environment"}


def _start(workdir: Path, *flags: str, verb: str = "run") -> subprocess.Popen:
    words = [verb, "--experiment=smoke", f"--workdir={workdir}", *(f"--set={setting}" for setting in SETTINGS), *flags]
    return subprocess.Popen(
        [sys.executable, "-m", "tfmo_drive", *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True,
    )  # fmt: skip


def _finish(process: subprocess.Popen) -> str:
    printed, _ = process.communicate(timeout=400)
    assert process.returncode == 0, printed[-3000:]
    return printed


def _kill_when(process: subprocess.Popen, exists: Path, after: float) -> None:
    """SIGKILL, no warning, `after` seconds after a file has appeared (which a stage makes at its first epoch's end)."""
    deadline = time.monotonic() + 300
    while not exists.exists():
        assert process.poll() is None, process.stdout.read()[-3000:]
        assert time.monotonic() < deadline, f"{exists} never appeared"
        time.sleep(0.02)
    time.sleep(after)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert process.returncode == -signal.SIGKILL


def _lasting(value):
    """A report without what no two runs share: seconds and latencies."""
    if isinstance(value, dict):
        return {key: _lasting(one) for key, one in value.items() if key not in VOLATILE}
    return [_lasting(one) for one in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run: its folder and what it printed."""
    workdir = tmp_path_factory.mktemp("flow") / "whole"
    return workdir, _finish(_start(workdir, "--deterministic"))


@pytest.fixture(scope="module")
def report(whole):
    return json.loads((whole[0] / "report.json").read_text())


def test_run_prints_a_table_and_the_report(whole):
    workdir, printed = whole
    assert "smoke/litert_int8" in printed
    assert printed.rstrip().endswith(str(workdir / "report.html"))


OURS = (
    r"step [123] of 3: (baseline|Prune|QuantizeAware), .+", r"row [1-5] of 5: \w+/\w+, (converted|measured) in .+",
    r"teacher: .+",
)  # fmt: skip


def test_nothing_is_printed_before_the_table_but_our_own_lines_one_an_epoch(whole):
    lines = whole[1].splitlines()
    lines = lines[: next(number for number, line in enumerate(lines) if line.startswith("row (*"))]
    assert not [line for line in lines if not any(re.fullmatch(pattern, line) for pattern in OURS)]
    for step in ("1 of 3: baseline", "2 of 3: Prune", "3 of 3: QuantizeAware"):
        said = [line.removeprefix(f"step {step}, ") for line in lines if line.startswith(f"step {step}, epoch")]
        assert [line.split(", ")[0] for line in said] == [f"epoch {epoch} of 3" for epoch in (1, 2, 3)]
        assert [bool(re.search(r" s left(, |$)", line)) for line in said] == [True, True, False]
        assert all(("until all steps are trained" in line) == (step[0] < "3") for line in said)
    for what in ("converted", "measured"):
        assert len([line for line in lines if f", {what} in " in line]) == 5


def test_run_folder_holds_everything(whole):
    workdir, _ = whole
    for name in ("experiment.json", "report.json", "report.md", "report.html", "log.txt"):
        assert (workdir / name).stat().st_size
    assert [path.name for path in sorted((workdir / "stages").iterdir())] == [
        "0_baseline", "1_prune", "2_quantize_aware",
    ]  # fmt: skip
    assert not list(workdir.rglob("*.tmp*"))
    assert not list(workdir.rglob("progress.npz"))


def test_first_row_is_the_float_baseline_and_the_baseline_goes_everywhere(report):
    assert [row["name"] for row in report["rows"]] == [
        "baseline/litert_float32", "baseline/onnx_int8", "baseline/litert_int8", "smoke/onnx_int8", "smoke/litert_int8",
    ]  # fmt: skip
    assert [row["reference"] for row in report["rows"]] == [True, False, False, False, False]
    assert report["rows"][0]["score_delta"] == 0
    assert report["skipped"] == []  # nobody asked for a float file of the quantize-aware model


def test_rows_carry_every_measure(report):
    keys = (
        "score score_low score_high score_macro score_delta score_delta_low score_delta_high agreement examples "
        "per_class size_bytes gzip_bytes parameters nonzero_parameters macs latency_ms latency_p95_ms threads runtime "
        "seconds"
    ).split()
    assert all(row["activation_bytes"] > 0 for row in report["rows"] if "litert" in row["name"])
    for row in report["rows"]:
        assert [key for key in keys if row.get(key) is None] == []


def test_every_row_was_scored_on_the_file_itself(whole, report):
    """Scored again here by a plain interpreter loop, from the file and its own metadata."""
    from ai_edge_litert.interpreter import Interpreter

    from tfmo_drive.runtimes import artifact_metadata
    from tfmo_drive.scenes import scenes

    for row in report["rows"]:
        path = whole[0] / "artifacts" / row["name"] / "model.tflite"
        if not row["target"].startswith("litert"):
            continue
        size = artifact_metadata.read(path)["input"]["height"]
        interpreter = Interpreter(model_path=str(path))
        interpreter.allocate_tensors()
        entry, output = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
        right = []
        for index in range(row["examples"]):
            pixels, label, _ = scenes.patch(2, index, size)
            shift = 0 if entry["dtype"] == np.float32 else 128
            fed = (pixels.astype(np.int16) - shift).astype(entry["dtype"])
            interpreter.set_tensor(entry["index"], fed[None])
            interpreter.invoke()
            right.append(interpreter.get_tensor(output["index"]).argmax() == label)
        assert np.mean(right) == pytest.approx(row["score"], abs=1e-9)


def test_zeros_are_in_the_int8_file(report):
    shipped = next(row for row in report["rows"] if row["name"] == "smoke/litert_int8")
    plain = next(row for row in report["rows"] if row["name"] == "baseline/litert_int8")
    assert shipped["nonzero_parameters"] < 0.55 * plain["nonzero_parameters"]
    assert shipped["gzip_bytes"] < plain["gzip_bytes"]


def test_a_pack_for_a_board_is_made_of_the_finished_stages_and_proves_itself(whole):
    workdir, _ = whole
    settings = (workdir / "experiment.json").read_bytes()
    before = {path: path.stat().st_mtime_ns for path in (workdir / "stages").rglob("model.h5")}
    printed = _finish(_start(workdir, "--deterministic", "--board=stm32h743", verb="pack"))
    for stage in ("2 of 3: Prune", "3 of 3: QuantizeAware"):
        assert f"step {stage}, finished already, reused" in printed
    assert {path: path.stat().st_mtime_ns for path in (workdir / "stages").rglob("model.h5")} == before
    assert "RAM: needs" in printed and printed.rstrip().endswith("stm32h743.zip")
    assert (workdir / "experiment.json").read_bytes() == settings
    pack = workdir / "pack" / "stm32h743"
    assert "smoke/litert_int8" in (pack / "README.md").read_text(), "the report's rows"
    subprocess.run([sys.executable, "-I", str(pack / "verify.py")], check=True, capture_output=True)


def test_run_killed_in_every_stage_ends_in_the_same_numbers(report, tmp_path):
    workdir = tmp_path / "killed"
    stages = workdir / "stages"
    for name in ("0_baseline", "1_prune", "2_quantize_aware"):
        _kill_when(_start(workdir, "--deterministic"), stages / name / "progress.npz", after=0.3)
        assert not (stages / name / "model.h5").exists(), "killed too late to be in the middle of the stage"
    _kill_when(_start(workdir, "--deterministic"), workdir / "artifacts" / "baseline" / "litert_int8", after=0.1)
    _finish(_start(workdir, "--deterministic"))
    assert _lasting(json.loads((workdir / "report.json").read_text())) == _lasting(report)
