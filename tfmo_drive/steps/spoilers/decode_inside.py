"""Spoils an int8 detector as naive exporters do, boxes in pixels and scores in one output: a control beside the real
rows.

Exporters that put the decoding into the graph join boxes (0..hundreds of pixels) and scores (0..1) at the end. An int8
tensor has one scale: a step is then a pixel or so, and every score becomes 0 or 1.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tfmo_drive.base.keras2 import keras
from tfmo_drive.base.outputs import names
from tfmo_drive.contracts import BadInput, Context, Step
from tfmo_drive.data.detections import BOXES, JOINED, SCORES
from tfmo_drive.networks import detector, fake_quant
from tfmo_drive.training.trained_step import copy


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecodeInside(Step):
    """Puts a float detector's decoding inside it, with one output; a model that has one output stays as it is.

    Raises BadInput for other outputs, and after QuantizeAware.
    """

    def __call__(self, model: keras.Model, context: Context) -> keras.Model:
        fake_quant.refuse_quantize_aware(model, "DecodeInside")
        if len(model.outputs) == 1:
            return copy(model)
        if names(model) != (SCORES, BOXES):
            raise BadInput(f"DecodeInside needs a detector's outputs, scores and boxes, got {', '.join(names(model))}.")
        return detector.joined(copy(model), JOINED)

    def reload(self, model: keras.Model, weights: Path, context: Context) -> keras.Model:
        finished = self(model, context)
        finished.load_weights(str(weights))
        return finished
