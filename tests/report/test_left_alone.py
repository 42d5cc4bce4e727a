"""Layers that a step could not change are named in the report, with the reason."""

from __future__ import annotations

from tfmo_drive.base.keras2 import keras
from tfmo_drive.report.provenance import skipped_layers
from tfmo_drive.steps.channel_pruning import ChannelPruning

layers = keras.layers


def test_a_layer_that_the_graph_does_not_understand_is_named():
    inputs = keras.Input((8, 8, 3))
    x = layers.Lambda(lambda values: values * 2, name="doubled")(layers.Conv2D(4, 1)(inputs))
    model = keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))
    found = ChannelPruning().skipped_layers(model)
    assert found == {"doubled": "Lambda is not understood here"}
    section = skipped_layers(
        {"stages": [{"name": "1_channels", "recipe": "narrow", "skipped_layers": found}, {"name": "2"}]}
    )
    assert [[cell.text for cell in row] for row in section.table.rows] == [["1_channels", "narrow", *found.popitem()]]
    assert skipped_layers({"stages": [{"name": "1", "skipped_layers": {}}]}) is None
