"""Refuses NaN and infinities in weights and in answers, and never takes NaN for the largest of some scores.

numpy's arg max answers with the place of a NaN, so that a model of NaN weights would always predict the same class, in
float as in int8, and nothing would seem to be lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from tfmo_drive.contracts import Arrays, BadInput

if TYPE_CHECKING:
    import tf_keras as keras


def largest(scores: np.ndarray, axis: int = -1) -> np.ndarray:
    """Returns the index of the largest number along `axis`, int64; the first among equals, and -1 where all are NaN."""
    scores = np.asarray(scores)
    known = ~np.isnan(scores)
    if known.all():
        return scores.argmax(axis)
    return np.where(known.any(axis), np.where(known, scores, -np.inf).argmax(axis), -1)


def refuse_weights(model: keras.Model, subject: str) -> None:
    """Raises BadInput where a weight is NaN or infinite, or where a BatchNorm's variance plus epsilon is not above 0.

    The message names the first layer that is concerned; `subject` says whose weights they are.
    """
    bad = {variable.name: int(np.size(values) - np.isfinite(values).sum()) for variable in model.weights
           if np.issubdtype((values := variable.numpy()).dtype, np.floating)}  # fmt: skip
    bad = {name: count for name, count in bad.items() if count}
    if bad:
        first = next(iter(bad)).split(":")[0]
        raise BadInput(
            f"{subject} has {sum(bad.values()):,} weights that are not finite, the first in {first}. "
            "Train it again, with a lower learning_rate, or give another file."
        )
    for layer in model.submodules:
        variance = getattr(layer, "moving_variance", None)
        if variance is not None and (variance.numpy() + layer.epsilon <= 0).any():
            raise BadInput(
                f"{subject} has a variance of {variance.numpy().min():g} in {layer.name}, and no variance is below 0: "
                "the file is damaged or written by something else. Give another one."
            )


def not_finite(answers: Arrays) -> np.ndarray:
    """Returns the indices, int64 [k], of examples whose answers hold a NaN or an infinity.

    Args:
        answers: Outputs of a model, one array [n, ...] or several by name.
    """
    found = [not_finite(one) for one in answers.values()] if isinstance(answers, Mapping) else []
    if found:
        return np.unique(np.concatenate(found))
    return np.flatnonzero(~np.isfinite(answers).reshape(len(answers), -1).all(axis=1))


def refuse_answers(answers: Arrays, subject: str, advice: str) -> None:
    """Raises BadInput where some examples' answers are not finite, and names the first of these examples.

    Args:
        answers: Outputs of a model, one array [n, ...] or several by name.
        subject: What gave the answers, with which the line begins.
        advice: A sentence that says what to do.
    """
    bad = not_finite(answers)
    if len(bad):
        raise BadInput(
            f"{subject}: answers to {len(bad):,} examples are not finite, first to number {bad[0]}. {advice}"
        )
