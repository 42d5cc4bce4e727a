"""Measured figures reach the pages and the notebooks from report.json alone, and only between their markers."""

import json
import re
import shutil

import numpy as np
import pytest
import results
from PIL import Image

from tests.bench import architectures
from tests.bench.interleaving import ratio
from tfmo_drive.commands.command_line import guarded
from tfmo_drive.report.rendering.markdown import terminal

PAGE = "# x\n\n<!-- results: written by -->\nold table\n<!-- end of results -->\n\nafter\n"
FIRST = PAGE.replace("results", "first result")
NOTEBOOK = '"""An experiment.\n\n    make train-tried\n"""\n\nX = """not this"""\n'


def _row(name: str, score: float, size: int, reference: bool = False) -> dict:
    return {
        "name": name, "stage": name.split("/")[0], "target": name.split("/")[1], "reference": reference,
        "score": score, "score_low": score - 0.02, "score_high": score + 0.02,
        "score_delta": score - 0.9, "score_delta_low": -0.01, "score_delta_high": 0.01,
        "examples": 1055, "size_bytes": size, "gzip_bytes": size // 2, "threads": 2,
        "latency_ms": 1.0, "reference_latency_ms": 4.0, "speedup_spread": 0.04,
        "latency_ms_1": 0.8, "reference_latency_ms_1": 6.0, "speedup_1_spread": 0.3,
        "latency_ms_2": 1.0, "reference_latency_ms_2": 4.0, "speedup_2_spread": 0.04, "speedup_best_spread": 0.05,
    }  # fmt: skip


@pytest.fixture
def run_folder(tmp_path, monkeypatch):
    """A checkout with a page of results and one notebook, and a run's report."""
    monkeypatch.chdir(tmp_path)
    if not results.FLAGS.is_parsed():
        results.FLAGS(["results"])
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "RESULTS.md").write_text(PAGE)
    (tmp_path / "experiments" / "tried.py").write_text(NOTEBOOK)
    rows = [_row("baseline/litert_float32", 0.9, 4000, True), _row("tried/litert_int8", 0.895, 1000)]
    environment = {"cores": 2, "processor": "p", "date": "2026-11-22", "command": "tfmo-drive run --x"}
    pair = {
        "row": "tried/litert_int8", "against": "control/litert_int8", "score_delta": 0.004, "score_delta_low": -0.001,
        "score_delta_high": 0.009, "agreement": 0.98,
    }  # fmt: skip
    report = {"schema": 2, "experiment": "tried", "seed": 0, "environment": environment, "rows": rows, "expect": []}
    report["paired"] = [pair]
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "report.json").write_text(json.dumps(report))
    return tmp_path / "runs"


def test_table_holds_the_reports_numbers_and_nothing_else_changes(run_folder):
    assert results.main(["results", str(run_folder)]) == 0
    text = (run_folder.parent / "experiments" / "RESULTS.md").read_text()
    assert text.startswith("# x\n\n<!-- results") and text.endswith("<!-- end of results -->\n\nafter\n")
    assert "old table" not in text
    assert "| `tried/litert_int8` | 89.5 % (87.5 % to 91.5 %) | -0.50 (-1.00 to +1.00) | 1.00 kB |" in text
    assert "| `tried/litert_int8` | `control` | 0 | +0.40 (-0.10 to +0.90) |" in text
    times = "about 7.5x: about 0.80 ms against about 6.0 ms (±30 %) | 4.0x: 1.00 ms against 4.00 ms (±4 %)"
    assert f"| {times} | 5.0x: 0.800 ms against 4.00 ms (±5 %) |" in text
    assert "tfmo-drive run --x" in text and "2 cores" in text


def test_a_section_is_a_page_with_pictures_of_its_own_and_one_without_markers_is_named(run_folder, monkeypatch, capsys):
    first, second = (run_folder.parent / "experiments" / f"{name}.md" for name in ("RESULTS", "PERCEPTION"))
    second.write_text(PAGE)
    monkeypatch.setattr(results.FLAGS["section"], "value", "perception")
    assert results.main(["results", str(run_folder)]) == 0
    assert first.read_text() == PAGE and "old table" not in second.read_text()
    assert "`tried/litert_int8`" in second.read_text() and "(perception_score_size.png)" in second.read_text()
    second.write_text("# x\n")
    assert guarded(results.main)(["results", str(run_folder)]) == 1
    assert "PERCEPTION.md has no block of its results" in capsys.readouterr().err


