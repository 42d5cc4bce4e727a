import io

import numpy as np
import pytest
from PIL import Image

from tfmo_drive.contracts import BadInput
from tfmo_drive.core.images import FITS, PREPROCESSINGS, RULES, Resize, UnreadableImage, decode, preprocessing


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def encoded(image, kind="PNG", **options):
    stream = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(stream, kind, **options)
    return stream.getvalue()


def test_pixels_of_the_right_size_are_untouched():
    pixels = noise(7, 5)
    for rule in RULES:
        for fit in FITS:
            assert np.array_equal(decode(encoded(pixels), (7, 5), Resize(rule, fit)), pixels)


@pytest.mark.parametrize("size", [(4, 6), (13, 29), (50, 40)])
def test_bilinear_without_antialias_is_the_half_pixel_formula(size):
    pixels = noise(20, 16)
    rows = np.clip((np.arange(size[0]) + 0.5) * 20 / size[0] - 0.5, 0, 19)
    columns = np.clip((np.arange(size[1]) + 0.5) * 16 / size[1] - 0.5, 0, 15)
    top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
    down, right = np.minimum(top + 1, 19), np.minimum(left + 1, 15)
    y, x = (rows - top)[:, None, None], (columns - left)[None, :, None]
    p = pixels.astype(float)
    above = p[top][:, left] * (1 - x) + p[top][:, right] * x
    below = p[down][:, left] * (1 - x) + p[down][:, right] * x
    expected = above * (1 - y) + below * y
    got = decode(encoded(pixels), size, Resize("bilinear"))
    rounding = expected - got  # Pillow rounds down
    assert rounding.min() > -1e-6 and rounding.max() < 1 + 1e-6


def test_antialias_averages_what_the_plain_rule_skips():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::8] = 255  # one bright column in eight
    antialiased = decode(encoded(stripes), (8, 8), Resize("bilinear_antialias"))
    assert np.abs(antialiased.astype(int) - 32).max() < 24
    assert decode(encoded(stripes), (8, 8), Resize("bilinear")).max() == 0


def test_center_crop_keeps_the_shape_of_things_and_drops_the_sides():
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 200
    assert (decode(encoded(wide), (10, 10), Resize(fit="center_crop")) == 200).all()


def test_center_crop_never_asks_for_more_than_the_image():
    for rows, height in ((28, 41), (21, 97), (22, 49)):
        assert height / (height / rows) > rows  # in floats
        pixels = np.full((rows, 24, 3), 7, np.uint8)
        assert (decode(encoded(pixels), (height, 24), Resize(fit="center_crop")) == 7).all()


def test_letterbox_keeps_everything_and_pads_with_grey():
    got = decode(encoded(np.full((10, 20, 3), 9, np.uint8)), (20, 20), Resize(fit="letterbox"))
    assert (got[:5] == 114).all() and (got[15:] == 114).all() and (got[5:15] == 9).all()


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "CMYK", "1"])
def test_every_colour_mode_becomes_rgb(mode):
    image = Image.new("RGB", (6, 4), (255, 255, 255)).convert(mode)
    kind = "TIFF" if mode == "CMYK" else "PNG"
    got = decode(encoded(image, kind), (4, 6))
    assert got.shape == (4, 6, 3) and got.dtype == np.uint8 and (got == 255).all()


def test_sixteen_bit_grey_is_scaled_and_not_clipped():
    deep = Image.fromarray(np.full((4, 4), 0x4080, np.uint16))
    assert (decode(encoded(deep), (4, 4)) == 0x40).all()


def test_exif_orientation_is_applied():
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:, :8] = 250  # left half bright
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned 90 degrees clockwise: left becomes top
    got = decode(encoded(pixels, "JPEG", quality=100, exif=exif), (16, 8))
    assert got[:7].min() > 200 and got[9:].max() < 50


def test_unreadable_files_are_named_with_a_reason(tmp_path):
    whole = encoded(noise(64, 64), "JPEG")
    files = {"cut.jpg": whole[: len(whole) // 2], "text.png": b"hello", "empty.png": b""}
    reasons = {"cut.jpg": "truncated", "text.png": "not an image", "empty.png": "not an image"}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UnreadableImage, match=name) as caught:
            decode(tmp_path / name, (8, 8))
        assert reasons[name] in caught.value.reason
        assert "\n" not in str(caught.value)
    with pytest.raises(BadInput, match="gone.png cannot be read: no such file"):
        decode(tmp_path / "gone.png", (8, 8))


@pytest.mark.parametrize("cut", range(0, 200, 7))
def test_a_png_cut_anywhere_is_bad_input(cut):
    whole = encoded(noise(8, 8))
    with pytest.raises(BadInput):
        decode(whole[:cut], (8, 8))


def test_resize_travels_through_metadata():
    for rule in RULES:
        for fit in FITS:
            assert Resize.from_dict(Resize(rule, fit, 3).to_dict()) == Resize(rule, fit, 3)
    with pytest.raises(BadInput, match='Did you mean "rule"'):
        Resize.from_dict({"rul": "nearest"})


def test_unknown_rules_are_refused_with_the_nearest():
    with pytest.raises(BadInput, match='Resize.rule .* "bilinar". Did you mean "bilinear"'):
        Resize("bilinar")
    with pytest.raises(BadInput, match='no preprocessing "tourch". Did you mean "torch"'):
        preprocessing("tourch")


@pytest.mark.parametrize("name", ["caffe", "tf", "torch"])
def test_preprocessings_are_those_of_keras(name):
    from tfmo_drive.core.keras2 import keras

    pixels = noise(5, 4).astype(np.float32)
    expected = keras.applications.imagenet_utils.preprocess_input(pixels.copy(), mode=name)
    np.testing.assert_allclose(preprocessing(name)(pixels), expected, atol=2e-5, rtol=1e-5)


def test_each_preprocessing_bears_its_own_name():
    assert all(name == value.name for name, value in PREPROCESSINGS.items())
