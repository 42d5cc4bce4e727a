import dataclasses

import numpy as np
import pytest

from tfmo_drive.base.keras2 import tf
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.augmentation import Augmentation, randoms

NOTHING = Augmentation(shift=0, zoom=0, shear_degrees=0, brightness=0, contrast=0)


def pictures(count=3, height=12, width=16):
    return np.random.default_rng(0).uniform(0, 255, (count, height, width, 3)).astype(np.float32)


def applied(augmentation, images, numbers):
    return tf.function(augmentation.apply)(tf.constant(images), tf.constant(numbers, tf.float32)).numpy()


def centred(count=3, **columns):
    """Random numbers that change nothing, but for the given columns."""
    numbers = np.full((count, 16), 0.5, np.float32)
    for column, value in columns.items():
        numbers[:, int(column[1:])] = value
    return numbers


def test_zero_strength_changes_nothing():
    images = pictures()
    assert np.array_equal(applied(NOTHING, images, randoms(0, 0, 3)), images)


@pytest.mark.parametrize("field", ["shift", "zoom", "shear_degrees", "rotation_degrees", "brightness", "contrast"])
def test_the_middle_of_every_range_changes_nothing(field):
    images = pictures()
    augmentation = dataclasses.replace(NOTHING, **{field: 0.5})
    np.testing.assert_allclose(applied(augmentation, images, centred()), images, atol=1e-2)
    assert not np.allclose(applied(augmentation, images, randoms(1, 0, 3)), images, atol=1e-2)


def test_shift_moves_right_and_down_by_its_fraction():
    images = pictures()
    moved = applied(dataclasses.replace(NOTHING, shift=0.25), images, centred(_0=1.0, _1=1.0))  # 4 columns, 3 rows
    np.testing.assert_allclose(moved[:, 3:, 4:], images[:, :-3, :-4], atol=1e-3)
    np.testing.assert_allclose(moved[:, 3:, 0], images[:, :-3, 0], atol=1e-3)  # the border repeats


def test_flip_mirrors_half_of_the_images():
    images = pictures(2)
    flipped = applied(dataclasses.replace(NOTHING, flip=True), images, np.repeat([[0.4], [0.6]], 16, 1))
    np.testing.assert_allclose(flipped[0], images[0, :, ::-1], atol=1e-3)
    np.testing.assert_allclose(flipped[1], images[1], atol=1e-3)


def test_rotation_turns_about_the_centre():
    images = pictures(1, 9, 9)
    turned = applied(dataclasses.replace(NOTHING, rotation_degrees=90), images, centred(1, _4=1.0))
    assert any(np.allclose(turned[0], np.rot90(images[0], k), atol=1e-2) for k in (1, 3))


def test_zoom_enlarges_by_its_factor():
    ramp = np.broadcast_to(np.arange(17, dtype=np.float32)[None, None, :, None] * 10, (1, 17, 17, 3))
    zoomed = applied(dataclasses.replace(NOTHING, zoom=0.25), ramp, centred(1, _2=1.0))
    np.testing.assert_allclose(zoomed[0, 8, :, 0], 80 + (np.arange(17) - 8) * 8, atol=1e-2)


def test_shear_moves_rows_against_one_another():
    ramp = np.broadcast_to(np.arange(17, dtype=np.float32)[None, None, :, None] * 10, (1, 17, 17, 3))
    sheared = applied(dataclasses.replace(NOTHING, shear_degrees=20), ramp, centred(1, _3=1.0))
    step = sheared[0, 9, 8, 0] - sheared[0, 8, 8, 0]
    np.testing.assert_allclose(step, 10 * np.tan(np.radians(20)), atol=1e-2)


def test_brightness_adds_levels_and_contrast_keeps_the_mean():
    images = pictures() / 4 + 90
    brighter = applied(dataclasses.replace(NOTHING, brightness=20), images, centred(_6=1.0))
    np.testing.assert_allclose(brighter, images + 20, atol=1e-3)
    flatter = applied(dataclasses.replace(NOTHING, contrast=0.5), images, centred(_7=0.0))
    means = images.mean((1, 2, 3), keepdims=True)
    np.testing.assert_allclose(flatter, means + (images - means) / 2, atol=1e-3)


def test_downscale_halves_the_resolution_of_its_share():
    images = pictures(2)
    blurred = applied(dataclasses.replace(NOTHING, downscale=0.5), images, np.repeat([[0.4], [0.6]], 16, 1))
    assert blurred[0].std() < 0.8 * images[0].std()
    assert np.array_equal(blurred[1], images[1])


def test_pixels_stay_in_range():
    wild = Augmentation(0.5, 0.5, 40, 180, 255, 1, True, 1)
    changed = applied(wild, pictures(64), randoms(0, 0, 64))
    assert changed.min() >= 0 and changed.max() <= 255 and changed.dtype == np.float32
    assert np.isfinite(changed).all()


def test_an_example_is_changed_alike_in_every_batch():
    images, numbers = pictures(6), randoms(3, 1, 6)
    together = applied(Augmentation(flip=True, downscale=0.5), images, numbers)
    alone = applied(Augmentation(flip=True, downscale=0.5), images[4:5], numbers[4:5])
    np.testing.assert_array_equal(together[4:5], alone)


def test_randoms_are_keyed_by_seed_epoch_and_index():
    numbers = randoms(1, 2, 50)
    assert numbers.shape == (50, 16) and numbers.dtype == np.float32 and 0 <= numbers.min() and numbers.max() < 1
    assert np.array_equal(numbers[:20], randoms(1, 2, 20))
    assert not np.isin(numbers[0], np.concatenate([randoms(1, 3, 50), randoms(2, 2, 50), numbers[1:]])).any()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("shift", 1.0, r"Augmentation.shift must be in \[0, 1\), got 1.0"),
        ("zoom", -0.1, r"Augmentation.zoom must be in \[0, 1\), got -0.1"),
        ("shear_degrees", 90, r"Augmentation.shear_degrees must be in \[0, 90\), got 90"),
        ("brightness", float("nan"), r"Augmentation.brightness must be in \[0, 255\], got nan"),
        ("contrast", 1.5, r"Augmentation.contrast must be in \[0, 1\], got 1.5"),
    ],
)
def test_strengths_out_of_range_are_refused(field, value, message):
    with pytest.raises(BadInput, match=message):
        Augmentation(**{field: value})