@pytest.mark.skipif(not (shutil.which("chromium") or shutil.which("google-chrome")), reason="needs Chromium")
def test_the_first_result_is_what_a_run_of_smoke_prints_and_the_picture_is_of_its_report(run_folder, monkeypatch):
    readme = run_folder.parent / "README.md"
    readme.write_text(FIRST)
    monkeypatch.setattr(results.FLAGS["section"], "value", "readme")
    assert guarded(results.main)(["results", str(run_folder)]) == 1, "another run than smoke"
    report = json.loads((run_folder / "report.json").read_text()) | {"experiment": "smoke"}
    (run_folder / "report.json").write_text(json.dumps(report))
    (run_folder / "report.html").write_text("<body style='background: #ff0000'></body>")
    assert results.main(["results", str(run_folder)]) == 0
    assert f"```\n{terminal(report).rstrip()}\n```\n<!-- end of first result -->" in readme.read_text()
    with Image.open(run_folder.parent / "experiments" / "report.png") as picture:
        assert picture.width == 1280 and picture.convert("RGB").getpixel((640, 400)) == (255, 0, 0)


def test_what_is_told_anew_leaves_the_block_of_rows_whose_runs_are_gone(run_folder, monkeypatch):
    def table(data: str, *names: str) -> str:
        lines = "".join(f"| `{name}` | 1 % |\n" for name in names)
        return f"`{data}`, 1,055 test examples:\n\n| row | score |\n|---|---|\n{lines}\n"

    page, tables = (
        run_folder.parent / "experiments" / "RESULTS.md",
        table("other", "tried/litert_int8", "gone/litert_int8"),
    )
    tables += "| row | control, same target |\n|---|---|\n| `tried/litert_int8` | `control` | 0 | +0.1 |\n"
    tables += "| `tried/litert_int8` | `control` | 1 | +0.2 |\n\n    tfmo-drive run --experiment=x --seed=0\n"
    tables += "\n### Ledger of x\n\nold\n\n#### Stages\n\nold\n\n### On the NPU\n\nkept\n"
    (run_folder / "ledger.md").write_text("# Ledger of x\n\nnew\n")
    monkeypatch.setattr(results.FLAGS["pages"], "value", [str(run_folder / "ledger.md")])
    tables = table("built in", "tried/litert_int8") + tables
    page.write_text(f"{PAGE}\n<!-- earlier results: no times -->\n{tables}<!-- end of earlier results -->\n")
    report = json.loads((run_folder / "report.json").read_text())
    report["environment"]["command"] = "tfmo-drive run --experiment=x"
    (run_folder / "report.json").write_text(json.dumps(report))
    results.main(["results", str(run_folder)])
    earlier = page.read_text().split("<!-- earlier results")[1]
    assert "built in" not in earlier and "`other`, 1,055 test examples:" in earlier and earlier.count("| `tried") == 2
    assert "| `control` | 0 |" not in earlier and "| `control` | 1 |" in earlier and "--experiment=x" not in earlier
    assert "old" not in earlier and "### On the NPU\n\nkept\n" in earlier
    page.write_text(page.read_text().replace("| `gone/litert_int8` | 1 % |\n", "").replace("`other`", "`built in`"))
    results.main(["results", str(run_folder)])
    assert "<!-- earlier results: no times -->\n<!-- end of earlier results -->" in page.read_text()


def test_tables_of_the_same_data_are_told_apart_by_the_size_of_their_images(run_folder):
    report = json.loads((run_folder / "report.json").read_text())
    sizes = {"low": [192, 320], "high": [288, 480], "square": 64}
    for name, size in sizes.items():
        (run_folder.parent / name).mkdir()
        facts = {"data_fingerprint": name, "task": {"data": "x/town", "kind": "Detection", "image_size": size}}
        (run_folder.parent / name / "report.json").write_text(json.dumps(report | facts))
    results.main(["results", *(str(run_folder.parent / name) for name in sizes)])
    text = (run_folder.parent / "experiments" / "RESULTS.md").read_text()
    assert re.findall("`town`, Detection, (.*), 1,055", text) == ["192 x 320 pixels", "288 x 480 pixels", "64 pixels"]
    results.main(["results", str(run_folder.parent / "low")])
    assert "`town`, Detection, 1,055" in (run_folder.parent / "experiments" / "RESULTS.md").read_text()


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
    text = (run_folder.parent / "experiments" / "RESULTS.md").read_text()
    first, second = text.split("`rows.csv`, 1,055 test examples")
    assert first.count("| `baseline/litert_float32` |") == second.count("| `baseline/litert_float32` |") == 1
    assert "`again/litert_int8`" in first and "`elsewhere/litert_int8`" in second
    assert "litert_float32" not in text.replace("baseline/litert_float32", "")
    for name in ("score_size", "score_latency"):
        assert f"({name}.png)" in text
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
    text = (run_folder.parent / "experiments" / "RESULTS.md").read_text()
    assert "`scenes`, Detection, 1,055" in text and "`scenes`, Segmentation, 1,055" in text


