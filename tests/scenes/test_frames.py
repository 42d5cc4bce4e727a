"""Built-in frames as examples: one truth for boxes, masks, lane lines and steering."""

from __future__ import annotations

import numpy as np
import pytest

from tfmo_drive.contracts import BadInput
from tfmo_drive.data.detections import truths
from tfmo_drive.scenes import scenes
from tfmo_drive.scenes.frames import DETECTED, LANES, MASKS, SIGN, Chosen, Frames, generated, truth

SIZE = (64, 96)
FRAMES = Frames(train=16, val=16, test=16)


@pytest.fixture(scope="module")
def packed(cache):
    return FRAMES.packed("val", SIZE)


def test_a_packed_frame_is_the_drawn_one_with_all_its_truth(packed):
    pixels, targets = packed.read(np.array([3, 0]))
    for place, index in enumerate((3, 0)):
        scene = scenes.draw(1, index, SIZE)  # val is the second set of seed 0
        assert np.array_equal(pixels[place], scene.image) and np.array_equal(targets["mask"][place], scene.mask)
        assert targets["steering"][place, 0] == np.float32(scene.steering)
        (known,) = truths({name: targets[name][place : place + 1] for name in ("boxes", "classes", "crowd", "areas")})
        np.testing.assert_allclose(known.boxes, [thing.box for thing in scene.objects])
        assert packed.attributes["weather"][index] == scene.weather
        assert packed.attributes["time of day"][index] == scene.time_of_day
    assert targets["boxes"].shape[1] == 40 and targets["steering"].dtype == np.float32


def test_signs_are_one_class_and_what_is_hardly_seen_is_a_crowd():
    found = [(truth(scene), scene) for scene in (scenes.draw(0, index, (120, 200)) for index in range(20))]
    kinds = set()
    for known, scene in found:
        for label, crowd, area, thing in zip(known.classes, known.crowd, known.areas, scene.objects, strict=True):
            name = DETECTED[label]
            assert name == thing.kind if name != SIGN else thing.kind not in DETECTED
            height, width = thing.box[3] - thing.box[1], thing.box[2] - thing.box[0]
            assert crowd == (thing.visible < 0.3 or height < 4) and area == pytest.approx(height * width)
            kinds.add((name, bool(crowd)))
    assert {name for name, _ in kinds} == set(DETECTED) and {True, False} == {crowd for _, crowd in kinds}


def test_splits_and_masks_are_different_sets(packed):
    first = {split: FRAMES.packed(split, SIZE).read(np.arange(1))[0].tobytes() for split in ("train", "val", "test")}
    assert len(set(first.values())) == 3
    lanes = FRAMES.packed("val", SIZE, "lanes")
    assert lanes.fingerprint != packed.fingerprint
    assert np.array_equal(lanes.read(np.arange(16))[0], packed.read(np.arange(16))[0])
    shown = lanes.read(np.arange(16))[1]["mask"]
    assert set(np.unique(shown)) == {0, 1} and len(LANES) == 2 and MASKS["lanes"] == LANES
    assert np.array_equal(shown[2], scenes.draw(1, 2, SIZE).lanes > 0)


def test_another_seed_gives_other_frames():
    one, other = (generated(1000 * seed, 0, SIZE, "semantic").pixels for seed in (0, 1))
    assert not np.array_equal(one, other)


def test_targets_can_be_chosen(packed):
    chosen = Chosen(packed, lambda targets: targets["steering"])
    pixels, steering = chosen.read(np.array([5]))
    assert np.array_equal(pixels, packed.read(np.array([5]))[0]) and steering.shape == (1, 1)
    assert len(chosen) == 16 and chosen.fingerprint == packed.fingerprint and chosen.groups is packed.groups
    assert chosen.attributes is packed.attributes


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_too_few_frames_are_refused(split):
    with pytest.raises(BadInput, match=f"^Frames.{split} must be at least 16, got 15.$"):
        Frames(**{split: 15})
