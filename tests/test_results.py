"""Measured figures reach the README and the notebooks from report.json alone, and only between their markers."""

import json
import re

import pytest

from tfmo_drive import results
from tfmo_drive.core.command_line import guarded

README = "# x\n\n<!-- results: written by -->\nold table\n<!-- end of results -->\n\nafter\n"
NOTEBOOK = '"""An experiment.\n\n    make train-tried\n"""\n\nX = """not this"""\n'


def _row(name: str, score: float, size: int, reference: bool = False) -> dict:
    return {
        "name": name, "stage": name.split("/")[0], "target": name.split("/")[1], "reference": reference,
        "score": score, "score_low": score - 0.02, "score_high": score + 0.02,
        "score_delta": score - 0.9, "score_delta_low": -0.01, "score_delta_high": 0.01,
        "examples": 1055, "size_bytes": size, "gzip_bytes": size // 2, "latency_ms": 1.0, "speedup": 4.0,
    }  # fmt: skip


@pytest.fixture
def run_folder(tmp_path, monkeypatch):
    """A checkout with a README and one notebook, and a run's report."""
    monkeypatch.chdir(tmp_path)
    if not results.FLAGS.is_parsed():
        results.FLAGS(["results"])
    (tmp_path / "README.md").write_text(README)
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "tried.py").write_text(NOTEBOOK)
    rows = [_row("baseline/litert_float32", 0.9, 4000, True), _row("tried/litert_int8", 0.895, 1000)]
    environment = {"cores": 2, "processor": "p", "date": "2026-11-22", "command": "python -m tfmo_drive.run --x"}
    pair = {
        "row": "tried/litert_int8", "against": "control/litert_int8", "score_delta": 0.004, "score_delta_low": -0.001,
        "score_delta_high": 0.009, "agreement": 0.98,
    }  # fmt: skip
    report = {"schema": 1, "experiment": "tried", "seed": 0, "environment": environment, "rows": rows, "expect": []}
    report["paired"] = [pair]
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "report.json").write_text(json.dumps(report))
    return tmp_path / "runs"


def test_table_holds_the_reports_numbers_and_nothing_else_changes(run_folder):
    assert results.main(["results", str(run_folder)]) == 0
    text = (run_folder.parent / "README.md").read_text()
    assert text.startswith("# x\n\n<!-- results") and text.endswith("<!-- end of results -->\n\nafter\n")
    assert "old table" not in text
    assert "| `tried/litert_int8` | 89.5 % (87.5 % to 91.5 %) | -0.50 (-1.00 to +1.00) | 1.00 kB |" in text
    assert "| `tried/litert_int8` | `control` | 0 | +0.40 (-0.10 to +0.90) |" in text
    assert "python -m tfmo_drive.run --x" in text and "2 cores" in text


def test_a_section_is_written_without_the_other_and_with_pictures_of_its_own(run_folder, monkeypatch):
    readme = run_folder.parent / "README.md"
    readme.write_text(README + README.replace("results", "results of roads"))
    monkeypatch.setattr(results.FLAGS["section"], "value", "roads")
    assert results.main(["results", str(run_folder)]) == 0
    first, second = readme.read_text().split("<!-- results of roads")
    assert "old table" in first and "old table" not in second and "`tried/litert_int8`" in second
    assert "(experiments/roads_score_size.png)" in second
    monkeypatch.setattr(results.FLAGS["section"], "value", "rivers")
    assert guarded(results.main)(["results", str(run_folder)]) == 1


