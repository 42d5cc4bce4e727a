"""Times one image on the runtime that ships, in turns with the reference, on one thread and on two."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from tfmo_drive.base.outputs import at
from tfmo_drive.contracts import Artifact, BadInput, Context, Measure
from tfmo_drive.runtimes.timed_turns import Latency as Timed
from tfmo_drive.runtimes.timed_turns import in_turns, ratio


@dataclasses.dataclass(frozen=True)
class Latency(Measure):
    """Measures latency in turns with the reference; `seconds` is the time for all the turns of one row, roughly.

    Example:
        >>> import tfmo_drive as td
        >>> td.Latency()
        Latency(seconds=2.0)
    """

    seconds: float = 2.0

    timed = True
    has_section = True

    def __post_init__(self) -> None:
        if not 0 < self.seconds < math.inf:
            raise BadInput(f"Latency.seconds must be above 0, and not without end, got {self.seconds}.")

    def __call__(self, artifact: Artifact, reference: Artifact, context: Context) -> dict[str, Any]:
        """Returns all of base.speed.KEYS that can be measured here, every one from the same turns.

        It returns {} where the file cannot run on its own number of threads here.

        latency_ms (median), latency_p95_ms, reference_latency_ms and speedup (their ratio) are on the artifact's own
        `threads`; those ending in _1 and _2 on one thread and on two; speedup_best is each on what suits it best.
        Spreads are (largest - smallest) / median over five repeats.
        """
        example = at(context.calibration(1), 0)
        counts = sorted({1, 2, artifact.threads})
        own = {count: artifact.runner(example, count) for count in counts}
        if own[artifact.threads] is None:
            return {}
        theirs = own if artifact is reference else {count: reference.runner(example, count) for count in counts}
        runs = [run for run in dict.fromkeys((*own.values(), *theirs.values())) if run]
        times = dict(zip(runs, in_turns(runs, self.seconds), strict=True))
        own, theirs = ({count: times[run] for count, run in side.items() if run} for side in (own, theirs))
        found = own[artifact.threads]
        row = {
            "latency_spread": found.spread, "latency_p95_ms": found.p95_ms,
            "latency_p95_spread": found.p95_spread, **_compared("", found, theirs.get(artifact.threads)),
        }  # fmt: skip
        for count in (1, 2):
            row |= _compared(f"_{count}", own.get(count), theirs.get(count))
        fastest = [min(side.values(), key=lambda one: one.median_ms) for side in (theirs, own) if side]
        if len(fastest) == 2:
            row["speedup_best"], row["speedup_best_spread"] = ratio(*fastest)
        return row


def _compared(end: str, own: Timed | None, theirs: Timed | None) -> dict[str, float]:
    """Returns the medians that there are, and their ratio where there are both."""
    row = {f"latency_ms{end}": own.median_ms} if own else {}
    row |= {f"reference_latency_ms{end}": theirs.median_ms} if theirs else {}
    if own and theirs:
        row[f"speedup{end}"], row[f"speedup{end}_spread"] = ratio(theirs, own)
    return row
