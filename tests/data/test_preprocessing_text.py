"""What a line says of a model's input: the pixels that it makes are those of a formula in numpy."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tfmo_drive.contracts import BadInput
from tfmo_drive.data.preprocessing_text import COLOURS, NAMES, channels, is_known, preprocessing

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def pixels(count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (9, 7, count), dtype=np.uint8)


def yuv(x: np.ndarray) -> np.ndarray:
    """OpenCV's COLOR_RGB2YUV, before it rounds."""
    y = x @ [0.299, 0.587, 0.114]
    return np.stack([y, 0.492 * (x[..., 2] - y) + 128, 0.877 * (x[..., 0] - y) + 128], -1)


@pytest.mark.parametrize(
    ("text", "count", "formula"),
    [
        ("none", 3, lambda x: x),
        ("unit", 1, lambda x: x / 255),
        ("tf", 4, lambda x: x / 127.5 - 1),
        ("x/255", 4, lambda x: x / 255),
        ("/255", 3, lambda x: x / 255),
        ("rgb", 3, lambda x: x),
        ("bgr/255", 3, lambda x: x[..., ::-1] / 255),
        ("BGR / 255.0", 3, lambda x: x[..., ::-1] / 255),
        ("rgb/127.5-1", 3, lambda x: x / 127.5 - 1),
        ("bgr-103.939,116.779,123.68", 3, lambda x: x[..., ::-1] - [103.939, 116.779, 123.68]),
        ("rgb/255-0.485,0.456,0.406/0.229,0.224,0.225", 3, lambda x: (x / 255 - MEAN) / STD),
        ("((rgb/255)-0.485,0.456,0.406)/0.229,0.224,0.225", 3, lambda x: (x / 255 - MEAN) / STD),
        ("(x/255-0.5)/0.5", 3, lambda x: (x / 255 - 0.5) / 0.5),
        ("(grey-127.5)*7.8125e-3+.5", 1, lambda x: (x - 127.5) / 128 + 0.5),
        ("gray/255", 1, lambda x: x / 255),
        ("rgba/255", 4, lambda x: x / 255),
        ("bgra-1,2,3,4", 4, lambda x: x[..., [2, 1, 0, 3]] - [1, 2, 3, 4]),
        ("yuv", 3, yuv),
        ("yuv/127.5-1", 3, lambda x: yuv(x) / 127.5 - 1),
        ("yuv-0,128,128/255", 3, lambda x: (yuv(x) - [0, 128, 128]) / 255),
    ],
)
def test_a_line_is_the_formula_that_it_reads_like(text, count, formula):
    raw = pixels(count)
    rule = preprocessing(text, count)
    np.testing.assert_allclose(rule(raw), formula(raw.astype(np.float64)), rtol=2e-6, atol=1e-4)
    assert len(rule.channel_order) == len(rule.scale) == len(rule.offset) == count
    low, high = rule.bounds
    assert low - 1e-3 <= rule(raw).min() and rule(raw).max() <= high + 1e-3
    again = preprocessing(rule.name, count)
    assert again == rule, "its name is a text that says the same"


@pytest.mark.parametrize(("text", "order"), [("ycbcr", [0, 1, 2]), ("ycrcb", [0, 2, 1])])
def test_luma_and_chroma_are_those_of_jpeg(text, order):
    raw = pixels()
    theirs = np.asarray(Image.fromarray(raw).convert("YCbCr"), np.float64)[..., order]
    assert np.abs(preprocessing(text)(raw) - theirs).max() < 1.01  # Pillow rounds and clips


def test_tensorflows_yuv_is_a_line_too():
    from tfmo_drive.base.keras2 import tf

    raw = pixels()
    theirs = tf.image.rgb_to_yuv(raw / np.float32(255)).numpy()
    np.testing.assert_allclose(preprocessing("yuv-0,128,128/255")(raw), theirs, atol=3e-4)


@pytest.mark.parametrize("name", ["caffe", "tf", "torch"])
def test_preprocessings_are_those_of_keras(name):
    from tfmo_drive.base.keras2 import keras

    expected = keras.applications.imagenet_utils.preprocess_input(pixels().astype(np.float32), mode=name)
    np.testing.assert_allclose(preprocessing(name)(pixels()), expected, atol=2e-5, rtol=1e-5)


def test_each_preprocessing_bears_its_own_name_and_any_channels_are_the_models():
    assert all(preprocessing(name).name == name for name in NAMES)
    assert {text: channels(text) for text in ("unit", "caffe", "grey/255", "bgra", "/1,2,3,4", *COLOURS)} == {
        "unit": None, "caffe": 3, "grey/255": 1, "bgra": 4, "/1,2,3,4": 4, "rgb": 3, "bgr": 3, "grey": 1, "rgba": 4,
        "yuv": 3, "ycbcr": 3, "ycrcb": 3,
    }  # fmt: skip
    assert preprocessing("unit", 1).scale == (1 / 255,) and is_known("bgr/255") and not is_known("affine 12ab")


@pytest.mark.parametrize(
    ("text", "count", "words"),
    [
        ("tourch", None, 'no preprocessing "tourch". Did you mean "torch"'),
        ("hsv/255", None, 'no preprocessing "hsv/255". .*There is: none, .*ycrcb. Colours take steps, as "bgr/255"'),
        ("caffe/255", None, "no preprocessing"),
        ("", None, "no preprocessing"),
        ("bgr/", None, '"bgr/" cannot be read from "/" on. Type none'),
        ("rgb/255x", None, 'cannot be read from "x" on'),
        ("rgb/255-1,2", None, "has 2 numbers for 3 channels. Give 1 or one for each"),
        ("/1,2,3-1,2", None, "has 2 numbers for 3 channels"),
        ("rgb/0", None, "none that is 0"),
        ("rgb-1e99", None, "finite numbers"),
        ("(rgb/255", None, "as many brackets"),
        ("rgb/255)", None, "as many brackets"),
        ("bgr/255", 1, 'of 3 channels, the model takes 1. Type "grey/255" for example.'),
        ("grey/255", 3, 'of 1 channel, the model takes 3. Type "rgb/255" for example.'),
        ("caffe", 4, 'of 3 channels, the model takes 4. Type "rgba/255" for example.'),
    ],
)
def test_what_cannot_be_read_says_what_to_type_in_one_line(text, count, words):
    with pytest.raises(BadInput, match=words) as refused:
        preprocessing(text, count)
    assert "\n" not in str(refused.value)
