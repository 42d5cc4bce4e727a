"""Shows a sensitivity study as a page: a heat map for each method, which layers to spare, and how a step takes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tfmo_drive.report.document import Document, Figure, Section
from tfmo_drive.report.plots.plot_style import png, single
from tfmo_drive.report.rendering import numbers
from tfmo_drive.report.write_report import write_document

CAPTION = (
    "Parts stand in the order of the graph; of layers that share channels, the first is named. BatchNorm is not "
    "estimated again: compare layers, not methods."
)
USE = "Every part then goes as far as one common drop lets it. To type: --set=recipe.0.allocation= and the file."


def write(studies: list[dict[str, Any]], experiment: str, command: str, folder: Path) -> str:
    """Writes sensitivity.md and .html and figures/*.png into `folder`, and returns text for a terminal."""
    studies = [study for study in studies if study["parts"]]
    drawn = {study["method"]: _picture(study) for study in studies}
    return write_document(document(studies, experiment, command, folder), drawn, folder, "sensitivity")


def document(studies: list[dict[str, Any]], experiment: str, command: str, folder: Path) -> Document:
    """Returns the studies as a document; `folder` is where steps find them."""
    score, examples = numbers.percent(studies[0]["score"]), studies[0]["examples"]
    verdict = (
        f"The baseline scores {score} on {examples:,} validation examples; one part of it at a time is compressed, and "
        "nothing is trained.",
        *(_verdict(study) for study in studies),
    )
    figures = [Figure(s["method"], f"Points lost, one part at a time, by {s['unit']}.") for s in studies]
    sections = [Section(one.name.capitalize(), CAPTION * (one is figures[0]), (one,)) for one in figures]
    taken = [f'{s["step"]}(allocation="{folder / s["method"]}.json")' for s in studies if s["step"]]
    use = Section("As an allocation", USE, text="\n".join(taken))
    made = Section("Made by", text=command)
    return Document(f"Sensitivity of {experiment}'s baseline", verdict, (*sections, *[use] * bool(taken), made))


def heat_map(drops: list[tuple[str, list[float]]], columns: list[str], title: str, worst: float) -> bytes:
    """Returns points lost as a picture, a named line for each part and a column for each strength.

    Args:
        drops: The drops of each part, as fractions.
        columns: The names of the strengths.
        title: The title of the picture.
        worst: The drop, a fraction, that is the darkest.
    """
    figure, axes = single(3.2 + 0.8 * len(columns), 0.9 + 0.24 * len(drops))
    points = 100 * np.array([values for _, values in drops])
    # The square root tells small losses apart, which are the ones that somebody would pay.
    shades = np.sqrt(np.clip(points, 0, None) / max(100 * worst, 1e-9))
    # The lighter half of the colours: on darker ones no letters are read on a white and on a dark page alike.
    axes.imshow(shades, cmap="Oranges", vmin=0, vmax=2, aspect="auto")
    for (line, column), value in np.ndenumerate(points):
        axes.text(column, line, f"{value:z.1f}", ha="center", va="center", fontsize=9)
    names = [name if len(name) <= 40 else f"..{name[-38:]}" for name, _ in drops]
    axes.set_yticks(range(len(drops)), names, fontsize=9)
    axes.set_xticks(range(len(columns)), columns)
    axes.xaxis.tick_top()  # where it is in sight, however many parts there are
    axes.xaxis.set_label_position("top")
    axes.set_xlabel(title, loc="left")
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return png(figure)


def _verdict(study: dict[str, Any]) -> str:
    means = {part: float(np.mean(one["drops"])) for part, one in study["parts"].items()}
    worst = sorted(means, key=means.get, reverse=True)[:3]
    place = len(study["strengths"]) // 2
    cheap = sum(100 * one["drops"][place] <= 0.5 for one in study["parts"].values())
    return (
        f"{study['unit'].capitalize()}: {cheap} of {len(means)} parts lose at most half a point at "
        f"{_strength(study['strengths'][place])}; {', '.join(map(_short, worst))} lose most."
    )


def _picture(study: dict[str, Any]) -> bytes:
    columns = [_strength(strength) for strength in study["strengths"]]
    return heat_map([(_short(part), one["drops"]) for part, one in study["parts"].items()], columns, study["unit"],
                    study["score"])  # fmt: skip


def _strength(value: float) -> str:
    return f"{100 * value:g} %" if value < 1 else f"{value:g}"


def _short(part: str) -> str:
    """Returns a group of channels by its first layer."""
    first, *others = part.split()
    return f"{first} +{len(others)}" if others else first
