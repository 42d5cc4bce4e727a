"""Figures exist exactly where the report holds their numbers; names on a plot cover nothing."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from PIL import Image

from tfmo_drive.report import robustness_section
from tfmo_drive.report.plots import figures as module
from tfmo_drive.report.plots import labels, plot_style
from tfmo_drive.report.plots.figures import COSTS, _log_ticks, against, class_deltas, curves, figures, sparsity
from tfmo_drive.report.plots.plot_style import single


def _colours(data: bytes) -> int:
    return len(Image.open(io.BytesIO(data)).convert("RGBA").getcolors(1 << 24))


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


@pytest.fixture
def shown(monkeypatch) -> list[Figure]:
    """The figures themselves, in the order in which they were drawn."""
    found = []
    for room in (module, robustness_section):
        monkeypatch.setattr(room, "png", lambda figure: found.append(figure) or plot_style.png(figure))
    return found


@pytest.mark.parametrize("groups", [2, 7, 14])
def test_nothing_that_is_written_is_cut_off(shown, groups, driving_report):
    """Long names of many runs, most of them far below, as a comparison of all that one has."""
    rows = [{"name": f"from_nothing_taught_by_its_baseline_{i}/litert_int8{'_x' * 9 * (i % 4)}", "size_bytes": 1e6 * i,
             "run": f"channels_deep_compression_{i % groups}", "score": 0.9 - 0.3 * (i % 3)}
            for i in range(1, 60)]  # fmt: skip
    assert against(rows, "size_bytes", group="run") and robustness_section.figure(driving_report)
    for figure in shown:
        taken, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
        assert taken.x0 >= 0 and taken.y0 >= 0 and taken.x1 <= width and taken.y1 <= height


def test_scores_that_are_nearly_one_do_not_look_far_apart(shown):
    rows = [{"name": f"x/{i}", "stage": "x", "score": 0.9 + 1e-5 * i, "size_bytes": 1e6 + i} for i in range(2)]
    classes = {"per_class": {"car": {"delta": 1e-5, "examples": 9, "score": 0.9}}}
    stage = {"name": "1_train", "curves": {"epoch": [1], "loss": [0.5], "val_score": [0.9]}}
    assert against(rows, "size_bytes") and class_deltas({"name": "x", **classes}) and curves([stage])
    plot, bars, (loss, score) = shown[0].axes[0], shown[1].axes[0], shown[2].axes
    for low, high in (plot.get_ylim(), bars.get_xlim(), score.get_ylim()):
        assert high - low >= plot_style.LEAST_SPAN
    assert plot.get_xlim()[1] / plot.get_xlim()[0] >= 1.5
    assert loss.get_ylim()[0] == 0 and [tick for tick in score.get_xticks() if 0.5 <= tick <= 1.5] == [1]


def test_columns_of_curves_share_the_scale_of_scores_and_show_every_epoch(shown):
    scores = ([0.5, 0.9], [0.3, 0.9], [0.1, 0.9])
    stages = [{"name": f"{i}_train", "curves": {"epoch": [1, 2], "loss": [10.0**i, 1], "val_score": score}}
              for i, score in enumerate(scores)]  # fmt: skip
    assert curves(stages, 0.8)
    scores = shown[0].axes[3:]
    assert len({axes.get_ylim() for axes in scores}) == 1 and scores[0].get_ylim()[0] < 10


def test_a_name_that_finds_no_place_is_not_written_on_another():
    axes = Figure(figsize=(4, 3), dpi=100).subplots()
    axes.plot([1, 2], [1, 2])
    labels.place(axes, [labels.Label(f"a_stage_of_many_{i}/litert_int8", 1.5, 1.5, 1.5, 1.5) for i in range(60)])
    boxes = [one.get_window_extent() for one in axes.texts if one.get_text()]
    assert 2 < len(boxes) < 60 and not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


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
