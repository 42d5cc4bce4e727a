"""Reads the inputs of somebody's own examples: one array, or several by the names of the model's inputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tfmo_drive.contracts import Arrays, BadInput
from tfmo_drive.data import preprocessing_text
from tfmo_drive.preprocessing import Preprocessing

Likes = dict[str, tuple[tuple[int, ...], str]]
"""The shape and the type of every input by its name, "" for the only one."""


@dataclasses.dataclass(frozen=True)
class GivenInput:
    """Describes one input of the examples."""

    shape: tuple[int, ...]
    """The shape of one example: (height, width, channels), (columns,) or (time, columns)."""
    dtype: str
    """The type, "uint8" or "float32"."""
    input_range: tuple[float, float] | None = None
    """The lowest and highest raw input; None: it has no range, and is standardised."""
    preprocessing: str = "none"
    """What a given model was fed: the inputs themselves ("none"), or pixels as data.preprocessing_text says."""

    @property
    def is_image(self) -> bool:
        """Says whether it is uint8 pixels [height, width, channels]."""
        return self.dtype == "uint8" and len(self.shape) == 3

    @property
    def rule(self) -> Preprocessing | None:
        """Returns what pixels become; None where the inputs are fed as they are."""
        if self.preprocessing == "none":
            return None
        return preprocessing_text.preprocessing(self.preprocessing, self.shape[-1])


def by_place(given: Any) -> Any:
    """Returns several inputs in a tuple by their places, which no layer can be called as: {"input 1": a, ...}."""
    several = isinstance(given, tuple) and len(given) > 1 and all(hasattr(one, "shape") for one in given)
    return {f"input {place}": one for place, one in enumerate(given, start=1)} if several else given


def are_places(names: Iterable[str]) -> bool:
    """Says whether inputs are called by their places."""
    return [*names] == [f"input {place}" for place, _ in enumerate(names, start=1)]


def of_split(split: str, given: Any) -> Arrays:
    """Returns a split's only input, or its several by name; raises BadInput where there are others."""
    given = by_place(given)
    if not isinstance(given, Mapping):
        return of_one(split, np.asarray(given))
    if len(given) < 2:
        raise BadInput(f"arrays: inputs by name are for two or more, {split} has {len(given)}. Give the array alone.")
    return {str(name): _named(split, str(name), np.asarray(one)) for name, one in given.items()}


def _named(split: str, name: str, inputs: np.ndarray) -> np.ndarray:
    """Returns one of several inputs; of one number each, [n], as [n, 1]."""
    return of_one(f"{split}, {name}", inputs[:, None] if inputs.ndim == 1 else inputs)


def of_one(split: str, inputs: np.ndarray) -> np.ndarray:
    """Returns uint8 as they are and other floating-point numbers as float32; raises BadInput for the rest."""
    if inputs.ndim not in (2, 3, 4) or 0 in inputs.shape[1:]:
        raise BadInput(
            f"arrays: the inputs of {split} must be [n, height, width, channels], [n, features] or "
            f"[n, time, features], got {list(inputs.shape)}."
        )
    if inputs.dtype.kind == "f":
        return np.asarray(inputs, np.float32)
    if inputs.dtype != np.uint8:
        raise BadInput(
            f"arrays: the inputs of {split} must be uint8 or floating-point numbers, got {inputs.dtype}. Type "
            '.astype("uint8") for pixels in 0..255, .astype("float32") for other numbers.'
        )
    return inputs


def described(
    likes: Mapping[str, Likes],
    input_range: Sequence[float] | Mapping[str, Sequence[float]] | None,
    preprocessing: str | Mapping[str, str],
) -> dict[str, GivenInput]:
    """Returns what the inputs are, by name; raises BadInput where the splits differ or a setting does not fit.

    Args:
        likes: The shapes and types of each split.
        input_range: The lowest and the highest input, or None; of several inputs, by name.
        preprocessing: What the model was fed; of several inputs, by name.
    """
    found = _common(likes)
    ranges, rules = _by_input("input_range", input_range, found), _by_input("preprocessing", preprocessing, found)
    return {
        name: GivenInput(shape, dtype, _range(ranges.get(name), dtype), _rule(rules.get(name, "none"), shape, dtype))
        for name, (shape, dtype) in found.items()
    }


def _common(found: Mapping[str, Likes]) -> Likes:
    """Returns what all splits have in common, which must be all of it."""
    for split, one in found.items():
        if one != found["train"]:
            raise BadInput(f"arrays: train has inputs {_told(found['train'])}, {split} {_told(one)}: make them alike.")
    return found["train"]


def _told(likes: Likes) -> str:
    return ", ".join(f"{name} {dtype} {list(shape)}".strip() for name, (shape, dtype) in likes.items())


def _by_input(setting: str, given: Any, inputs: Likes) -> dict[str, Any]:
    """Returns a setting by input, from the only one's or from a mapping; raises BadInput where it is of others."""
    if not isinstance(given, Mapping):
        if len(inputs) > 1 and given not in (None, "none"):
            example = f"{{{next(iter(inputs))!r}: {given!r}}}"
            raise BadInput(f"arrays: {setting} of several inputs must be by name, as {example}, got {given!r}.")
        return dict.fromkeys(inputs, given) if len(inputs) == 1 else {}
    unknown = sorted(set(map(str, given)) - set(inputs))
    if unknown:
        known = ", ".join(filter(None, inputs)) or "only one, without a name"
        raise BadInput(f"arrays: {setting} is of {unknown[0]}, which is no input of the data: it has {known}.")
    return dict(given)


def _range(input_range: Sequence[float] | None, dtype: str) -> tuple[float, float] | None:
    if input_range is None:
        return (0.0, 255.0) if dtype == "uint8" else None
    low, high = (float(one) for one in input_range) if len(tuple(input_range)) == 2 else (0.0, 0.0)
    if not -np.inf < low < high < np.inf or (dtype == "uint8" and (low, high) != (0.0, 255.0)):
        wanted = "(0, 255) for uint8" if dtype == "uint8" else "(lowest, highest), as (0, 1)"
        raise BadInput(f"arrays: input_range must be {wanted}, got {input_range}.")
    return min(low, 0.0), max(high, 0.0)  # 0 is what convolutions pad with


def _rule(name: str, shape: tuple[int, ...], dtype: str) -> str:
    image = GivenInput(shape, dtype).is_image
    rule = preprocessing_text.preprocessing(name, shape[-1] if image else None)
    if not rule.is_identity and not image:
        raise BadInput(
            f'arrays: preprocessing="{name}" is for uint8 images [height, width, channels], got {dtype} {list(shape)}. '
            "Leave it out: the model then takes the inputs as they are."
        )
    return "none" if rule.is_identity else name


def refuse_outside(split: str, stretches: Iterable[Arrays], inputs: Mapping[str, GivenInput]) -> None:
    """Raises BadInput where a float input is not finite, or outside of its range."""
    floats = {name: one for name, one in inputs.items() if one.dtype == "float32"}
    for part in stretches if floats else ():
        for name, one in floats.items():
            values, subject = part[name] if isinstance(part, Mapping) else part, f"{split} {name}".strip()
            low, high, range_ = float(values.min()), float(values.max()), one.input_range
            if not np.isfinite([low, high]).all():
                raise BadInput(f"arrays: {subject} has inputs that are not finite. Leave those examples out.")
            if range_ and not range_[0] <= low <= high <= range_[1]:
                raise BadInput(
                    f"arrays: {subject} has inputs in {low:g}..{high:g}, outside input_range={range_}. Give the range "
                    "that they have, or none: they are then standardised."
                )