def test_notebook_gets_one_measured_line_however_often_it_is_written(run_folder):
    notebook = run_folder.parent / "experiments" / "tried.py"
    results.main(["results", str(run_folder)])
    once = notebook.read_text()
    results.main(["results", str(run_folder)])
    assert notebook.read_text() == once
    docstring, rest = once.split('"""')[1], '"""'.join(once.split('"""')[2:])
    assert docstring.count("Measured 2026-11-22 on 2 cores, seed 0: tried/litert_int8 scores 89.5 %") == 1
    said = "smaller, 4.0x faster on 2 threads, 5.0x faster each on what suits it best (1,055 test examples)."
    assert said in " ".join(docstring.split())
    assert rest == '\n\nX = """not this"""\n'


def test_each_tasks_score_of_a_network_for_several_and_a_detectors_ap50_are_said(run_folder):
    report = json.loads((run_folder / "report.json").read_text())
    report["rows"][1] |= {"part_detection": 0.2, "part_lane_keeping": 0.76, "ap50": 0.4}
    (run_folder / "report.json").write_text(json.dumps(report))
    results.main(["results", str(run_folder)])
    said = (run_folder.parent / "experiments" / "RESULTS.md").read_text()
    assert "| 89.5 % (87.5 % to 91.5 %): detection 20.0 %, lane keeping 76.0 %, AP50 40.0 % |" in said


def test_speeds_are_the_benchs():
    bench = {
        "qat_step": {"ratio": 1.2, "bar": 1.35, "spread": 0.1, "ours_s": 1.2, "reference_s": 1.0},
        "busy": {"ratio": 1.2, "bar": 1.35, "spread": 0.9, "ours_s": 1.2, "reference_s": 1.0},
        "memory": {"ratio": 1.0, "bar": 1.2, "spread": 0, "ours_s": None, "ours_bytes": 3e6, "reference_bytes": 3e6},
        "environment": {"cores": 2, "processor": "p"},
    }
    text = results.speeds(bench)
    assert "| `qat_step` | 1.20 | 1.35 | 10% | 1.2 s | 1 s |" in text
    assert "| `busy` | about 1.20 | 1.35 | 90% |" in text
    assert "| `memory` | 1.00 | 1.20 | 0% | 3.00 MB | 3.00 MB |" in text and "environment" not in text


def test_a_benchs_seconds_divide_to_its_ratio():
    found = ratio({"ours": np.array([1.0, 3.0, 2.0]), "reference": np.array([1.0, 2.0, 4.0])}, bar=1.0, per=2)
    assert (found["ratio"], found["ours_s"], found["reference_s"], found["spread"]) == (1.0, 0.5, 0.5, 1.0)


def test_a_cell_is_kept_until_what_its_method_reaches_changes():
    rank, cluster = (architectures.reached(architectures.METHODS[name]) for name in ("low_rank", "cluster"))
    assert {"tfmo_drive.networks.graph", "tfmo_drive.training.trained_step"} <= rank & cluster
    assert "tfmo_drive.surgery.factors" in rank - cluster and "tfmo_drive.surgery.clusters" in cluster - rank
    assert not [name for name in rank if name.startswith(("tfmo_drive.flow", "tfmo_drive.report"))]


def test_no_run_is_one_line(capsys):
    assert guarded(results.main)(["results"]) == 1
    assert "Say which runs" in capsys.readouterr().err


def test_pages_are_appended_below_the_pages_headings():
    page = "# On the NPU\n\n**All.**\n\n## Rows\n\n| a | #b |\n```\n#!not a heading\n```\n"
    text = results.subordinate(page)
    assert re.findall(r"^#+ .*", text, re.M) == ["### On the NPU", "#### Rows"] and "#!not" in text
