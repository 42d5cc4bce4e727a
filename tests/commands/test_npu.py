"""The table of NPUs: int8 rows of runs are compiled, baselines once, and zeros shrink what the NPU reads."""

from __future__ import annotations

import pytest
from absl.testing import flagsaver

from tfmo_drive.base import atomic
from tfmo_drive.commands import npu
from tfmo_drive.commands.command_line import guarded
from tfmo_drive.commands.npu_page import document
from tfmo_drive.steps.prune import Prune
from tfmo_drive.targets.litert import LiteRTFloat32, LiteRTInt8


@pytest.fixture(scope="module")
def runs(context, tiny_baseline, finished, tmp_path_factory):
    """Two runs as they lie on disk, of one baseline: pruned in the second."""
    pytest.importorskip("ethosu")
    folder = tmp_path_factory.mktemp("runs")
    models = {"baseline": tiny_baseline, "pruned": finished(Prune(sparsity=0.9, epochs=1, batch_size=32))}
    for run, stages in {"plain": ["baseline"], "pruned": ["baseline", "pruned"]}.items():
        rows = []
        for stage in stages:
            for target in (LiteRTFloat32(), LiteRTInt8()):
                name = f"{stage}/{target.name}"
                place = folder / run / "artifacts" / name
                place.mkdir(parents=True)
                target(models[stage], place, context())
                rows.append({"name": name, "stage": stage, "target": target.name, "score": 0.5, "score_delta": -0.01})
        atomic.write_json(folder / run / "report.json", {"schema": 2, "experiment": run, "rows": rows})
    return folder


def test_integer_files_are_compiled_and_baselines_once(runs, tmp_path, capsys):
    npu.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver(out=str(tmp_path)):
        assert npu.main(["npu", str(runs / "plain"), str(runs / "pruned"), str(runs / "absent")]) == 0
    said = capsys.readouterr()
    assert "No report.json" in said.err
    rows = [line for line in said.out.splitlines() if "  ethos-u55-128  " in line]
    assert [row.split()[0] for row in rows] == ["plain:", "pruned/litert_int8"]
    assert (tmp_path / "npu.html").exists() and said.out.endswith(f"{tmp_path / 'npu.html'}\n")


def test_zeros_shrink_what_the_npu_reads(runs):
    rows = npu.compiled(list(npu.integer_rows([runs / "plain", runs / "pruned"])), ["ethos-u55-128"])
    plain, pruned = (row["npu"]["encoded_weight_bytes"] for row in rows)
    assert pruned < 0.8 * plain and rows[1]["zeros"] > 0.85 > 0.3 > rows[0]["zeros"]
    assert rows[1]["values"] < rows[0]["values"]
    shown = document({"rows": rows, "command": "made"})
    assert shown.verdict[0] == "2 of 2 run on the NPU entirely."
    assert {len(line) for line in shown.sections[0].table.rows} == {len(shown.sections[0].table.columns)}


def test_nothing_to_compile_is_said(tmp_path, capsys):
    npu.FLAGS.mark_as_parsed()
    assert guarded(npu.main)(["npu", str(tmp_path)]) == 1
    assert "No finished run with an int8 .tflite" in capsys.readouterr().err
    with flagsaver.flagsaver(accelerators=["ethos-u55-129"]):
        assert guarded(npu.main)(["npu", str(tmp_path)]) == 1
    assert 'Did you mean "ethos-u55-128"' in capsys.readouterr().err
