"""Checks whether calibration images can stand for train: how many, how different, made the same way.

The converter asks for 100 to 500 examples; what counts is whether the ranges they give are those of train. No labels
are needed. https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/post_training_quantization
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np

from tfmo_drive.base.outputs import flat
from tfmo_drive.commands.lint.int8_forecast import Finding
from tfmo_drive.commands.lint.stored_tensors import span
from tfmo_drive.contracts import Arrays, Preprocessing, Preprocessings

NAME = "calibration set"
"""The name that stands in a finding in place of a layer."""
LEAST = 32
"""The least number of different images: with them, ranges of a ResNet50 on traffic signs are 0.24 bits (15 %) below
those of 256 train images; with 100 images 0.16, with 8 images 0.49."""
SHORT = 0.5
"""The bits by which ranges may lie below train's: values up to 1.4 times beyond them are clipped."""
REPEATED = 0.1
"""The share of images from which repetitions are a fault."""
CHANCE = 1e-3
"""The probability, above which it may be chance, that as many images sampled from train have one class."""
CONTRAST = 2.0
"""The largest ratio of standard deviations between sets of one kind."""
SURE = 4.0
"""The standard errors between the mean colours of two sets from which it is no chance: 1 in 16,000."""
RAW, MORE = "raw inputs as the train split has them (images: RGB, 0..255)", "more calibration_images"


@dataclasses.dataclass(frozen=True)
class Sample:
    """Holds some inputs and the model's ranges and decisions on them."""

    raw: Arrays
    """The inputs as a board gets them: [n, h, w, 3], or rows [n, columns]; several of them by name."""
    ranges: dict[str, np.ndarray]
    """The ranges of every stored tensor (`StoredTensors.ranges`)."""
    decided: np.ndarray | None = None
    """The class that each is put into, int64 [n]; None for a model without classes."""


def faults(ours: Sample, train: Sample, preprocessing: Preprocessing | Preprocessings) -> list[Finding]:
    """Returns the faults of the calibration set `ours`.

    `bits_lost` is what this set costs a layer: how far its range is from train's, the median over all.

    Args:
        ours: The calibration set.
        train: Some inputs of the train split, sampled at random.
        preprocessing: The task's preprocessing.
    """
    away = [
        np.log2(span(ours.ranges[key]) / span(train.ranges[key]))
        for key in train.ranges
        if span(train.ranges[key]) > 0 and span(ours.ranges[key]) > 0
    ]
    cost, short = (float(np.median(np.abs(away))), -float(np.median(away))) if away else (None, 0.0)
    found = preprocessing.of_each(lambda rule, *raw: _unlike(*raw, rule), ours.raw, train.raw)
    named = found if isinstance(found, Mapping) else {"": found}
    unlike = next((f"{name}: {said}".removeprefix(": ") for name, said in named.items() if said), "")
    told = [*_counted(ours, 0.0 if unlike else short), *_one_class(ours, train)]
    told += [("unlike train", unlike, RAW)] if unlike else []
    return [Finding(kind, NAME, message, cost, mend) for kind, message, mend in told]


def different(raw: Arrays) -> int:
    """Returns how many of [n, ...] differ in any byte, of several inputs in any of them."""
    return len({b"".join(part.tobytes() for part in one) for one in zip(*flat(raw), strict=True)})


def _counted(ours: Sample, short: float) -> Iterator[tuple[str, str, str]]:
    count, apart = len(flat(ours.raw)[0]), different(ours.raw)
    if 1 - apart / count > REPEATED:
        said = f"of {count} images only {apart} {'differs' if apart == 1 else 'differ'}."
        yield "repeated", said, "different train images"
    if apart < LEAST:
        yield "too small", f"{apart} different images, at least {LEAST} are needed.", MORE
    elif short > SHORT:
        below = f"{1 - 2**-short:.0%} below train's in half of the layers"
        yield "too small", f"ranges are {below}: what lies beyond is clipped.", MORE


def _one_class(ours: Sample, train: Sample) -> Iterator[tuple[str, str, str]]:
    if ours.decided is None or len(set(ours.decided.tolist())) > 1:
        return
    common = float(np.mean(train.decided == ours.decided[0]))
    if common ** different(ours.raw) < CHANCE:
        message = f"all images are decided as class {ours.decided[0]}, to which {common:.0%} of train go."
        yield "one class", message, "train images of every class"


def _unlike(ours: np.ndarray, train: np.ndarray, preprocessing: Preprocessing) -> str:
    """Returns how inputs were made otherwise than train's, or ""."""
    ours, train = ours.astype(np.float64), train.astype(np.float64)
    axes = tuple(range(train.ndim - 1))
    if preprocessing.input_range:
        low, high = preprocessing.input_range
        if ours.min() < low or ours.max() > high:
            return f"values go from {ours.min():.3g} to {ours.max():.3g}, raw ones from {low:g} to {high:g}."
        if ours.max() <= 1 < train.max():
            return f"no value is above {ours.max():.3g}, train's go up to {train.max():.3g}: scaled to 0..1 already."
    if ours.ndim == 4 and (np.ptp(ours[..., :3], axis=-1) == 0).all() and (np.ptp(train[..., :3], axis=-1) > 0).any():
        return "all images are grey, train's are not."
    if different(ours) < LEAST:  # a few images may be dark or blue by chance
        return ""
    if ours.ndim == 4 and ours.shape[-1] >= 3 and (colour := _swapped(ours, train)):
        return colour
    spread = train.std(axis=axes)
    varied = spread > 0  # a column that says nothing in train is left alone by every file
    if not varied.any():
        return ""
    ratio = (ours.std(axis=axes) / np.maximum(spread, 1e-12))[varied]
    moved = ((ours.mean(axis=axes) - train.mean(axis=axes)) / np.maximum(spread, 1e-12))[varied]
    if not 1 / CONTRAST <= np.median(ratio) <= CONTRAST:
        return f"its values spread {np.median(ratio):.2f} times as wide as train's."
    if abs(np.median(moved)) > 1:
        return f"its mean lies {np.median(moved):+.1f} standard deviations from train's."
    return ""


def _swapped(ours: np.ndarray, train: np.ndarray) -> str:
    # Red over blue of every image: were the order the same, both sets would have one mean.
    red = [one[..., 0].mean((1, 2)) - one[..., 2].mean((1, 2)) for one in (ours, train)]
    error = np.sqrt(sum(one.var() / len(one) for one in red))
    here, there = (float(one.mean()) for one in red)
    if abs(here + there) < abs(here - there) and abs(here - there) > SURE * error:
        return f"red is {here:+.1f} over blue, in train {there:+.1f}: the colours are in BGR order."
    return ""
