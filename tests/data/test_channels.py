"""Images of one, three and four channels: decoded, cached, drawn, changed and corrupted alike, on a board too."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tfmo_drive.base.keras2 import tf
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.augmentation import COLUMNS, Augmentation
from tfmo_drive.data.image_cache import pack
from tfmo_drive.data.images import FITS, MODES, Resize, UnreadableImage, decode, described, grey, in_channels
from tfmo_drive.data.splitting import Split
from tfmo_drive.measures.corruptions import CORRUPTIONS, corrupt
from tfmo_drive.pack import example
from tfmo_drive.scenes.frames import generated
from tfmo_drive.scores.pictures import shown


def noise(channels: int, height: int = 20, width: int = 30) -> np.ndarray:
    return np.random.default_rng(channels).integers(0, 256, (height, width, channels), np.uint8)


def saved(path, pixels: np.ndarray):
    Image.fromarray(pixels.squeeze() if pixels.shape[-1] == 1 else pixels).save(path)
    return path


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_grey_is_the_luma_that_pillow_computes_and_the_metadata_tell(mode, tmp_path):
    colours = Image.fromarray(noise(3))
    colours.convert(mode).save(tmp_path / "image.tif")
    found = decode(tmp_path / "image.tif", (20, 30, 1))
    with Image.open(tmp_path / "image.tif") as image:
        assert np.array_equal(found[..., 0], image.convert("L"))
    assert np.array_equal(grey(noise(3))[..., 0], colours.convert("L"))
    assert "19595 R + 38470 G + 7471 B + 32768) >> 16" in described((20, 30, 1), Resize(), "none")["colours"]


def test_a_fourth_channel_is_kept_through_every_resize_and_colours_do_not_mind_it(tmp_path):
    pixels = noise(4)
    pixels[:5, ..., 3] = 0  # Pillow would paint black what alpha hides
    file = saved(tmp_path / "image.png", pixels)
    assert np.array_equal(decode(file, (20, 30, 4)), pixels)
    assert np.array_equal(decode(file, (20, 30)), pixels[..., :3]), "alpha is dropped where nobody asks for it"
    colours = saved(tmp_path / "colours.png", pixels[..., :3])
    for fit in FITS:
        small, resize = decode(file, (9, 8, 4), Resize(fit=fit)), Resize(fit=fit)
        assert np.array_equal(small[..., :3], decode(colours, (9, 8), resize))


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "CMYK"])
def test_a_file_without_a_fourth_channel_is_named_in_one_line(mode, tmp_path):
    Image.fromarray(noise(3)).convert(mode).save(tmp_path / "image.tif")
    with pytest.raises(UnreadableImage, match=r"image.tif cannot be read: it has no fourth channel \(alpha\)"):
        decode(tmp_path / "image.tif", (20, 30, 4))


@pytest.mark.parametrize("channels", MODES)
def test_a_boards_example_reads_the_very_pixels(channels, tmp_path):
    file = saved(tmp_path / "image.png", noise(4 if channels == 4 else 3))
    for fit in FITS:
        shape, resize = (16, 24, channels), Resize(fit=fit)
        theirs = example.read(file, described(shape, resize, "none"))[0]
        assert np.array_equal(theirs, decode(file, shape, resize)) and theirs.shape == shape
    with pytest.raises(ValueError, match="no fourth channel"):
        example.read(saved(tmp_path / "colours.png", noise(3)), described((16, 24, 4), Resize(), "none"))


def test_the_cache_holds_one_entry_for_each_number_of_channels(tmp_path):
    files = tuple(saved(tmp_path / f"{i}.png", noise(4) // (i + 1)) for i in range(3))
    split = Split(files, np.arange(3), np.arange(3))
    made = {channels: pack(split, (10, 12, channels), folder=tmp_path / "packs") for channels in MODES}
    for channels, examples in made.items():
        pixels = examples.read(np.arange(3))[0]
        assert pixels.shape == (3, 10, 12, channels)
        assert np.array_equal(pixels[1], decode(files[1], (10, 12, channels)))
    assert len({one.fingerprint for one in made.values()}) == 3
    assert np.array_equal(pack(split, (10, 12), folder=tmp_path / "packs").read(np.arange(3))[0],
                          made[3].read(np.arange(3))[0])  # fmt: skip


def test_built_in_scenes_are_grey_where_the_model_is_and_have_no_fourth_channel():
    frames = [generated(0, 0, (64, 96, channels), "semantic").pixels for channels in (1, 3)]
    assert np.array_equal(frames[0], grey(frames[1]))
    with pytest.raises(
        BadInput, match="no fourth channel. Give images of your own that have alpha, with --data=FOLDER"
    ):
        in_channels(frames[1], 4)


@pytest.mark.parametrize("channels", MODES)
def test_augmentation_changes_any_channels_and_leaves_the_light_of_a_fourth(channels):
    images = noise(channels)[None].astype(np.float32)
    randoms = np.random.default_rng(0).random((1, COLUMNS), np.float32)
    still = Augmentation(shift=0, zoom=0, shear_degrees=0)
    found = still.apply(tf.constant(images), randoms).numpy()
    assert found.shape == images.shape and not np.array_equal(found[..., :3], images[..., :3])
    assert np.array_equal(found[..., 3:], images[..., 3:])
    if channels == 4:
        assert np.array_equal(found[..., :3], still.apply(tf.constant(images[..., :3]), randoms).numpy())
    assert Augmentation(flip=True).apply(tf.constant(images), randoms).shape == images.shape


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_grey_images_are_corrupted_as_colours_are_and_a_fourth_channel_stays(name):
    colours, indices = np.stack([noise(3), noise(3)[::-1]]), np.arange(2)
    dark = grey(colours)
    assert np.array_equal(
        corrupt(dark, name, 2, 0, indices), grey(corrupt(np.repeat(dark, 3, axis=-1), name, 2, 0, indices))
    )
    four = np.concatenate([colours, dark], axis=-1)
    found = corrupt(four, name, 2, 0, indices)
    assert np.array_equal(found[..., :3], corrupt(colours, name, 2, 0, indices))
    assert np.array_equal(found[..., 3:], dark)


def test_pictures_show_grey_as_grey_and_of_four_channels_the_colours():
    assert np.array_equal(shown(noise(1)[None], None), np.repeat(noise(1)[None], 3, axis=-1))
    assert np.array_equal(shown(noise(4)[None], None)[0], noise(4)[..., :3])
