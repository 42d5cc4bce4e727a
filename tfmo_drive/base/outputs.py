"""Outputs and targets: one array, or several by name (contracts.Arrays), handled alike.

A Keras model's outputs are called after its output layers, without the prefixes that tfmot's wrappers put before them:
the names stay the same through every step, and are those of the file that ships.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from tfmo_drive.base.finite import refuse_answers, wrong
from tfmo_drive.contracts import Arrays, Artifact, Examples

if TYPE_CHECKING:
    import tf_keras as keras

_BATCH = 64
_PREFIXES = re.compile("^(quant_|prune_low_magnitude_|cluster_)+")


def bare(name: str) -> str:
    """A layer's own name, whatever of tfmot's wraps it."""
    return _PREFIXES.sub("", name)


def names(model: keras.Model) -> tuple[str, ...]:
    """Of the model's outputs, in its order."""
    return tuple(bare(name) for name in model.output_names)


def named(model: keras.Model, outputs: Any) -> Any:
    """What calling `model` gave: the only output itself, several by name."""
    return by_name(names(model), flat(outputs))


def flat(nest: Any) -> list[Any]:
    """The arrays of a nest one after the other, those by name in the order of their names (as tf.nest has them)."""
    if isinstance(nest, Mapping):
        return [array for name in sorted(nest) for array in flat(nest[name])]
    return [array for one in nest for array in flat(one)] if isinstance(nest, list | tuple) else [nest]


def by_name(names: Sequence[str], values: Sequence[Any]) -> Any:
    """The only one of `values` itself, several by name."""
    return dict(zip(names, values, strict=True)) if len(values) > 1 else values[0]


def each(change: Callable[..., Any], *nests: Any) -> Any:
    """`change` of every array, or of those of one name in several nests (names may be nested): the same form."""
    if isinstance(nests[0], Mapping):
        return {name: each(change, *(nest[name] for nest in nests)) for name in nests[0]}
    return change(*nests)


def joined(parts: Iterable[Arrays]) -> Arrays:
    """Batches [b, ...] one after the other: [n, ...]."""
    return each(lambda *arrays: np.concatenate(arrays), *parts)


def at(arrays: Arrays, indices: Any) -> Arrays:
    """Those of some examples, or of one."""
    return each(lambda array: array[indices], arrays)


def distance(ours: Arrays, theirs: Arrays) -> np.ndarray:
    """float64 [n]: how far the outputs of each example lie apart, summed over all of them; 0 where two models have
    outputs of different forms (a naive export's only one beside two), which cannot be subtracted."""
    if isinstance(ours, Mapping) != isinstance(theirs, Mapping):
        return np.zeros(len(flat(ours)[0]))
    moved = each(lambda a, b: np.abs(a - b).reshape(len(a), -1).sum(axis=1, dtype=np.float64), ours, theirs)
    return np.sum(flat(moved), axis=0)


def agreement(ours: Arrays, theirs: Arrays) -> float:
    """The share of decisions [n, ...] that are equal; of decisions by name, the mean of their shares."""
    return float(np.mean(flat(each(lambda a, b: np.mean(a == b), ours, theirs))))


def predicted(artifact: Artifact, examples: Examples, indices: np.ndarray) -> Arrays:
    """What the artifact says of the examples at `indices`, read batch by batch; BadInput where it is not finite."""
    parts = tqdm(in_batches(indices), artifact.name, unit=f"x{_BATCH} examples", disable=None, leave=False)
    return _finite(artifact, joined([artifact.predict(examples.read(part)[0]) for part in parts]))


def answered(artifact: Artifact, batch: np.ndarray) -> Arrays:
    """What the artifact says of raw inputs [b, ...]; BadInput where it is not finite."""
    return _finite(artifact, artifact.predict(batch))


def _finite(artifact: Artifact, found: Arrays) -> Arrays:
    if len(wrong(found)):
        advice = "Something overflows there: take a target of a wider type, or train with a lower learning_rate."
        refuse_answers(found, str(artifact.path or artifact.name), advice)
    return found


def in_batches(indices: np.ndarray) -> list[np.ndarray]:
    """The same indices in pieces that fit into memory with their examples."""
    return [indices[start : start + _BATCH] for start in range(0, len(indices), _BATCH)]
