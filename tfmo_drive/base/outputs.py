"""Handles outputs and targets alike, whether they are one array or several by name (`contracts.Arrays`).

A Keras model's outputs are called after its output layers, without the prefixes that tfmot's wrappers put before them:
the names stay the same through every step, and are those of the file that ships.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from tfmo_drive.base.finite import refuse_answers
from tfmo_drive.contracts import Arrays, Artifact, Examples

if TYPE_CHECKING:
    import tf_keras as keras

_BATCH = 64
_PREFIXES = re.compile("^(quant_range_|quant_|prune_low_magnitude_|cluster_)+")


def bare(name: str) -> str:
    """Returns a layer's own name, without the prefixes of the tfmot wrappers around it."""
    return _PREFIXES.sub("", name)


def names(model: keras.Model) -> tuple[str, ...]:
    """Returns the names of the model's outputs, in the model's order."""
    return tuple(bare(name) for name in model.output_names)


def named(model: keras.Model, outputs: Any) -> Any:
    """Returns what calling `model` gave as `contracts.Arrays`: the only output itself, or several by name."""
    return by_name(names(model), flat(outputs))


def flat(nest: Any) -> list[Any]:
    """Returns the arrays of a nest as one list; those by name come in the order of their names, as in tf.nest."""
    if isinstance(nest, Mapping):
        return [array for name in sorted(nest) for array in flat(nest[name])]
    return [array for one in nest for array in flat(one)] if isinstance(nest, list | tuple) else [nest]


def by_name(names: Sequence[str], values: Sequence[Any]) -> Any:
    """Returns the only one of `values` itself, or a dictionary where there are several."""
    return dict(zip(names, values, strict=True)) if len(values) > 1 else values[0]


def each(change: Callable[..., Any], *nests: Any) -> Any:
    """Returns a nest with `change` applied to each array, or to the arrays of one name in several nests together."""
    if isinstance(nests[0], Mapping):
        return {name: each(change, *(nest[name] for nest in nests)) for name in nests[0]}
    return change(*nests)


def joined(parts: Iterable[Arrays]) -> Arrays:
    """Concatenates batches [b, ...] along their first axis and returns [n, ...]."""
    return each(lambda *arrays: np.concatenate(arrays), *parts)


def at(arrays: Arrays, indices: Any) -> Arrays:
    """Returns the arrays of the examples at `indices`, or of a single example."""
    return each(lambda array: array[indices], arrays)


def distance(ours: Arrays, theirs: Arrays) -> np.ndarray:
    """Returns, float64 [n], the L1 distance between two models' outputs for each example, summed over all outputs.

    It is 0 where the two have outputs of different forms (one array beside several by name), which cannot be
    subtracted.
    """
    if isinstance(ours, Mapping) != isinstance(theirs, Mapping):
        return np.zeros(len(flat(ours)[0]))
    moved = each(lambda a, b: np.abs(a - b).reshape(len(a), -1).sum(axis=1, dtype=np.float64), ours, theirs)
    return np.sum(flat(moved), axis=0)


def agreement(ours: Arrays, theirs: Arrays) -> float:
    """Returns the share in [0, 1] of equal decisions [n, ...]; for decisions by name, the mean of their shares."""
    return float(np.mean(flat(each(lambda a, b: np.mean(a == b), ours, theirs))))


def predicted(artifact: Artifact, examples: Examples, indices: np.ndarray) -> Arrays:
    """Returns the artifact's outputs for the examples at `indices`, which are read batch by batch.

    Raises BadInput where an output is not finite.
    """
    parts = tqdm(in_batches(indices), artifact.name, unit=f"x{_BATCH} examples", disable=None, leave=False)
    return _finite(artifact, joined([artifact.predict(examples.read(part)[0]) for part in parts]))


def answered(artifact: Artifact, batch: np.ndarray) -> Arrays:
    """Returns the artifact's outputs for raw inputs [b, ...]; raises BadInput where an output is not finite."""
    return _finite(artifact, artifact.predict(batch))


def _finite(artifact: Artifact, found: Arrays) -> Arrays:
    advice = "Something overflows there: take a target of a wider type, or train with a lower learning_rate."
    refuse_answers(found, str(artifact.path or artifact.name), advice)
    return found


def in_batches(indices: np.ndarray) -> list[np.ndarray]:
    """Splits indices into pieces whose examples fit into memory."""
    return [indices[start : start + _BATCH] for start in range(0, len(indices), _BATCH)]
