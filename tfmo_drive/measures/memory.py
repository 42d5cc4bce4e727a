"""Measures the RAM of one inference: what its activations need at least, and where; an arena can only be larger."""

from __future__ import annotations

import dataclasses
from typing import Any

from tfmo_drive.contracts import Artifact, Context, Measure
from tfmo_drive.measures import live_memory
from tfmo_drive.runtimes import tflite_file


@dataclasses.dataclass(frozen=True)
class Memory(Measure):
    """Measures the bytes of activations that are alive at once.

    Example:
        >>> import tfmo_drive as td
        >>> td.Memory()
        Memory()
    """

    has_section = True

    def __call__(self, artifact: Artifact, reference: Artifact, context: Context) -> dict[str, Any]:
        """Returns activation_bytes, the most that is alive at once, and activation_peak {"bytes", "layer", "held"}.

        The peak names the layer that runs then, and [layer, bytes] of all that is alive. Both are given for `.tflite`
        files whose operators can be seen: a file compiled for an NPU hides them, and its compiler says what it takes.
        """
        if artifact.path.suffix != ".tflite" or "CUSTOM" in tflite_file.operators(artifact.path):
            return {}
        peak = live_memory.peak(artifact.path)
        return {"activation_bytes": peak.bytes, "activation_peak": peak.to_dict()}
