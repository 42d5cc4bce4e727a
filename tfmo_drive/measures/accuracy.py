"""Scores the file that ships, with its interval, and finds what changed against the reference on the same examples."""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tfmo_drive.base import outputs
from tfmo_drive.base.row_keys import joined
from tfmo_drive.contracts import Arrays, Artifact, BadInput, Context, Evaluation, Examples, Measure, Scores, Task
from tfmo_drive.scores.statistics import Resampled, resampled

_SHOWN = 24
"""The number of regressions kept for the contact sheet."""

_outputs: weakref.WeakKeyDictionary[Artifact, dict[str, Arrays]] = weakref.WeakKeyDictionary()
"""Keeps the reference's outputs, by the fingerprint of the examples."""


@dataclasses.dataclass(frozen=True)
class Accuracy(Measure):
    """Measures the score and its losses.

    Args:
        split: The split on which files are scored: train, val or test.
        limits: The number of seeded examples that a slow file gets, by the name of its row, target or runtime.

    Example:
        >>> import tfmo_drive as td
        >>> td.Accuracy(split="val").split
        'val'
    """

    split: str = "test"
    limits: Mapping[str, int] = dataclasses.field(default_factory=lambda: {"litert_int16x8": 200})

    has_section = True
    paired = ("score_delta", "score_delta_low", "score_delta_high", "agreement")

    def __post_init__(self) -> None:
        if self.split not in ("train", "val", "test"):
            raise BadInput(f'Accuracy.split must be train, val or test, got "{self.split}".')
        for name, count in self.limits.items():
            if count < 1:
                raise BadInput(f"Accuracy.limits.{name} must be at least 1, got {count}.")

    def __call__(self, artifact: Artifact, reference: Artifact, context: Context) -> dict[str, Any]:
        """Returns what the file scores, what it lost against the reference, and where.

        Deltas are paired: the reference is evaluated on the same examples, and its outputs are computed once.

        Returns:
            score and score_delta, each with _low and _high; agreement, examples, per_class, slices, regressions,
                own_numbers (the names of the task's own numbers, which are there too); error and error_delta for a task
                that answers a number; subset where not all examples were asked; and what `over_trivial` returns.
        """
        examples = context.task.examples(self.split)
        indices = self._indices(artifact, len(examples), context.seed)
        targets = _targets(examples, indices)
        theirs = outputs.at(_run(reference, examples, np.arange(len(examples)), examples.fingerprint), indices)
        ours = theirs if artifact is reference else _run(artifact, examples, indices)
        judged, before = context.task.evaluate(ours, targets), context.task.evaluate(theirs, targets)
        groups = examples.groups[indices]

        def bootstrapped(scores: Scores) -> Resampled:
            return resampled(scores, groups, context.seed)

        score, reference_score = bootstrapped(judged.scores), bootstrapped(before.scores)
        row = {
            **score.numbers("score"),
            **(score - reference_score).numbers("score_delta"),
            **_error(judged, before, bootstrapped),
            **over_trivial(context.task, judged, targets, score, bootstrapped),
            "agreement": outputs.agreement(judged.decisions, before.decisions),
            "examples": len(indices),
            "per_class": _per_class(judged, before),
            "slices": _slices(judged, before, {name: one[indices] for name, one in examples.attributes.items()}),
            "regressions": _regressions(judged, before, outputs.distance(ours, theirs), indices),
        }
        row |= {} if len(indices) == len(examples) else {"subset": _subset(len(indices), len(examples))}
        return joined({**row, "own_numbers": list(judged.more)}, judged.more, context.task)

    def _indices(self, artifact: Artifact, count: int, seed: int) -> np.ndarray:
        names = (artifact.name, artifact.name.split("/")[-1], artifact.runtime)
        limit = next((self.limits[name] for name in names if name in self.limits), count)
        if limit >= count:
            return np.arange(count)
        return np.sort(np.random.default_rng([seed, 0x5B5E7]).permutation(count)[:limit])


