"""Counts what the file's graph costs, from the file itself: parameters, non-zeros, multiply-accumulates, sparsity."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from tfmo_drive.contracts import Artifact, Context, Measure
from tfmo_drive.runtimes.tflite_file import FOLDED

_KERNEL = "/kernel"


@dataclasses.dataclass(frozen=True)
class Cost(Measure):
    """Counts the parameters, non-zeros, multiply-accumulates and zeros in each layer of a file.

    Example:
        >>> import tfmo_drive as td
        >>> td.Cost()
        Cost()
    """

    has_section = True

    def __call__(self, artifact: Artifact, reference: Artifact, context: Context) -> dict[str, Any]:
        """Returns parameters, nonzero_parameters, macs and layer_sparsity {layer: fraction of zeros in its kernel}.

        A stored 0 is a true zero: integer weights are symmetric, their zero point is 0 (runtimes.tflite_file). The
        folded preprocessing, mostly zeros by nature, is none of the layers.
        """
        weights = artifact.weights()
        return {
            "parameters": sum(values.size for values in weights.values()),
            "nonzero_parameters": sum(int(np.count_nonzero(values)) for values in weights.values()),
            "macs": artifact.macs(),
            "layer_sparsity": {
                name.removesuffix(_KERNEL): 1 - np.count_nonzero(values) / values.size
                for name, values in weights.items()
                if name.endswith(_KERNEL) and name != FOLDED + _KERNEL
            },
        }
