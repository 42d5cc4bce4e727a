import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tfmo_drive.data.images import FITS, RULES, Resize, UnreadableImage, decode
from tfmo_drive.data.mask_files import IGNORE, MaskIds, read_mask

IDS = MaskIds(4, (3,))


@pytest.fixture
def save(tmp_path):
    """save(mask) -> (mask file, image file); the image is the mask's ids times 60, in grey."""

    def write(ids, **changes):
        ids = np.asarray(ids, np.uint8)
        Image.fromarray(np.repeat(ids[..., None] * 60, 3, -1)).save(tmp_path / "image.png")
        Image.fromarray(changes.get("mask", ids)).save(tmp_path / "mask.png")
        return tmp_path / "mask.png", tmp_path / "image.png"

    return write


def test_the_table_leaves_out_what_is_ignored_and_moves_the_rest_up():
    table = MaskIds(4, (1,)).table
    assert table[:5].tolist() == [0, IGNORE, 1, 2, -1] and table[255] == IGNORE
    assert MaskIds(2, (9,)).table[[0, 1, 2, 9]].tolist() == [0, 1, -1, IGNORE]


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("rule", RULES)
def test_a_mask_lies_where_its_pixels_lie(save, rule, fit):
    ids = np.zeros((40, 60), int)
    ids[:, 20:40], ids[20:, 40:] = 1, 2
    mask, image = save(ids)
    size = (24, 24)
    found = read_mask(mask, image, IDS, size, Resize(rule, fit, pad=200))
    pixels = decode(image, size, Resize(rule, fit, pad=200))[..., 0]
    borders = pixels == 200
    assert borders.any() == (fit == "letterbox") and (found[borders] == IGNORE).all()
    plain = np.isin(pixels, (0, 60, 120))  # beside an edge, pixels are blended
    assert plain.mean() > 0.4 and (found[plain] * 60 == pixels[plain]).all()
    assert set(np.unique(found[~borders]).tolist()) <= {0, 1, 2}


def test_ids_are_taken_and_never_blended(save):
    ids = np.tile([0, 2], (8, 16))
    found = read_mask(*save(ids), IDS, (5, 7), Resize())
    assert set(np.unique(found).tolist()) == {0, 2} and found.dtype == np.uint8


def test_ignored_ids_and_255_are_ignored(save):
    found = read_mask(*save([[0, 3], [255, 2]]), IDS, (2, 2), Resize())
    assert found.tolist() == [[0, IGNORE], [IGNORE, 2]]


def test_palette_images_are_read_as_ids(save, tmp_path):
    ids = np.array([[0, 1], [2, 1]], np.uint8)
    mask, image = save(ids)
    coloured = Image.fromarray(ids).convert("P")
    coloured.putdata(ids.ravel().tolist())
    coloured.putpalette([9, 9, 9, 200, 0, 0, 0, 200, 0])
    coloured.save(mask)
    assert Image.open(mask).mode == "P"
    assert (read_mask(mask, image, IDS, (2, 2), Resize()) == ids).all()


def grey_png(ids, bits):
    """As the PNG specification (W3C) has it, since Pillow writes no grey of 2 or 4 bits."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = [np.packbits(np.unpackbits(row[:, None], axis=1)[:, -bits:]).tobytes() for row in ids]
    header = struct.pack(">IIBBBBB", ids.shape[1], ids.shape[0], bits, 0, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_ids_are_read_as_they_are_at_every_depth(save, bits):
    ids = np.uint8(np.arange(30).reshape(5, 6) % 2**bits)
    mask, image = save(ids)
    mask.write_bytes(grey_png(ids, bits))
    assert (read_mask(mask, image, MaskIds(32), (5, 6), Resize()) == ids).all()
    coloured = Image.frombytes("P", (6, 5), ids.tobytes())
    coloured.putpalette(list(range(3 * 2**bits)) if bits < 8 else [7] * 768)
    coloured.save(mask, bits=bits)
    assert mask.read_bytes()[24:26] == bytes([bits, 3])
    assert (read_mask(mask, image, MaskIds(32), (5, 6), Resize()) == ids).all()


def test_ids_are_read_in_more_bits_and_in_channels_that_are_equal_or_red_alone(save):
    ids = np.uint8(np.arange(24).reshape(4, 6) % 4)
    for mask in (ids.astype(np.uint16), np.dstack([ids] * 3), np.dstack([ids, ids * 0, ids * 0])):
        assert (read_mask(*save(ids, mask=mask), MaskIds(4), (4, 6), Resize()) == ids).all()


def test_what_is_no_mask_is_refused_with_the_reason(save):
    ids = np.zeros((4, 6), np.uint8)
    for mask, reason in (
        (np.uint8([0, 1, 0]) * np.ones((4, 6, 1), np.uint8), "colours instead of class ids"),
        (np.full((4, 6, 3), [255, 0, 0], np.uint8), "colours instead of class ids"),
        (np.full((4, 6), 256, np.uint16), "ids from 256 to 256, of 255 at most"),
        (np.zeros((5, 6), np.uint8), "6 x 5, but its image is 6 x 4"),
        (np.full((4, 6), 4, np.uint8), "id 4, but there are 4 ids"),
    ):
        with pytest.raises(UnreadableImage) as caught:
            read_mask(*save(ids, mask=mask), IDS, (4, 6), Resize())
        assert caught.value.reason == reason and caught.value.file.endswith("mask.png")


COLOURED = MaskIds(3, (2,), ((128, 64, 128), (220, 20, 60), (0, 0, 0)))


def test_colours_are_classes_where_a_file_says_which(save):
    ids = np.random.default_rng(0).integers(0, 3, (6, 7))
    pixels = np.array(COLOURED.colours, np.uint8)[ids]
    palette = Image.fromarray(pixels).quantize(3, dither=Image.Dither.NONE)
    wanted = np.where(ids == 2, IGNORE, ids)
    assert palette.mode == "P"
    for mask in (pixels, np.dstack([pixels, pixels[..., :1]]), np.asarray(palette.convert("RGB"))):
        assert (read_mask(*save(ids, mask=mask), COLOURED, (6, 7), Resize()) == wanted).all()
    mask, image = save(ids)
    palette.save(mask)
    assert (read_mask(mask, image, COLOURED, (6, 7), Resize()) == wanted).all()
    pixels[1, 2] = pixels[3, 3] = (1, 2, 3)
    with pytest.raises(UnreadableImage, match=r"colour \(1, 2, 3\) is of no class, in 2 pixels"):
        read_mask(*save(ids, mask=pixels), COLOURED, (6, 7), Resize())


def test_a_damaged_mask_is_named(save):
    mask, image = save(np.random.default_rng(0).integers(0, 3, (80, 80)))
    mask.write_bytes(mask.read_bytes()[:300])
    with pytest.raises(UnreadableImage, match="mask.png cannot be read: truncated"):
        read_mask(mask, image, IDS, (8, 8), Resize())


def test_the_size_is_that_of_the_image_as_it_is_shown(save):
    mask, image = save(np.zeros((4, 6)))
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    Image.new("RGB", (4, 6)).save(image, exif=exif)
    assert read_mask(mask, image, IDS, (4, 6), Resize()).shape == (4, 6)
