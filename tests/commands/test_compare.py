"""Several runs in one table: baselines once, ratios to each run's own baseline, folders without a report noted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from absl.testing import flagsaver

from tfmo_drive.base import atomic
from tfmo_drive.commands import compare
from tfmo_drive.commands.command_line import guarded


def _row(name: str, score: float, size: int, **more) -> dict:
    stage, target = name.split("/")
    return {"name": name, "stage": stage, "target": target, "reference": False, "score": score, "size_bytes": size,
            "score_delta": score - 0.95, "latency_ms": size / 1e6, "examples": 100,
            "reference_latency_ms": 8.0, "speedup_spread": 0.04, **more}  # fmt: skip


def _report(stage: str, score: float, size: int, examples: int = 100) -> dict:
    first = _row("baseline/litert_float32", 0.95, 8_000_000, reference=True, examples=examples)
    rows = [first, _row("baseline/litert_int8", 0.94, 2_000_000), _row(f"{stage}/litert_int8", score, size)]
    facts = {"schema": 2, "experiment": stage, "seed": 0, "environment": {"cores": 2}}
    return {**facts, "data_fingerprint": f"of {examples}", "rows": rows}


@pytest.fixture
def runs(tmp_path) -> Path:
    atomic.write_json(tmp_path / "pruned" / "report.json", _report("prune", 0.945, 2_000_000))
    atomic.write_json(tmp_path / "distilled" / "report.json", _report("distill", 0.93, 1_000_000))
    (tmp_path / "unfinished").mkdir()
    return tmp_path


def _main(*folders: Path, out: Path) -> int:
    compare.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver(out=str(out)):
        return guarded(compare.main)(["compare", *map(str, folders)])


def test_rows_of_all_runs_stand_in_one_table_and_equal_baselines_once(runs, capsys):
    out = runs / "compare"
    assert _main(*sorted(runs.iterdir()), out=out) == 0
    said = capsys.readouterr().out
    assert said.count("baseline/litert_float32") == 1 and "2 runs: baseline/litert_int8" in said
    assert "pruned: prune/litert_int8" in said and "distilled: distill/litert_int8" in said
    assert f"skipped {runs / 'unfinished'}: No report.json" in said
    names = sorted(str(path.relative_to(out)) for path in out.rglob("*.*"))
    assert names == ["compare.html", "compare.md", "figures/score_latency.png", "figures/score_size.png"]
    assert (out / "compare.md").read_text().count(" (2 runs) |") == 2


def test_own_output_folder_is_not_a_run(runs, capsys):
    out = runs / "compare"
    assert _main(*sorted(runs.iterdir()), out=out) == 0
    assert _main(*sorted(runs.iterdir()), out=out) == 0
    assert f"skipped {out}" not in capsys.readouterr().out


def test_a_baseline_that_differs_stays(runs):
    other = _report("quantize", 0.94, 2_000_000)
    other["rows"][0]["score"] = 0.96
    merged = compare.compare({"a": _report("prune", 0.945, 2_000_000), "b": other})
    assert [(row["run"], row["name"]) for block in merged.blocks for row in block.rows] == [
        ("a", "baseline/litert_float32"), ("2 runs", "baseline/litert_int8"), ("a", "prune/litert_int8"),
        ("b", "baseline/litert_float32"), ("b", "quantize/litert_int8"),
    ]  # fmt: skip


def test_ratios_refer_to_each_runs_own_baseline():
    small = _report("distill", 0.93, 1_000_000)
    small["rows"][0]["size_bytes"] = 4_000_000
    merged = compare.compare({"a": _report("prune", 0.945, 2_000_000), "b": small})
    lines = compare.terminal(merged).splitlines()
    assert "4.0x" in next(line for line in lines if "a: prune" in line)
    assert "4.0x" in next(line for line in lines if "b: distill" in line)


def test_every_data_set_has_a_block_and_a_plot_of_its_own_and_nothing_is_ranked_across(tmp_path):
    """The other data's rows would beat all of these, and have equal baselines."""
    reports = {"a": _report("prune", 0.945, 2_000_000), "b": _report("distill", 0.93, 1_000_000),
               "c": _report("other", 0.99, 100_000, examples=50)}  # fmt: skip
    compared = compare.compare(reports)
    assert [list(block.reports) for block in compared.blocks] == [["a", "b"], ["c"]]
    assert [row["name"] for block in compared.blocks for row in block.rows].count("baseline/litert_float32") == 2
    said = compare.terminal(compared)
    assert said.startswith("100 test examples:\n") and "\n\n50 test examples:\n" in said
    first, second = said.split("\n\n")
    assert "other/" not in first and "distill/" not in second
    compare.write(compared, tmp_path)
    pictures = {f"score_{cost}_{number}.png" for cost in ("size", "latency") for number in (1, 2)}
    assert {path.name for path in (tmp_path / "figures").iterdir()} == pictures
    verdict = compare.document(compared).verdict
    ends = next(i for i, one in enumerate(verdict) if one.startswith("Of 50 test examples: no other row"))
    assert any("distill/litert_int8" in one for one in verdict[:ends]), "not beaten by other data's rows"
    assert "2 blocks, and nothing is ranked across them" in verdict[-1]


