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
    """Evaluates several labels an image: the score is the mean, over labels, of the area under the ROC curve.

    Any order of the examples that knows nothing of a label has an area of 0.5 on average, however rare the label is.
    Labels that all examples have, or none, have no area. Beside the score stand average_precision, likewise a mean over
    labels, and what a threshold makes of them: f1_macro, the mean of the labels' F1 (Opitz & Burst 2019, "Macro F1 and
    macro F1"), and exact_match, the share of examples whose labels are all right. An example's value is the share of
    hits among what is true or said (Jaccard).

    Args:
        outputs: float [n, labels] in [0, 1]; NaN says no label.
        targets: [n, labels], 1 for each label that an example has, else 0.
        names: The labels' names.
        threshold: The output from which a label is said.
    """
    sure, true = np.nan_to_num(np.asarray(outputs, np.float64), nan=-1), np.asarray(targets) > 0
    said, known = sure >= threshold, np.flatnonzero(true.any(0) & ~true.all(0))
    hits, faults = said & true, said != true

    def scores(weights: np.ndarray) -> np.ndarray:
        found = np.full((len(weights), len(known)), np.nan)
        for column, label in enumerate(known):
            found[:, column] = _roc_area(sure[:, label], true[:, label], weights)
        there = ~np.isnan(found)
        return np.where(there, found, 0).sum(1) / np.where(there.any(1), there.sum(1), np.nan)

    per_class = {
        names[label]: {
            "score": float(_roc_area(sure[:, label], true[:, label], np.ones((1, len(true))))[0]),
            "examples": int(true[:, label].sum()),
        }
        for label in known
    }
    shown = np.flatnonzero(true.any(0))
    f1 = 2 * hits.sum(0)[shown] / (2 * hits.sum(0) + faults.sum(0))[shown]
    captions = {
        key: [", ".join(np.array(names)[row]) or "nothing" for row in rows]
        for key, rows in {"truth": true, "says": said}.items()
    }
    either = hits.sum(1) + faults.sum(1)
    values = np.where(either > 0, hits.sum(1) / np.maximum(either, 1), 1.0)
    more = {
        "average_precision": float(np.mean([_average_precision(sure[:, label], true[:, label]) for label in known])),
        "f1_macro": float(f1.mean()),
        "exact_match": float((faults.sum(1) == 0).mean()),
    }
    constant = len(sure) > 1 and bool((sure == sure[0]).all())
    return Evaluation(values, said, per_class, more, scores, captions, constant=constant)


def _roc_area(sure: np.ndarray, true: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns one label's area under the ROC curve for each choice of examples, float64 [choices].

    It is the share of pairs, of one example with the label and one without, whose first is the surer; equal ones are
    half a pair (Hanley & McNeil 1982, "The meaning and use of the area under a ROC curve"). NaN without any pair.

    Args:
        sure: How sure the label is, float [n].
        true: Whether it is there, bool [n].
        weights: How often each example is chosen, float64 [choices, n].
    """
    order = np.argsort(sure, kind="stable")
    rising, there = sure[order], true[order]
    having, lacking = weights[:, order] * there, weights[:, order] * ~there
    below = np.pad(lacking.cumsum(1), ((0, 0), (1, 0)))
    beaten = below[:, np.searchsorted(rising, rising, "left")] + below[:, np.searchsorted(rising, rising, "right")]
    pairs = having.sum(1) * lacking.sum(1)
    return np.where(pairs > 0, (having * beaten).sum(1) / 2 / np.maximum(pairs, 1), np.nan)


def _average_precision(sure: np.ndarray, true: np.ndarray) -> float:
    """Returns the mean, over the examples that have a label, of the precision among all that are at least as sure.

    Args:
        sure: How sure the label is, float [n]; equal numbers count together.
        true: Whether it is there, bool [n], somewhere true.
    """
    having, all_of_them = np.sort(-sure[true]), np.sort(-sure)
    right, as_sure = (np.searchsorted(some, having, side="right") for some in (having, all_of_them))
    return float(np.mean(right / as_sure))


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
