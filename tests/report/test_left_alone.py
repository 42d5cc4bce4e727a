"""Layers that a step could not change are named in the report, with the reason."""

from __future__ import annotations

from tfmo_drive.base.keras2 import keras
from tfmo_drive.report.provenance import left_alone
from tfmo_drive.steps.channels import Channels

layers = keras.layers


def test_a_layer_that_the_graph_does_not_understand_is_named():
    inputs = keras.Input((8, 8, 3))
    x = layers.Lambda(lambda values: values * 2, name="doubled")(layers.Conv2D(4, 1)(inputs))
    model = keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))
    found = Channels().left_alone(model)
    assert found == {"doubled": "Lambda is not understood here"}
    section = left_alone({"stages": [{"name": "1_channels", "recipe": "narrow", "left_alone": found}, {"name": "2"}]})
    assert [[cell.text for cell in row] for row in section.table.rows] == [["1_channels", "narrow", *found.popitem()]]
    assert left_alone({"stages": [{"name": "1", "left_alone": {}}]}) is None
