"""Corruptions: the same pixels for every file that is compared, worse with severity, and the arithmetic by hand."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st

from tfmo_drive.contracts import BadInput
from tfmo_drive.data.images import decode
from tfmo_drive.measures.corruptions import _KINDS, CORRUPTIONS, SEVERITIES, _blurred, _kernel, corrupt
from tfmo_drive.scenes import scenes

EVERY_KIND = pytest.mark.parametrize("name", CORRUPTIONS)


def drawn(count, size):
    return np.stack([scenes.draw(5, index, size).image for index in range(count)])


@pytest.fixture(scope="module")
def frames():
    return drawn(12, (48, 64))


def mean_change(images, corrupted):
    return np.abs(corrupted.astype(float) - images).mean()


def test_the_kinds_and_their_order():
    assert CORRUPTIONS == ("gaussian_noise", "motion_blur", "defocus", "brightness", "contrast", "fog", "rain", "jpeg",
                           "occlusion")  # fmt: skip
    assert all(len(strengths) == len(SEVERITIES) for _, strengths in _KINDS.values())


@EVERY_KIND
@pytest.mark.parametrize("size", [(32, 32), (33, 71), (96, 40)])
def test_any_size_from_32_px_works_and_the_argument_stays(name, size):
    images = drawn(2, size)
    before = images.copy()
    for severity in SEVERITIES:
        corrupted = corrupt(images, name, severity, 0, np.arange(2))
        assert corrupted.shape == images.shape and corrupted.dtype == np.uint8
        assert not np.shares_memory(corrupted, images) and not np.array_equal(corrupted, images)
    assert np.array_equal(images, before)


@EVERY_KIND
def test_a_higher_severity_changes_more(name, frames):
    changes = [mean_change(frames, corrupt(frames, name, severity, 0, np.arange(12))) for severity in SEVERITIES]
    assert changes[0] > 0 and np.all(np.diff(changes) > 0.01 * changes[0]), changes


@EVERY_KIND
@given(st.permutations(range(6)), st.integers(1, 6), st.sampled_from(SEVERITIES))
@settings(max_examples=5, deadline=None)
def test_an_example_does_not_depend_on_its_place_or_its_batch(name, order, count, severity):
    images = drawn(6, (32, 48))
    whole = corrupt(images, name, severity, 3, np.arange(6))
    some = np.array(order[:count])
    assert np.array_equal(corrupt(images[some], name, severity, 3, some), whole[some])


@pytest.mark.parametrize("name", ["gaussian_noise", "motion_blur", "fog", "rain", "occlusion"])
def test_random_kinds_differ_by_seed_and_by_example(name, frames):
    same = np.repeat(frames[:1], 2, axis=0)
    first, second = corrupt(same, name, 3, 0, np.array([7, 8]))
    (other,) = corrupt(same[:1], name, 3, 1, np.array([7]))
    assert not np.array_equal(first, second) and not np.array_equal(first, other)


@EVERY_KIND
def test_images_of_one_grey_level_pass(name):
    for level in (0, 128, 255):
        corrupted = corrupt(np.full((1, 32, 40, 3), level, np.uint8), name, 5, 0, np.arange(1))
        if name in ("motion_blur", "defocus", "contrast", "jpeg"):
            assert np.all(corrupted == level)


def test_noise_has_the_deviation_of_its_table():
    grey = np.full((1, 200, 200, 3), 128, np.uint8)
    noise = corrupt(grey, "gaussian_noise", 1, 0, np.arange(1)).astype(float) - 128
    assert noise.mean() == pytest.approx(0, abs=0.3) and noise.std() == pytest.approx(0.08 * 255, rel=0.01)


def test_brightness_raises_the_largest_channel_and_keeps_the_hue():
    pixels = np.array([[[[100, 50, 0], [0, 0, 0], [250, 125, 25]]]], np.uint8)
    raised = corrupt(pixels, "brightness", 2, 0, np.arange(1))
    assert raised.tolist() == [[[[151, 76, 0], [51, 51, 51], [255, 128, 26]]]]  # 0.2 x 255 = 51


def test_contrast_shrinks_about_the_mean_of_each_channel():
    pixels = np.array([[[[0, 10, 200], [100, 30, 200]]]], np.uint8)
    assert corrupt(pixels, "contrast", 1, 0, np.arange(1)).tolist() == [[[[30, 16, 200], [70, 24, 200]]]]


def test_occlusion_hides_one_square_and_a_larger_one_covers_it():
    black, before = np.zeros((1, 40, 60, 3), np.uint8), np.zeros((40, 60), bool)
    for severity, side in zip(SEVERITIES, (4, 8, 12, 16, 20), strict=True):
        hidden = corrupt(black, "occlusion", severity, 0, np.array([4]))[0].any(axis=-1)
        assert hidden.sum() == side**2 and hidden.any(0).sum() == hidden.any(1).sum() == side
        assert (hidden & before).sum() == before.sum()
        before = hidden


@pytest.mark.parametrize("name", ["motion_blur", "defocus"])
def test_blur_keeps_a_point_of_light_where_it_was_and_scales_with_the_image(name):
    spreads = []
    for side in (101, 203):
        images = np.zeros((1, side, side, 3), np.uint8)
        images[0, side // 2, side // 2] = 255
        lit = np.maximum(corrupt(images, name, 1, 0, np.arange(1))[0, ..., 0].astype(float), 0)
        places = np.argwhere(lit) - side // 2
        assert np.average(places, axis=0, weights=lit[lit > 0]) == pytest.approx((0, 0), abs=0.4)
        spreads.append(np.average((places**2).sum(axis=1), weights=lit[lit > 0]) ** 0.5)
    assert spreads[1] == pytest.approx(2 * spreads[0], rel=0.25)


def test_kernels_share_a_point_among_its_nearest_pixels():
    kernel = _kernel(np.array([[0.25, -0.5]]), np.ones(1))
    expected = np.zeros((5, 5))
    expected[2, 1:3] = 0.375
    expected[3, 1:3] = 0.125
    assert np.allclose(kernel, expected)


@given(st.integers(0, 1000), st.integers(0, 5))
@settings(max_examples=20, deadline=None)
def test_the_transform_agrees_with_a_plain_convolution(seed, reach):
    generator = np.random.default_rng(seed)
    image = generator.uniform(0, 255, (11, 17, 3)).astype(np.float32)
    kernel = generator.random((2 * reach + 1,) * 2, np.float32)
    expected = scipy.ndimage.convolve(image, kernel[..., None], mode="mirror")
    assert np.allclose(_blurred(image, kernel / kernel.sum()), expected / kernel.sum(), atol=1e-3)


def test_fog_takes_contrast_and_rain_leaves_most_of_it(frames):
    def kept(name, severity):
        return corrupt(frames, name, severity, 0, np.arange(12)).std() / frames.std()

    assert kept("fog", 1) < 0.6 and kept("rain", 1) > 0.85


def test_what_is_misspelt_is_named():
    images = np.zeros((1, 32, 32, 3), np.uint8)
    with pytest.raises(BadInput, match='no corruption "gausian_noise". Did you mean "gaussian_noise"?'):
        corrupt(images, "gausian_noise", 1, 0, np.arange(1))
    with pytest.raises(BadInput, match="severity of a corruption must be in 1..5, got 6"):
        corrupt(images, "fog", 6, 0, np.arange(1))


@pytest.mark.real
@EVERY_KIND
def test_severity_is_monotone_on_camvid(name, shared):
    files = sorted((shared / "data" / "camvid" / "val").glob("*.jpg"))[:12]
    images = np.stack([decode(file, (96, 128)) for file in files])
    changes = [mean_change(images, corrupt(images, name, severity, 0, np.arange(12))) for severity in SEVERITIES]
    assert np.all(np.diff(changes) > 0), changes
