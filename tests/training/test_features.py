"""Learning from a teacher's feature maps: losses by hand, which maps are paired, adapters that go on after a kill."""

from __future__ import annotations

import numpy as np
import pytest

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.contracts import BadInput
from tfmo_drive.networks import networks
from tfmo_drive.networks.backbones import ResNet
from tfmo_drive.steps.channel_pruning import ChannelPruning
from tfmo_drive.steps.distill import Distill
from tfmo_drive.steps.quantize_aware import QuantizeAware
from tfmo_drive.training import distillation, trained_step
from tfmo_drive.training.distillation import Distiller, Features, SoftLabels

SHORT = {"epochs": 2, "batch_size": 64}


def test_losses_by_hand():
    student, teacher = (np.float32(values).reshape(1, 1, 2, 2) for values in ([1, 2, 3, 4], [1, 0, 3, 0]))
    assert float(distillation.hint_loss(student, teacher)) == pytest.approx((4 + 16) / (1 + 9))
    # Attention: (5, 25) / 2 and (1, 9) / 2, each to length 1.
    one, other = np.array([5, 25]) / np.hypot(5, 25), np.array([1, 9]) / np.hypot(1, 9)
    assert float(distillation.attention_loss(student, teacher)) == pytest.approx(((one - other) ** 2).sum(), rel=1e-4)


def test_equal_networks_have_nothing_to_learn(tiny_baseline, tiny_task):
    for kind in ("hint", "attention"):
        labels = SoftLabels(features=Features(kind=kind))
        taught = Distiller(trained_step.copy(tiny_baseline), tiny_task, labels, tiny_baseline)
        batch = tf.random.uniform([2, 32, 32, 3]) * 100
        _, *maps = taught.watched(batch, training=False)
        assert len(maps) >= 2
        assert float(taught.feature_loss(maps, batch)) == pytest.approx(0, abs=1e-9)
        assert len(taught.learnt) == len(tiny_baseline.trainable_variables), "equal channels need no adapter"


@pytest.fixture(scope="module")
def two_blocks():
    """An untrained network with maps of three sizes."""
    return networks.build(ResNet(blocks=(1, 1), width=0.25), 32, 9)


def test_the_last_maps_of_each_common_size_are_paired(two_blocks):
    pairs = distillation.paired_maps(two_blocks, two_blocks, ())
    assert all(one is other for one, other in pairs)
    assert [one.shape[1] for one, _ in pairs] == [16, 8, 4]
    assert any(one is two_blocks.get_layer("conv3_block1_out").output for one, _ in pairs)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ((("conv2_block1_ou", "conv2_block1_out"),), 'Did you mean "conv2_block1_out"'),
        ((("conv2_block1_out", "conv3_block1_out"),), "are 8 x 8 and 4 x 4. Name maps of equal size"),
    ],
)
def test_pairs_that_cannot_be_compared_are_refused(pairs, message, two_blocks):
    with pytest.raises(BadInput, match=message):
        distillation.paired_maps(two_blocks, two_blocks, pairs)


@pytest.mark.parametrize("kind", ["hint", "attention"])
def test_a_narrower_student_comes_nearer_to_its_teachers_maps(kind, tiny_baseline, tiny_task):
    student = networks.build(ResNet(blocks=(1, 1), width=0.125), 32, 9)
    labels = SoftLabels(features=Features(kind=kind, weight=20.0))
    taught = Distiller(student, tiny_task, labels, tiny_baseline)
    pixels, targets = tiny_task.examples("train").read(np.arange(64))
    pixels = tf.constant(tiny_task.preprocessing(pixels))
    taught.compile(keras.optimizers.legacy.SGD(0.01))
    batch = (pixels, {"hard": targets, "soft": tiny_baseline(pixels, training=False)})

    def distance() -> float:
        return float(taught.feature_loss(tf.nest.flatten(taught.watched(pixels, training=True))[1:], pixels))

    before = distance()
    taught.fit(tf.data.Dataset.from_tensors(batch).repeat(20), verbose=0)
    assert distance() < 0.8 * before
    adapters = len(taught.learnt) - len(student.trainable_variables)
    assert adapters == (len(distillation.paired_maps(student, tiny_baseline, ())) if kind == "hint" else 0)


def test_adapters_go_on_after_a_kill(tiny_baseline, context, monkeypatch):
    student = ResNet(blocks=(1, 1), width=0.125)
    step = Distill(
        student=student, distill=SoftLabels(augmented_copies=1, features=Features()), learning_rate=0.02, **SHORT
    )
    expected = step(tiny_baseline, context()).get_weights()
    place, run = context(), trained_step._Loop.run

    def killed(loop, epoch):
        if epoch == 1:
            raise KeyboardInterrupt
        run(loop, epoch)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(trained_step._Loop, "run", killed)
        step(tiny_baseline, place)
    for ours, wanted in zip(step(tiny_baseline, place).get_weights(), expected, strict=True):
        np.testing.assert_array_equal(ours, wanted)


@pytest.mark.parametrize("kind", [ChannelPruning, QuantizeAware], ids=lambda kind: kind.__name__)
def test_compressed_models_learn_from_the_maps_they_had(kind, tiny_baseline, context):
    step = kind(distill=SoftLabels(augmented_copies=1, features=Features()), epochs=1, batch_size=64)
    made = step(tiny_baseline, context())
    assert all(np.isfinite(value).all() for value in made.get_weights())
