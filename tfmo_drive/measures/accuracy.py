"""Score of the file that ships, with its interval, and what changed against the reference on the same examples."""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np
from tqdm import tqdm

from tfmo_drive.contracts import Artifact, BadInput, Context, Examples, Judgement, Measure
from tfmo_drive.core.statistics import interval, paired

_BATCH = 64
_SHOWN = 24
"""Regressions kept for the contact sheet."""

_outputs: weakref.WeakKeyDictionary[Artifact, dict[tuple, np.ndarray]] = weakref.WeakKeyDictionary()


@dataclasses.dataclass(frozen=True)
class Accuracy(Measure):
    """limits: row, target or runtime name -> how many seeded examples a slow runtime is judged on."""

    split: str = "test"
    limits: Mapping[str, int] = dataclasses.field(default_factory=lambda: {"litert_int16x8": 200})

    def __post_init__(self) -> None:
        if self.split not in ("train", "val", "test"):
            raise BadInput(f'Accuracy.split must be train, val or test, got "{self.split}".')
        for name, count in self.limits.items():
            if count < 1:
                raise BadInput(f"Accuracy.limits.{name} must be at least 1, got {count}.")

    def __call__(self, artifact: Artifact, reference: Artifact, context: Context) -> dict[str, Any]:
        """score, score_delta, each with _low and _high; agreement, examples, per_class, regressions, the task's more.

        Deltas are paired: the reference is judged on the same examples, and its outputs are computed once.
        """
        examples = context.task.examples(self.split)
        indices = self._indices(artifact, len(examples), context.seed)
        targets = _targets(examples, indices)
        theirs = _run(reference, examples, np.arange(len(examples)), self._key(context))[indices]
        ours = theirs if artifact is reference else _run(artifact, examples, indices)
        judged, before = context.task.judge(ours, targets), context.task.judge(theirs, targets)
        groups = examples.groups[indices]
        low, high = interval(judged.values, groups, context.seed)
        change = paired(judged.values, before.values, groups, context.seed)
        row = {
            **judged.more,
            "score": float(judged.values.mean()),
            "score_low": low,
            "score_high": high,
            "score_delta": change.delta,
            "score_delta_low": change.low,
            "score_delta_high": change.high,
            "agreement": _agreement(judged.decisions, before.decisions),
            "examples": len(indices),
            "per_class": _per_class(judged, before),
            "regressions": _regressions(judged, before, np.abs(ours - theirs), targets, indices, context),
        }
        return row if len(indices) == len(examples) else {**row, "subset": _subset(len(indices), len(examples))}

    def _indices(self, artifact: Artifact, count: int, seed: int) -> np.ndarray:
        names = (artifact.name, artifact.name.split("/")[-1], artifact.runtime)
        limit = next((self.limits[name] for name in names if name in self.limits), count)
        if limit >= count:
            return np.arange(count)
        return np.sort(np.random.default_rng([seed, 0x5B5E7]).permutation(count)[:limit])

    def _key(self, context: Context) -> tuple:
        return repr(context.task), self.split


def _run(artifact: Artifact, examples: Examples, indices: np.ndarray, key: tuple | None = None) -> np.ndarray:
    """Outputs for the examples at `indices`; kept for as long as the artifact lives where `key` is given."""
    kept = _outputs.setdefault(artifact, {}) if key else {}
    if key not in kept:
        parts = [indices[start : start + _BATCH] for start in range(0, len(indices), _BATCH)]
        progress = tqdm(parts, desc=artifact.name, unit=f"x{_BATCH} examples", disable=None, leave=False)
        kept[key] = np.concatenate([artifact.predict(examples.read(part)[0]) for part in progress])
    return kept[key]


def _targets(examples: Examples, indices: np.ndarray) -> np.ndarray:
    parts = [indices[start : start + _BATCH] for start in range(0, len(indices), _BATCH)]
    return np.concatenate([examples.read(part)[1] for part in parts])


def _subset(count: int, whole: int) -> str:
    return f"{count:,} of {whole:,}, seeded"


def _agreement(ours: np.ndarray, theirs: np.ndarray) -> float:
    same = np.asarray(ours) == np.asarray(theirs)
    return float(same.reshape(len(same), -1).all(axis=1).mean())


def _per_class(judged: Judgement, before: Judgement) -> dict[str, dict[str, float]]:
    return {
        name: {**numbers, "delta": numbers["score"] - before.per_class[name]["score"]}
        for name, numbers in judged.per_class.items()
    }


def _regressions(
    judged: Judgement,
    before: Judgement,
    moved: np.ndarray,
    targets: np.ndarray,
    indices: np.ndarray,
    context: Context,
) -> list[dict[str, Any]]:
    """Examples that lost score, worst first: largest loss, then the outputs that moved most."""
    lost = before.values - judged.values
    distance = moved.reshape(len(moved), -1).sum(axis=1)
    worst = [i for i in np.lexsort((-distance, -lost)) if lost[i] > 0][:_SHOWN]
    labels = context.task.metadata(context.baseline).get("labels")
    return [
        {
            "index": int(indices[i]),
            "truth": _say(targets[i], labels),
            "reference_says": _say(before.decisions[i], labels),
            "says": _say(judged.decisions[i], labels),
        }
        for i in worst
    ]


def _say(value: Any, labels: list[str] | None) -> str:
    """A class by its name; other decisions (angles, boxes) as they print."""
    value = np.asarray(value)
    if labels and value.ndim == 0 and np.issubdtype(value.dtype, np.integer) and 0 <= value < len(labels):
        return labels[int(value)]
    return np.array2string(value, precision=3, threshold=8)
