"""The report's files: all of them, readable back, JSON that every parser takes, wrong folders named."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from tfmo_drive.contracts import BadInput
from tfmo_drive.report.write_report import read, write


class _Gallery:
    mask_classes = ()

    def __init__(self, draws):
        self.draws = draws

    def ordinary(self, count):
        return [*range(count)]

    def images(self, indices):
        return np.zeros((len(indices), 16, 16, 3), np.uint8)

    def panels(self, row, indices):
        one = dict.fromkeys(("truth", "float", "compressed"), np.zeros((16, 24, 3), np.uint8))
        return [one] * len(indices) if self.draws else []

    def clip(self, row):
        frames = [np.full((18, 32, 3), 20 * i, np.uint8) for i in range(7)]
        return [("float", frames), ("compressed", frames)] if self.draws else []


def test_folder_holds_numbers_text_page_and_pictures(full_report, tmp_path):
    write(full_report, tmp_path, _Gallery(draws=False))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figures", "report.html", "report.json", "report.md"]
    assert (tmp_path / "figures" / "regressions.png").exists()
    assert read(tmp_path) == full_report


def test_a_driving_report_shows_answers_over_images_and_a_clip_in_motion(driving_report, tmp_path):
    write(driving_report, tmp_path, _Gallery(draws=True))
    drawn = {path.name for path in (tmp_path / "figures").iterdir()}
    assert {"comparisons.png", "predictions.png", "clip.png", "clip.gif", "robustness.png"} <= drawn
    text, page = ((tmp_path / f"report.{kind}").read_text() for kind in ("md", "html"))
    assert all(f"](figures/{name})" in text for name in drawn)
    for title in ("Slices", "Robustness", "Task numbers", "Over time", "New mistakes", "Predictions", "Clip"):
        assert f"\n## {title}\n" in text and f"<h2>{title}</h2>" in page
    assert page.count('href="figures/clip.gif"') == 1 and 'src="figures' not in page


def test_every_picture_that_the_markdown_names_exists(full_report, tmp_path):
    write(full_report, tmp_path)
    text = (tmp_path / "report.md").read_text()
    drawn = sorted(path.stem for path in (tmp_path / "figures").iterdir())
    assert drawn == ["class_deltas", "curves", "score_latency", "score_size", "sparsity"]
    assert all(f"](figures/{name}.png)" in text for name in drawn) and text.count("](figures/") == len(drawn)


def test_a_second_write_leaves_no_picture_of_the_first(full_report, bare_report, tmp_path):
    write(full_report, tmp_path)
    write(bare_report, tmp_path)
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["score_size.png"]


def test_numpy_numbers_become_plain_and_nan_becomes_null(bare_report, tmp_path):
    bare_report["rows"][1] |= {"score": np.float32(0.5), "latency_ms": float("nan"), "threads": np.int64(2)}
    write(bare_report, tmp_path)

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    row = json.loads((tmp_path / "report.json").read_text(), parse_constant=refuse)["rows"][1]
    assert (row["score"], row["latency_ms"], row["threads"]) == (0.5, None, 2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "No report.json in"),
        ("{", "is not a run.s report"),
        ('{"schema": 1, "rows": []}', "must be of schema 2, got 1. Run the experiment again"),
        ("[]", "must be of schema 2, got None"),
        ('{"schema": 2, "rows": []}', "must hold rows"),
    ],
)
def test_what_is_not_a_report_is_refused_in_one_line(text, said, tmp_path):
    if text is not None:
        (tmp_path / "report.json").write_text(text)
    with pytest.raises(BadInput, match=said) as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)


def test_refused_report_leaves_nothing_behind(bare_report, tmp_path):
    with pytest.raises(BadInput, match="schema"):
        write({**bare_report, "schema": 7}, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_reports_are_made_without_tensorflow_or_pyplot():
    code = "import sys, tfmo_drive.commands.compare, tfmo_drive.report.write_report; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"tensorflow", "tf_keras", "matplotlib.pyplot"} & set(done.stdout.split())
