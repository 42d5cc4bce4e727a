"""Says whether the float baseline is worth anything, in commands that write no report which would say it."""

from __future__ import annotations

import numpy as np
from absl import logging

from tfmo_drive.contracts import Context

EXAMPLES = 500


def warn(context: Context, split: str, count: int = EXAMPLES) -> None:
    """Warns in one line where the baseline is not better than the trivial answer.

    It changes no exit code: `run` alone judges, by its expectations.

    Args:
        context: Gives the task, the baseline and the seed.
        split: The split whose examples are scored.
        count: The most examples that are scored, sampled by the seed.
    """
    from tfmo_drive.measures.accuracy import over_trivial
    from tfmo_drive.report import worth
    from tfmo_drive.scores.statistics import resampled
    from tfmo_drive.training.scoring import Scorer

    indices = sampled(context, split, count)
    said, targets = Scorer(context.baseline, context.task).said(split, indices)
    groups, judged = context.task.examples(split).groups[indices], context.task.evaluate(said, targets)
    row = {"name": f"the float model, on {len(indices):,} examples of {split},", "score": judged.score}
    row |= over_trivial(
        context.task, judged, targets, resampled(judged.scores, groups, context.seed),
        lambda scores: resampled(scores, groups, context.seed),
    )  # fmt: skip
    for doubt in worth.doubts({"rows": [row]}):
        logging.warning("%s", doubt)


def sampled(context: Context, split: str, count: int) -> np.ndarray:
    """Returns int64 [n] indices of at most `count` examples of the split, sampled by the seed, in order."""
    whole = len(context.task.examples(split))
    return np.sort(np.random.default_rng([context.seed, 0x5E45]).permutation(whole)[:count])
