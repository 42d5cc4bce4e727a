"""Computes scores in [0, 1] that are means over examples: the accuracy of classes, and 1 minus the errors of numbers.

A number's value is max(0, 1 - |error| / spread): a mean absolute error (Willmott & Matsuura 2005, "Advantages of the
mean absolute error") on the scale of the target, as in a skill score (Murphy 1988). 0.9 is off by a tenth of a standard
deviation; always answering the mean of a normal distribution scores 0.37. R2 stands beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfmo_drive.base.finite import largest
from tfmo_drive.contracts import Evaluation, Trivial


def of_classes(outputs: np.ndarray, targets: np.ndarray, names: Sequence[str]) -> Evaluation:
    """Evaluates classes: the score is the accuracy, and score_macro, the mean over classes, stands beside it.

    NaN is no class's score: where all are NaN, the decision is -1, which is never right.

    Args:
        outputs: float [n, classes].
        targets: int [n].
        names: The classes' names.

    Returns:
        The evaluation, whose captions say each example's truth and answer by name.
    """
    decisions = largest(outputs)
    values = (decisions == targets).astype(np.float64)
    per_class = {
        names[label]: {"score": float(values[targets == label].mean()), "examples": int(count)}
        for label, count in zip(*np.unique(targets, return_counts=True), strict=True)
    }
    macro = float(np.mean([entry["score"] for entry in per_class.values()]))
    captions = {
        "truth": [names[label] for label in targets],
        "says": [names[label] if label >= 0 else "nothing" for label in decisions],
    }
    return Evaluation(
        values, decisions, per_class, {"score_macro": macro}, captions=captions, constant=alike(decisions)
    )


def of_labels(outputs: np.ndarray, targets: np.ndarray, names: Sequence[str], threshold: float) -> Evaluation:
    """Evaluates several labels an image: the score is macro F1, the mean over the labels that the examples have.

    Opitz & Burst 2019, "Macro F1 and macro F1", the mean of F1 scores. Beside it stands exact_match, the share of
    examples whose labels are all right. An example's value is the share of hits among what is true or said (Jaccard).

    Args:
        outputs: float [n, labels] in [0, 1]; NaN says no label.
        targets: [n, labels], 1 for each label that an example has, else 0.
        names: The labels' names.
        threshold: The output from which a label is said.
    """
    said, true = np.asarray(outputs) >= threshold, np.asarray(targets) > 0
    hits, faults = (said & true).astype(np.float64), (said != true).astype(np.float64)

    def of_each(weights: np.ndarray) -> np.ndarray:
        hit, fault = weights @ hits, weights @ faults
        return np.where(weights @ true.astype(np.float64) > 0, 2 * hit / np.maximum(2 * hit + fault, 1e-12), np.nan)

    def scores(weights: np.ndarray) -> np.ndarray:
        found = of_each(weights)
        known = ~np.isnan(found)
        return np.where(known, found, 0).sum(1) / np.where(known.any(1), known.sum(1), np.nan)

    each = of_each(np.ones((1, len(true))))[0]
    per_class = {
        name: {"score": float(each[label]), "examples": int(true[:, label].sum())}
        for label, name in enumerate(names)
        if true[:, label].any()
    }
    told = {"truth": true, "says": said}
    captions = {key: [", ".join(np.array(names)[row]) or "nothing" for row in rows] for key, rows in told.items()}
    either = hits.sum(1) + faults.sum(1)
    values = np.where(either > 0, hits.sum(1) / np.maximum(either, 1), 1.0)
    constant = len(said) > 1 and bool((said == said[0]).all())
    more = {"exact_match": float((faults.sum(1) == 0).mean())}
    return Evaluation(values, said, per_class, more, scores, captions, constant=constant)


def of_numbers(answers: np.ndarray, targets: np.ndarray, spread: float, unit: str = "") -> Evaluation:
    """Evaluates numbers: the score is the mean of max(0, 1 - |error| / spread).

    Beside it stand mean_absolute_error, and r2 where the targets are not all equal. Decisions are the answers rounded
    to a tenth of the spread.

    Args:
        answers: float [n].
        targets: float [n], in the same unit.
        spread: The targets' standard deviation, in the same unit.
        unit: The unit, as reports print it ("m"); "" where nobody knows.
    """
    answers, targets = np.asarray(answers, np.float64), np.asarray(targets, np.float64)
    errors = np.abs(answers - targets)
    errors[np.isnan(errors)] = np.inf  # no answer is as wrong as can be
    step = spread / 10
    more = {"mean_absolute_error": float(errors.mean())}
    variance = float(targets.var())
    if variance:
        more["r2"] = 1 - float((errors**2).mean()) / variance
    captions = {
        "truth": [f"{target:.3g} {unit}".strip() for target in targets],
        "says": [f"{answer:.3g} {unit}".strip() for answer in answers],
    }
    values, decisions = np.maximum(0.0, 1 - errors / spread), np.round(answers / step) * step
    return Evaluation(
        values, decisions, {}, more, captions=captions, constant=alike(decisions), errors=errors, unit=unit
    )


def alike(decisions: np.ndarray) -> bool:
    """Says whether several examples' decisions [n, ...] are one and the same throughout."""
    return len(decisions) > 1 and bool((decisions == decisions.flat[0]).all())


def always_class(labels: np.ndarray, names: Sequence[str], count: int) -> Trivial:
    """Returns the trivial answer of always saying train's most frequent class (among equals the first).

    Args:
        labels: The classes of train, int [m].
        names: The classes' names.
        count: The number of examples that are answered.
    """
    label = int(np.bincount(labels, minlength=len(names)).argmax())
    outputs = np.broadcast_to(np.eye(len(names), dtype=np.float32)[label], (count, len(names)))
    return Trivial(f'always "{names[label]}"', outputs)
