"""Chooses activation ranges for post-training int8 from the activations on calibration images.

"minmax" is the converter's own: everything seen is in range. "percentile" (Wu et al. 2020, "Integer quantization for
deep learning inference", section 3.3) and "mse" (Nagel et al. 2021, "A white paper on neural network quantization",
section 3.1) clip a few large values for finer steps. The converter's calibrator knows only the ends, so histograms come
from a second run, between these ends: memory does not grow with the images.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from tfmo_drive.base.inputs import pieces
from tfmo_drive.contracts import Arrays
from tfmo_drive.runtimes.flatbuffer_edit import Exposed

METHODS = ("minmax", "percentile", "mse")
BINS = 2048
CANDIDATES = 64
"""The number of ends tried on either side of zero, at equal distances."""
STEPS = 255


@dataclasses.dataclass(frozen=True)
class Ranges:
    """Sets how ranges are chosen.

    Args:
        method: One of METHODS.
        percentile: The percent of all values that lie below the upper end, and as many above the lower, in (50, 100];
            read by "percentile" alone.
    """

    method: str = "minmax"
    percentile: float = 99.99


MINMAX = Ranges()


class Histogram:
    """Counts the values of one tensor between `low` and `high`.

    Exact zeros, which every range holds, are counted apart.
    """

    def __init__(self, low: float, high: float):
        self.low, self.high = low, high
        self.counts, self.zeros = np.zeros(BINS, np.int64), 0

    def add(self, values: np.ndarray) -> None:
        """Adds values; those outside the ends count as the ends."""
        nonzero = values[values != 0]
        self.zeros += values.size - nonzero.size
        self.counts += np.bincount(self._bin(nonzero), minlength=BINS)

    def percentile(self, percent: float) -> tuple[float, float]:
        """Returns the narrowest range of whole bins that holds all but 100 - `percent` of the values on either side."""
        counts = self.counts.copy()
        counts[self._bin(np.zeros(1))] += self.zeros
        outside = counts.sum() * (100 - percent) / 100
        edges = np.linspace(self.low, self.high, BINS + 1)
        first = int(np.argmax(np.cumsum(counts) > outside))
        last = BINS - 1 - int(np.argmax(np.cumsum(counts[::-1]) > outside))
        return float(edges[first]), float(edges[last + 1])

    def least_error(self) -> tuple[float, float]:
        """Returns the range of least squared error: rounding (a uniform error of one step) inside, clipping outside."""
        edges = np.linspace(self.low, self.high, BINS + 1)
        centres = (edges[1:] + edges[:-1]) / 2
        shares = np.arange(CANDIDATES, 0, -1) / CANDIDATES
        lows, highs = (shares * end if end else np.zeros(1) for end in (min(self.low, 0.0), max(self.high, 0.0)))
        below, above = np.maximum(lows[:, None] - centres, 0), np.maximum(centres - highs[:, None], 0)
        clipped = (below**2 @ self.counts)[:, None] + above**2 @ self.counts
        inside = self.counts.sum() - ((below > 0) @ self.counts)[:, None] - (above > 0) @ self.counts
        error = clipped + inside * ((highs - lows[:, None]) / STEPS) ** 2 / 12
        low, high = np.unravel_index(np.argmin(error), error.shape)
        return float(lows[low]), float(highs[high])

    def _bin(self, values: np.ndarray) -> np.ndarray:
        places = (values.ravel() - self.low) * (BINS / (self.high - self.low))
        return np.clip(places, 0, BINS - 1).astype(np.int64)


def narrow(model: Any, images: Arrays, ranges: Ranges) -> None:
    """Replaces the ranges of the tensors inside a calibrated model; those of its inputs and outputs stay as they are.

    A model's outputs are never clipped: its decisions are read from the largest.

    Args:
        model: A calibrated model, unpacked (runtimes.flatbuffer_edit).
        images: What its graph takes, float32 [n, ...] (Frozen.fed).
        ranges: How ranges are chosen, other than by "minmax".
    """
    graph = model.subgraphs[0]
    outermost = {int(number) for number in (*graph.inputs, *graph.outputs)}
    written = [int(number) for operator in graph.operators for number in operator.outputs]
    found = {
        number: Histogram(float(range_.min[0]), float(range_.max[0]))
        for number in written
        if number not in outermost and (range_ := graph.tensors[number].quantization) and range_.min is not None
        and range_.min[0] < range_.max[0]
    }  # fmt: skip
    opened = Exposed(model, list(found))
    for image in pieces(images, 1):
        for histogram, values in zip(found.values(), opened(image), strict=True):
            histogram.add(values)
    for number, histogram in found.items():
        percent = ranges.method == "percentile"
        low, high = histogram.percentile(ranges.percentile) if percent else histogram.least_error()
        range_ = graph.tensors[number].quantization
        range_.min, range_.max = [min(low, 0.0)], [max(high, 0.0)]
