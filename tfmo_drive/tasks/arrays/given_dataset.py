"""Reads a tf.data.Dataset of examples once, into the cache: its largest input there, smaller ones in memory."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tfmo_drive.base.given_file import reason
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.image_cache import Example, PackedExamples, pack_stream
from tfmo_drive.tasks.arrays import given_inputs

_TARGET = "target"
_INPUT = "input {}"
"""The names in the cache of the targets, and of inputs beside the largest."""


def digests_of(inputs: Iterable[np.ndarray]) -> np.ndarray:
    """Returns a number for each example, uint64 [n], equal where all its `inputs`, [n, ...] each, are."""
    found = []
    for one in zip(*inputs, strict=True):
        whole = hashlib.blake2b(digest_size=8)
        for array in one:
            whole.update(np.ascontiguousarray(array))
        found.append(whole.digest())
    return np.frombuffer(b"".join(found), "<u8")


@dataclasses.dataclass(frozen=True, eq=False)
class PackedInputs:
    """Reads several inputs by name, of which the largest lies in an entry of the cache."""

    packed: PackedExamples
    largest: str
    rest: Mapping[str, np.ndarray]
    """The others, [n, ...] in memory."""
    names: tuple[str, ...]
    """All of them, in the order in which they were given."""

    def __len__(self) -> int:
        return len(self.packed)

    def read(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the inputs of these examples, [b, ...] by name."""
        found = {name: np.ascontiguousarray(one[indices]) for name, one in self.rest.items()}
        found[self.largest] = self.packed.read(indices)[0]
        return {name: found[name] for name in self.names}

    @functools.cached_property
    def digests(self) -> np.ndarray:
        """Returns a number for each example, uint64 [n], equal for equal inputs."""
        return digests_of([self.packed.digests, *(self.rest[name] for name in sorted(self.rest))])

    def called(self, names: Mapping[str, str]) -> PackedInputs:
        """Returns the same inputs by other names, which `names` says by those that they have."""
        rest = {names[name]: one for name, one in self.rest.items()}
        return PackedInputs(self.packed, names[self.largest], rest, tuple(names[name] for name in self.names))


def packed(split: str, dataset: Any) -> tuple[PackedExamples | PackedInputs, np.ndarray]:
    """Returns the inputs of a tf.data.Dataset, batched or not, and its targets [n, ...].

    Raises BadInput where it does not give (inputs, targets), is endless or empty, or raises something itself.
    """
    spec, subject = dataset.element_spec, f"arrays: the Dataset of {split}"
    several = given_inputs.by_place(spec[0]) if isinstance(spec, tuple) and spec else None
    given = several if isinstance(several, Mapping) else {"": several}
    parts = [*given.values(), *spec[1:]] if isinstance(spec, tuple) and len(spec) == 2 else []
    if not parts or not all(hasattr(one, "shape") for one in parts):
        weights = isinstance(spec, tuple) and len(spec) == 3
        raise BadInput(
            f"{subject} must give (inputs, targets), one array each or inputs by name, got {_kinds(spec)}. "
            + ("Weights of examples are not taken: leave them out." if weights else "Write a map() that gives so.")
        )
    if int(dataset.cardinality()) == -1:
        raise BadInput(f"{subject} is endless. Leave .repeat() out, or end it with .take(count).")
    largest = max(given, key=lambda name: math.prod(side or 1 for side in given[name].shape[1:] or (1,)))
    rows = functools.partial(_rows, split, dataset, largest, _batched([one.shape for one in given.values()], spec[1]))
    try:
        found = pack_stream(rows(), "uint8" if given[largest].dtype.name == "uint8" else "float32", f"read {split}")
    except BadInput:
        raise
    except Exception as error:  # what a pipeline of somebody's own raises is of many kinds
        raise BadInput(f"{subject} cannot be read: {reason(error)}.") from error
    if not len(found):
        raise BadInput(f"{subject} is empty.")
    if len(given) == 1:
        return found, found.labels
    rest = {name: found.labels[_INPUT.format(name)] for name in given if name != largest}
    return PackedInputs(found, largest, rest, tuple(map(str, given))), found.labels[_TARGET]


def _batched(shapes: Sequence[Any], target: Any) -> bool:
    """Says whether a dataset gives batches: all shapes begin with one size; those that nobody knows are taken so."""
    if target.shape.rank is None or any(shape.rank is None for shape in shapes):
        return True
    alike = target.shape.rank > 0 and all(shape.rank > 0 and shape[0] == target.shape[0] for shape in shapes)
    return alike and any(shape.rank > 1 for shape in shapes)


def _rows(split: str, dataset: Any, largest: str, batched: bool) -> Iterator[Example]:
    """Yields the examples; of several inputs those beside the largest stand with the target."""
    wanted = None
    for inputs, targets in dataset.as_numpy_iterator():
        given = given_inputs.by_place(inputs)
        named = given if isinstance(given, Mapping) else {"": given}
        parts = {name: np.asarray(one) if batched else np.asarray(one)[None] for name, one in named.items()}
        targets = targets if batched else np.asarray(targets)[None]
        found = given_inputs.of_split(split, parts if isinstance(given, Mapping) else parts[largest])
        found = found if isinstance(found, Mapping) else {"": found}
        shapes = [one.shape[1:] for one in found.values()]
        wanted = wanted or (shapes, np.shape(targets)[1:])
        if (shapes, np.shape(targets)[1:]) != wanted:
            raise BadInput(
                f"arrays: the Dataset of {split} must give examples of one shape, got {wanted[0][0]} and {shapes[0]}."
            )
        for place, target in enumerate(targets):
            rest = {_INPUT.format(name): one[place] for name, one in found.items() if name != largest}
            yield Example(found[largest][place], {**rest, _TARGET: target} if rest else target)


def _kinds(spec: Any) -> str:
    if isinstance(spec, (tuple, list)):
        return f"{len(spec)} things"
    return f"keys {', '.join(map(str, spec))}" if isinstance(spec, Mapping) else type(spec).__name__
