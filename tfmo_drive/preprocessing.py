"""Defines the contract of preprocessing: what turns raw inputs, as a board has them, into what a Keras model takes.

This file imports nothing of the package; data.preprocessing_text reads one that a user says in a line.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """Turns raw inputs into what the Keras model was trained on: `(mixing @ x)[..., channel_order] * scale + offset`.

    It is affine in the channels (of pixels) or columns (of rows, of every reading of a sequence), so that every target
    can put it into its file and a board feeds raw inputs. Inputs with an `input_range` are folded into the graph and
    quantised with it. Columns without a range (101,325 Pa beside 0.01 rad/s) have no common 8-bit scale: a file
    standardises them in float32 before they are quantised.
    """

    name: str
    channel_order: tuple[int, ...] = (0, 1, 2)
    scale: tuple[float, ...] = (1.0, 1.0, 1.0)
    offset: tuple[float, ...] = (0.0, 0.0, 0.0)
    input: str = "image"  # the input's name in every file
    input_range: tuple[float, float] | None = (0.0, 255.0)  # lowest and highest raw input, 255 steps; None: any float32
    dtype: str = "uint8"  # the dtype of raw inputs; "float32" where they are no pixels
    mixing: tuple[tuple[float, ...], ...] = ()
    """Each row makes one channel of the raw ones (YUV of RGB); (): the channels as they are."""

    def __post_init__(self):
        if self.dtype != "float32" and not self.input_range:
            raise ValueError(f"Raw {self.dtype} inputs have a range; inputs of any range are float32.")

    @property
    def each(self) -> tuple[Preprocessing, ...]:
        """Returns the preprocessing of every input of the model: this one, of the only one."""
        return (self,)

    def of_each(self, change: Callable[..., Any], *arrays: Any) -> Any:
        """Returns `change` of this preprocessing and arrays [..., channels]; `Preprocessings` does so by input."""
        return change(self, *arrays)

    @property
    def is_identity(self) -> bool:
        """Says whether raw inputs are what the Keras model takes."""
        count = len(self.channel_order)
        kept = (*range(count), *[1.0] * count, *[0.0] * count)
        return not self.mixing and (*self.channel_order, *self.scale, *self.offset) == kept

    @property
    def matrix(self) -> np.ndarray:
        """Returns what raw channels are multiplied by, float64 [channels, channels]: `x @ matrix + offset`."""
        mixing = np.asarray(self.mixing or np.eye(len(self.channel_order)), np.float64)
        return mixing[list(self.channel_order)].T * self.scale

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Returns the lowest and the highest preprocessed value, or None where raw inputs have no range."""
        if not self.input_range:
            return None
        ends = np.stack([limit * self.matrix for limit in self.input_range])
        lowest, highest = (end(axis=0).sum(axis=0) + self.offset for end in (ends.min, ends.max))
        return float(lowest.min()), float(highest.max())

    def __call__(self, raw: np.ndarray) -> np.ndarray:
        """Returns raw inputs [..., channels] preprocessed, float32 [..., channels]."""
        found = np.asarray(raw, np.float32)
        if self.mixing:
            found = found @ np.float32(self.mixing).T
        return found[..., list(self.channel_order)] * np.float32(self.scale) + np.float32(self.offset)


@dataclasses.dataclass(frozen=True)
class Preprocessings:
    """Turns several raw inputs by name into what the Keras model was trained on, each by a preprocessing of its own."""

    each: tuple[Preprocessing, ...]
    """The preprocessing of every input, in the model's order; `input` is what the model calls it too."""

    def __post_init__(self):
        if len({rule.input for rule in self.each}) != len(self.each) or len(self.each) < 2:
            raise ValueError("Several inputs have a preprocessing each, whose names differ.")

    @property
    def name(self) -> str:
        """Returns the names of all of them: "image unit, speed none"."""
        return ", ".join(f"{rule.input} {rule.name}" for rule in self.each)

    def of_each(self, change: Callable[..., Any], *arrays: Any) -> dict[str, Any]:
        """Returns, by input, `change` of its preprocessing and of what `arrays`, each by input, hold of it."""
        return {rule.input: change(rule, *(one[rule.input] for one in arrays)) for rule in self.each}

    def __call__(self, raw: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns raw inputs preprocessed, by name, float32 [..., channels] each."""
        return self.of_each(lambda rule, one: rule(one), raw)