def test_rows_of_other_data_have_a_table_of_their_own_and_a_shared_baseline_is_there_once(run_folder):
    report = json.loads((run_folder / "report.json").read_text())
    more = {"again": {"data_fingerprint": "a"}, "elsewhere": {"data_fingerprint": "b", "task": {"data": "x/rows.csv"}}}
    folders = []
    for name, facts in {"first": {"data_fingerprint": "a"}, **more}.items():
        rows = [report["rows"][0], _row(f"{name}/litert_float32", 0.9, 3000), _row(f"{name}/litert_int8", 0.8, 1000)]
        folders.append(run_folder.parent / name)
        folders[-1].mkdir()
        (folders[-1] / "report.json").write_text(json.dumps(report | facts | {"experiment": name, "rows": rows}))
    results.main(["results", *map(str, folders)])
    text = (run_folder.parent / "README.md").read_text()
    first, second = text.split("`rows.csv`, 1,055 test examples")
    assert first.count("| `baseline/litert_float32` |") == second.count("| `baseline/litert_float32` |") == 1
    assert "`again/litert_int8`" in first and "`elsewhere/litert_int8`" in second
    assert "litert_float32" not in text.replace("baseline/litert_float32", "")
    for name in ("score_size", "score_latency"):
        assert f"(experiments/{name}.png)" in text
        assert (run_folder.parent / "experiments" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_two_tasks_on_the_same_scenes_have_a_table_each(run_folder):
    report = json.loads((run_folder / "report.json").read_text())
    folders = []
    for kind in ("Detection", "Segmentation"):
        folders.append(run_folder.parent / kind)
        folders[-1].mkdir()
        facts = {"data_fingerprint": "a", "task": {"data": "scenes", "kind": kind}}
        (folders[-1] / "report.json").write_text(json.dumps(report | facts))
    results.main(["results", *map(str, folders)])
    text = (run_folder.parent / "README.md").read_text()
    assert "`scenes`, Detection, 1,055" in text and "`scenes`, Segmentation, 1,055" in text


def test_notebook_gets_one_measured_line_however_often_it_is_written(run_folder):
    notebook = run_folder.parent / "experiments" / "tried.py"
    results.main(["results", str(run_folder)])
    once = notebook.read_text()
    results.main(["results", str(run_folder)])
    assert notebook.read_text() == once
    docstring, rest = once.split('"""')[1], '"""'.join(once.split('"""')[2:])
    assert docstring.count("Measured 2026-11-22 on 2 cores, seed 0: tried/litert_int8 scores 89.5 %") == 1
    assert rest == '\n\nX = """not this"""\n'


def test_of_a_network_for_several_tasks_each_tasks_score_is_said(run_folder):
    report = json.loads((run_folder / "report.json").read_text())
    report["rows"][1] |= {"part_detection": 0.2, "part_lane_keeping": 0.76}
    (run_folder / "report.json").write_text(json.dumps(report))
    results.main(["results", str(run_folder)])
    said = (run_folder.parent / "README.md").read_text()
    assert "| 89.5 % (87.5 % to 91.5 %): detection 20.0 %, lane keeping 76.0 % |" in said


def test_speeds_are_the_benchs():
    bench = {
        "qat_step": {"ratio": 1.2, "bar": 1.35, "spread": 0.1, "ours_s": 1.2, "reference_s": 1.0},
        "memory": {"ratio": 1.0, "bar": 1.2, "spread": 0, "ours_s": None, "ours_bytes": 3e6, "reference_bytes": 3e6},
        "environment": {"cores": 2, "processor": "p"},
    }
    text = results.speeds(bench)
    assert "| `qat_step` | 1.20 | 1.35 | 10% | 1.2 s | 1 s |" in text
    assert "| `memory` | 1.00 | 1.20 | 0% | 3.00 MB | 3.00 MB |" in text and "environment" not in text


def test_no_run_is_one_line(capsys):
    assert guarded(results.main)(["results"]) == 1
    assert "Say which runs" in capsys.readouterr().err


def test_pages_are_appended_below_the_readmes_headings():
    page = "# On the NPU\n\n**All.**\n\n## Rows\n\n| a | #b |\n```\n#!not a heading\n```\n"
    text = results.subordinate(page)
    assert re.findall(r"^#+ .*", text, re.M) == ["### On the NPU", "#### Rows"] and "#!not" in text