def _run(artifact: Artifact, examples: Examples, indices: np.ndarray, key: str = "") -> Arrays:
    """Returns outputs for the examples at `indices`.

    They are kept for as long as the artifact lives where a `key` is given, which says what `examples` hold.
    """
    kept = _outputs.setdefault(artifact, {}) if key else {}
    if key not in kept:
        kept[key] = outputs.predicted(artifact, examples, indices)
    return kept[key]


def _targets(examples: Examples, indices: np.ndarray) -> Arrays:
    return outputs.joined([examples.read(part)[1] for part in outputs.in_batches(indices)])


def _error(judged: Evaluation, before: Evaluation, bootstrapped: Callable[[Scores], Resampled]) -> dict[str, Any]:
    """Returns error, the mean one, and error_delta to the reference's, each with _low and _high, and error_unit.

    It returns nothing for a task that answers no number.
    """
    if judged.errors is None or not np.isfinite([judged.errors, before.errors]).all():
        return {}

    def mean(one: Evaluation) -> Resampled:
        return bootstrapped(lambda weights: weights @ one.errors / weights.sum(axis=1))

    ours, theirs = mean(judged), mean(before)
    return {**ours.numbers("error"), **(ours - theirs).numbers("error_delta"), "error_unit": judged.unit}


def over_trivial(
    task: Task, judged: Evaluation, targets: Arrays, score: Resampled, bootstrapped: Callable[[Scores], Resampled]
) -> dict[str, Any]:
    """Returns how far the score is above that of the task's trivial answer.

    Args:
        task: The task.
        judged: The evaluation of the row's outputs.
        targets: The targets of the same examples.
        score: The row's score with its resamples.
        bootstrapped: Resamples other scores over the same examples.

    Returns:
        trivial_answer in words, trivial_score, over_trivial with _low and _high, and always_the_same where the row's
            own answer is as trivial; for several tasks in one model, the same numbers of each in `parts`, beside its
            score; {} where the task knows no trivial answer.
    """
    trivial = task.trivial(len(judged.values))
    if trivial is None:
        return {}
    least = task.evaluate(trivial.outputs, targets)

    def compared(ours: Evaluation, our_score: Resampled, theirs: Evaluation) -> dict[str, float | bool | None]:
        answered = bootstrapped(theirs.scores)
        found = {"trivial_score": answered.whole, **(our_score - answered).numbers("over_trivial")}
        return found | {"always_the_same": True} if ours.constant else found

    parts = {}
    for name, part in judged.parts.items():
        own = bootstrapped(part.scores)
        parts[name] = {"score": own.whole, **compared(part, own, least.parts[name])}
    found = {"trivial_answer": trivial.says, **compared(judged, score, least)}
    return {**found, "parts": parts} if parts else found


def _subset(count: int, whole: int) -> str:
    return f"{count:,} of {whole:,}, seeded"


def _per_class(judged: Evaluation, before: Evaluation) -> dict[str, dict[str, float]]:
    return {
        name: {**numbers, "delta": numbers["score"] - before.per_class[name]["score"]}
        for name, numbers in judged.per_class.items()
    }


def _slices(judged: Evaluation, before: Evaluation, attributes: Mapping[str, np.ndarray]) -> dict[str, dict]:
    """Returns {"weather": {"rain": {"score", "delta", "examples"}}} for examples that have an attribute in common."""
    found: dict[str, dict] = {}
    for attribute, values in attributes.items():
        for value in np.unique(values):
            members = (values == value)[None].astype(np.float64)
            score, reference = (float(one.scores(members)[0]) for one in (judged, before))
            if np.isfinite(score):
                numbers = {"score": score, "delta": score - reference, "examples": int(members.sum())}
                found.setdefault(attribute, {})[str(value)] = numbers
    return found


def _regressions(
    judged: Evaluation, before: Evaluation, moved: np.ndarray, indices: np.ndarray
) -> list[dict[str, Any]]:
    """Returns examples that lost score, worst first: largest loss, then the outputs that moved most."""
    lost = before.values - judged.values
    worst = [i for i in np.lexsort((-moved, -lost)) if lost[i] > 0][:_SHOWN]
    said = dict(judged.captions)
    if before.captions:
        said["reference_says"] = before.captions["says"]
    return [{"index": int(indices[i])} | {key: words[i] for key, words in said.items()} for i in worst]