def test_two_tasks_on_the_same_frames_are_two_blocks():
    reports = {name: _report("prune", 0.9, 10) | {"task": {"kind": name}} for name in ("Detection", "Segmentation")}
    titles = [block.title for block in compare.compare(reports).blocks]
    assert titles == ["Detection, 100 test examples", "Segmentation, 100 test examples"]


def test_a_worthless_run_is_the_first_line_and_the_trivial_answer_stands_in_the_table():
    report = _report("prune", 0.945, 2_000_000)
    least = {"trivial_answer": "nothing", "trivial_score": 0.9, "over_trivial": 0.05, "over_trivial_high": 0.2}
    report["rows"][0] |= least | {"over_trivial_low": -0.1}
    compared = compare.compare({"prune": report})
    said = compare.terminal(compared)
    assert said.startswith("prune: WORTHLESS BASELINE: baseline/litert_float32 scores 95.0 %")
    assert "trivial: nothing" in said.splitlines()[-1]
    assert compare.document(compared).verdict[0].startswith("prune: WORTHLESS BASELINE")


def test_runs_on_other_machines_are_noted():
    other = _report("distill", 0.93, 1_000_000)
    other["environment"]["cores"] = 8
    (note,) = compare.compare({"a": _report("prune", 0.945, 2_000_000), "b": other}).notes
    assert "2 and 8 cores" in note
    assert compare.compare({"a": _report("prune", 0.945, 2_000_000)}).notes == []


def test_runs_of_the_same_name_are_told_apart(runs, tmp_path, capsys):
    atomic.write_json(tmp_path / "again" / "pruned" / "report.json", _report("prune", 0.91, 2_000_000))
    assert _main(runs / "pruned", tmp_path / "again" / "pruned", out=tmp_path / "out") == 0
    assert f"{Path('again') / 'pruned'}" in (tmp_path / "out" / "compare.md").read_text()


@pytest.mark.parametrize("folders", [[], ["unfinished"], ["absent"]])
def test_no_runs_is_one_line_and_exit_code_one(folders, runs, capsys):
    out = runs / "out"
    assert _main(*[runs / name for name in folders], out=out) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: No runs to compare") and error.count("\n") == 1 and "such as runs/" in error
    assert not out.exists()


def test_help_teaches_the_command():
    done = subprocess.run([sys.executable, "-m", "tfmo_drive", "compare", "--help"], capture_output=True, text=True)
    assert "tfmo-drive compare runs/*" in done.stdout and "--out" in done.stdout


def test_rows_named_after_their_run_are_not_named_twice():
    said = compare.terminal(compare.compare({"prune": _report("prune", 0.945, 2_000_000)}))
    assert "prune: prune/" not in said and "prune/litert_int8" in said
