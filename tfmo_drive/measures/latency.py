"""Latency of one image on the runtime that ships, timed in turns with the reference."""

from __future__ import annotations

import dataclasses
from typing import Any

from tfmo_drive.contracts import Artifact, BadInput, Context, Measure
from tfmo_drive.core.latency import interleaved, timed


@dataclasses.dataclass(frozen=True)
class Latency(Measure):
    seconds: float = 2.0

    def __post_init__(self) -> None:
        if not self.seconds > 0:
            raise BadInput(f"Latency.seconds must be above 0, got {self.seconds}.")

    def __call__(self, artifact: Artifact, reference: Artifact, context: Context) -> dict[str, Any]:
        """latency_ms (median), latency_p95_ms, threads, speedup (reference / this), speedup_spread; nothing of what
        cannot be run here."""
        example = context.calibration(1)[0]
        run = artifact.runner(example)
        if run is None:
            return {}
        if artifact is reference:
            own, ratio, spread = timed(run, self.seconds), 1.0, 0.0
        else:
            pair = interleaved(reference.runner(example), run, self.seconds)
            own, ratio, spread = pair.b, pair.ratio, pair.spread
        return {
            "latency_ms": own.median_ms,
            "latency_p95_ms": own.p95_ms,
            "threads": artifact.threads,
            "speedup": ratio,
            "speedup_spread": spread,
        }
