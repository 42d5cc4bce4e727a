"""A sensitivity study as a page: a heat map for each method, and which layers to spare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tfmo_drive.core import atomic
from tfmo_drive.core.sensitivity import FILE
from tfmo_drive.report import numbers
from tfmo_drive.report.document import Document, Figure, Section
from tfmo_drive.report.figures import heat_map
from tfmo_drive.report.html import page
from tfmo_drive.report.markdown import render
from tfmo_drive.report.write import plain, write_figures


def write(study: dict[str, Any], folder: Path) -> None:
    """sensitivity.json, .md and .html and figures/*.png into `folder`."""
    atomic.write_json(folder / FILE, plain(study))
    drawn = {name: _picture(one, study["score"]) for name, one in study["methods"].items() if one["drops"]}
    shown = document(study, folder / FILE)
    write_figures(folder / "figures", drawn)
    atomic.write_text(folder / "sensitivity.md", render(shown, drawn))
    atomic.write_text(folder / "sensitivity.html", page(shown, drawn))


def document(study: dict[str, Any], path: Path) -> Document:
    """What the study says; `path`: where steps will find it."""
    verdict = (
        f"One layer at a time, nothing trained: points that the float baseline's {numbers.percent(study['score'])} on "
        f"{study['examples']:,} examples of {study['split']} lose.",
        *(_verdict(one) for one in study["methods"].values() if one["drops"]),
    )
    sections = [
        Section(name, f"{one['unit']}, by part of the network in the order of its graph.", (Figure(name, _CAPTION),))
        for name, one in study["methods"].items()
    ]
    use = Section("Use it", "As a step's allocation, every part goes as far as one common drop lets it.",
                  text=f"make train-pruned SET=recipe.0.allocation={path}")  # fmt: skip
    return Document(f"Sensitivity of {study['experiment']}'s baseline", verdict, (*sections, use))


_CAPTION = "Points lost. Of channels that several layers share, the first layer is named."


def _verdict(one: dict[str, Any]) -> str:
    means = {part: float(np.mean(drops)) for part, drops in one["drops"].items()}
    worst = sorted(means, key=means.get, reverse=True)[:3]
    cheap = sum(100 * one["drops"][part][len(one["strengths"]) // 2] <= 0.5 for part in means)
    middle = one["strengths"][len(one["strengths"]) // 2]
    return (
        f"{one['unit'].capitalize()}: {cheap} of {len(means)} parts lose at most half a point at "
        f"{_strength(middle)}; {', '.join(map(_short, worst))} lose most."
    )


def _picture(one: dict[str, Any], score: float) -> bytes:
    columns = [_strength(strength) for strength in one["strengths"]]
    return heat_map({_short(part): drops for part, drops in one["drops"].items()}, columns, one["unit"], score)


def _strength(value: float) -> str:
    return f"{100 * value:g} %" if value < 1 else f"{value:g}"


def _short(part: str) -> str:
    """A group of channels by its first layer."""
    first, *others = part.split()
    return f"{first} +{len(others)}" if others else first
