"""Figures exist exactly where the report holds their numbers; names on a plot cover nothing."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from PIL import Image

from tfmo_drive.report.plots import labels
from tfmo_drive.report.plots.figures import COSTS, _log_ticks, against, class_deltas, curves, figures, sparsity
from tfmo_drive.report.plots.plot_style import single


def _colours(data: bytes) -> int:
    return len(Image.open(io.BytesIO(data)).convert("RGB").getcolors(1 << 24))


def test_full_report_has_every_figure(drawn):
    assert set(drawn) == {"score_size", "score_latency", "class_deltas", "curves", "sparsity", "regressions"}
    # A figure that was left empty has the few greys of its frame only.
    assert all(_colours(data) > 20 for data in drawn.values())


def test_bare_report_has_only_the_figure_that_it_holds_numbers_for(bare_report):
    assert set(figures(bare_report)) == {"score_size"}


def test_what_was_not_measured_is_not_drawn():
    rows = [{"name": "a", "score": 0.5}, {"name": "b", "score": None, "size_bytes": 3}]
    assert against(rows, "size_bytes") is None
    assert class_deltas({"name": "a", "per_class": {"x": {"delta": 0.0}}}) is None
    assert curves([{"name": "0_baseline", "curves": None}]) is None
    assert sparsity({"name": "a"}) is None


def test_a_row_far_below_the_others_is_left_out_of_the_frame_where_two_remain(monkeypatch):
    rows = [{"name": f"x/{i}", "stage": "x", "score": score, "size_bytes": 10.0**i}
            for i, score in enumerate((0.9, 0.88, 0.03))]  # fmt: skip
    drawn = []
    monkeypatch.setattr(labels, "place", lambda axes, wanted: drawn.append([one.name for one in wanted]))
    assert against(rows, "size_bytes") and against(rows[1:], "size_bytes")
    assert drawn == [["x/0", "x/1"], ["x/1", "x/2"]]


def test_curves_skip_epochs_without_a_number():
    stage = {"name": "1_train", "curves": {"epoch": [1, 2, 3], "loss": [0.5, None, 0.3], "val_score": None}}
    assert curves([stage])


def test_same_report_gives_the_same_bytes(full_report):
    rows = full_report["rows"]
    assert against(rows, "size_bytes") == against(rows, "size_bytes")


@pytest.mark.parametrize("seed", range(3))
def test_names_cover_neither_one_another_nor_a_point_nor_leave_the_frame(seed):
    random = np.random.default_rng(seed)
    axes = Figure(figsize=(9.6, 5.6), dpi=100).subplots()
    # Two tight clusters, as int8 rows and float rows are.
    x, y = np.repeat([1.0, 5.0], 5) + random.uniform(0, 0.2, 10), random.uniform(90, 95, 10)
    axes.plot(x, y, "o")
    axes.margins(0.2)
    names = [f"stage_{i}/litert_int8" for i in range(10)]
    labels.place(axes, [labels.Label(name, a, b, b, b) for name, a, b in zip(names, x, y, strict=True)])
    texts = [one for one in axes.texts if isinstance(one, Annotation) and one.get_text()]
    boxes = [one.get_window_extent() for one in texts]
    assert sorted(one.get_text() for one in texts) == names
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    points = axes.transData.transform(np.c_[x, y])
    assert not any(box.contains(*point) for box in boxes for point in points)
    frame = axes.get_window_extent()
    assert all(frame.containsx(b.x0) and frame.containsx(b.x1) and frame.containsy(b.y0) and frame.containsy(b.y1)
               for b in boxes)  # fmt: skip


@pytest.mark.parametrize(("low", "high"), [(0.94, 1.01), (0.62, 2.6), (0.04, 1.2), (0.002, 1.3)])
def test_ticks_of_a_cost_are_few_and_stand_where_they_say(low, high):
    figure, axes = single(9.6, 5.6)
    axes.set(xscale="log", xlim=(low, high))
    _log_ticks(axes, COSTS["latency_share"][1])
    figure.canvas.draw()
    shown = [(float(text.get_text().removesuffix(" %")) / 100, text) for text in axes.get_xticklabels()]
    assert 3 <= len(shown) <= 9
    assert [value for value, _ in shown] == pytest.approx(list(axes.get_xticks()))
    edges = [edge for _, text in shown for edge in text.get_window_extent().intervalx]
    assert edges == sorted(edges), "no label lies on its neighbour"
