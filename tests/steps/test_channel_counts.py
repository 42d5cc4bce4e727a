"""What a report says of a narrowed network's cost equals TensorFlow's own count of its graph."""

from __future__ import annotations

import numpy as np

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.conversion.freezing import freeze
from tfmo_drive.measures.cost import Cost
from tfmo_drive.steps.channel_pruning import ChannelPruning
from tfmo_drive.targets.litert import LiteRTFloat32

profiler = tf.compat.v1.profiler


def test_macs_and_parameters_of_a_narrowed_network(tiny_task, tiny_baseline, context, tmp_path):
    place = context()
    narrow = ChannelPruning(pruning_ratio=0.5, multiple=1, epochs=0)(tiny_baseline, place)
    artifact = LiteRTFloat32()(narrow, tmp_path, place)

    found = Cost()(artifact, artifact, place)

    graph = freeze(narrow, tiny_task.preprocessing).function.graph
    options = profiler.ProfileOptionBuilder(profiler.ProfileOptionBuilder.float_operation()).with_empty_output()
    kinds = profiler.profile(graph, options=options.build(), cmd="op").children
    multiplied = {one.name: one.float_ops for one in _all(kinds) if one.name in ("Conv2D", "MatMul")}
    assert set(multiplied) == {"Conv2D", "MatMul"}
    assert found["macs"] == sum(multiplied.values()) / 2  # TensorFlow counts a product and a sum
    makers = [layer for layer in narrow.layers if isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense))]
    folded = sum(np.prod(layer.kernel.shape) + layer.kernel.shape[-1] for layer in makers)  # BatchNorm is the bias
    stem = 3 * 3 + 3  # channel order and mean
    assert found["parameters"] - folded in (0, stem)


def _all(nodes):
    for node in nodes:
        yield node
        yield from _all(node.children)
