"""One array or several by name: handled alike."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from tfmo_drive.base import outputs
from tfmo_drive.base.keras2 import keras

ONE = np.arange(6.0).reshape(3, 2)
SEVERAL = {"b": ONE, "a": {"c": np.arange(3)}}


def test_names_are_the_layers_own_whatever_wraps_them():
    wrapped = ["quant_scores", "prune_low_magnitude_scores", "cluster_scores", "quant_cluster_scores", "scores"]
    assert {outputs.bare(name) for name in wrapped} == {"scores"}
    assert outputs.bare("my_quant_scores") == "my_quant_scores"


def test_a_models_outputs_come_by_name_in_its_order():
    inputs = keras.Input((2,))
    ends = [keras.layers.Dense(count, name=name)(inputs) for name, count in (("quant_z", 1), ("a", 2))]
    model = keras.Model(inputs, ends)
    assert outputs.names(model) == ("z", "a")
    named = outputs.named(model, model(ONE))
    assert list(named) == ["z", "a"] and [one.shape[1] for one in named.values()] == [1, 2]
    single = keras.Model(inputs, ends[0])
    assert outputs.named(single, single(ONE)).shape == (3, 1)


def test_by_name_refuses_another_count():
    assert outputs.by_name(("a",), [1]) == 1 and outputs.by_name(("a", "b"), [1, 2]) == {"a": 1, "b": 2}
    with pytest.raises(ValueError):
        outputs.by_name(("a",), [1, 2])


def test_each_keeps_the_form_and_meets_equal_names():
    doubled = outputs.each(lambda a, b: a + b, SEVERAL, dict(reversed(SEVERAL.items())))
    assert list(doubled) == ["b", "a"] and doubled["a"]["c"].tolist() == [0, 2, 4]
    np.testing.assert_array_equal(outputs.each(lambda a: a * 2, ONE), ONE * 2)


def test_batches_are_joined_and_examples_picked():
    parts = [outputs.at(SEVERAL, [0, 1]), outputs.at(SEVERAL, [2])]
    joined = outputs.joined(parts)
    np.testing.assert_array_equal(joined["b"], ONE)
    np.testing.assert_array_equal(joined["a"]["c"], SEVERAL["a"]["c"])
    np.testing.assert_array_equal(outputs.joined([ONE[:1], ONE[1:]]), ONE)
    assert outputs.at(SEVERAL, 1)["a"]["c"] == 1


def test_distances_are_summed_over_all_outputs_of_an_example():
    other = {"b": ONE + [[1, 0], [0, -2], [0, 0]], "a": {"c": np.array([0, 1, 7])}}
    assert outputs.distance(SEVERAL, other).tolist() == [1, 2, 5]
    assert outputs.distance(ONE, ONE + 1).tolist() == [2, 2, 2]


def test_outputs_of_another_form_are_at_no_distance():
    """A naive export's only output beside the reference's two: judged alike, but nothing can be subtracted."""
    assert outputs.distance(ONE, SEVERAL).tolist() == outputs.distance(SEVERAL, ONE).tolist() == [0, 0, 0]


def test_agreement_is_the_share_of_equal_decisions_output_by_output():
    assert outputs.agreement(np.array([1, 2, 3, 4]), np.array([1, 2, 3, 5])) == 0.75
    ours, theirs = {"a": np.array([1, 2]), "b": np.zeros((2, 4))}, {"a": np.array([1, 0]), "b": np.zeros((2, 4))}
    assert outputs.agreement(ours, theirs) == 0.75


def test_a_nest_is_flat_in_the_order_of_its_names():
    assert outputs.flat({"b": [1, (2, 3)], "a": {"d": 4, "c": 5}}) == [5, 4, 1, 2, 3]
    assert outputs.flat(7) == [7] and outputs.flat([]) == []


def test_outputs_and_the_gallery_need_no_tensorflow():
    code = "import sys, tfmo_drive.scores.gallery, tfmo_drive.base.outputs; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"tensorflow", "tf_keras"} & set(done.stdout.split())
