"""Spoils an int8 detector as naive exporters do: boxes in pixels and scores in one output.

It is a control beside the real rows. Exporters that put the decoding into the graph join boxes (0..hundreds of pixels)
and scores (0..1) at the end. An int8 tensor has one scale: a step is then a pixel or so, and every score becomes 0 or
1.
"""

from __future__ import annotations

import dataclasses

from tfmo_drive.base.keras2 import keras
from tfmo_drive.base.outputs import names
from tfmo_drive.contracts import BadInput, Context
from tfmo_drive.data.detections import BOXES, JOINED, SCORES
from tfmo_drive.networks import graph
from tfmo_drive.networks.detectors import centres
from tfmo_drive.surgery.untrained_step import UntrainedStep


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecodeInside(UntrainedStep):
    """Puts a float detector's decoding inside it, with one output; a model that has one output stays as it is.

    Raises BadInput for other outputs.
    """

    def changed(self, model: keras.Model, context: Context) -> keras.Model:
        return graph.copied(self.outline(model))

    def outline(self, model: keras.Model) -> keras.Model:
        if len(model.outputs) == 1:
            return model
        if names(model) != (SCORES, BOXES):
            raise BadInput(f"DecodeInside needs a detector's outputs, scores and boxes, got {', '.join(names(model))}.")
        if len(model.output_shape[0]) != 4:
            raise BadInput("DecodeInside needs maps, as task.detector=Centres has them. Leave it out.")
        return centres.joined(model, JOINED)
