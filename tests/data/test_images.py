import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tfmo_drive.contracts import BadInput
from tfmo_drive.data.images import FITS, RULES, Resize, UnreadableImage, decode, size_of


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
    white = Image.fromarray(np.full((4, 4), 65535, np.uint16))
    assert (decode(encoded(white), (4, 4, 1)) == 255).all()


def _deep_colours(kind: str, pixels: np.ndarray) -> bytes:
    """A PNG or a TIFF of 16-bit RGB pixels, uint16 [h, w, 3], which Pillow does not write."""
    height, width, _ = pixels.shape
    if kind == "TIFF":
        sizes = {256: (4, width), 257: (4, height), 258: (3, 122, 3), 259: (3, 1), 262: (3, 2), 273: (4, 128),
                 277: (3, 3), 278: (4, height), 279: (4, pixels.nbytes)}  # fmt: skip
        tags = b"".join(struct.pack("<HHII", tag, kind, more[0] if more else 1, value)
                        for tag, (kind, value, *more) in sizes.items())  # fmt: skip
        head = b"II*\0" + struct.pack("<IH", 8, len(sizes)) + tags + bytes(4)
        return head + struct.pack("<3H", 16, 16, 16) + pixels.astype("<u2").tobytes()
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    made = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(made)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_colours_are_scaled_and_not_clipped(kind):
    pixels = np.array([[[65535, 0x4080, 0], [0x00FF, 0x0100, 0xFE01]]], np.uint16)
    assert decode(_deep_colours(kind, pixels), (1, 2)).tolist() == [[[255, 0x40, 0], [0, 1, 0xFE]]]


def test_exif_orientation_is_applied():
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:, :8] = 250  # left half bright
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned 90 degrees clockwise: left becomes top
    got = decode(encoded(pixels, "JPEG", quality=100, exif=exif), (16, 8))
    assert got[:7].min() > 200 and got[9:].max() < 50


TURNED = {
    2: np.s_[:, ::-1], 3: np.s_[::-1, ::-1], 4: np.s_[::-1], 5: None, 6: np.s_[:, ::-1], 7: np.s_[::-1, ::-1],
    8: np.s_[::-1],
}  # fmt: skip
"""What shows an image upright by its EXIF orientation (CIPA DC-008): from 5 on, transposed first."""


@pytest.mark.parametrize("orientation", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 65535])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_every_orientation_turns_pixels_and_size_alike_and_what_is_none_turns_nothing(tmp_path, kind, orientation):
    pixels = np.zeros((64, 128, 3), np.uint8)
    pixels[:32, :64], pixels[32:, 64:] = (250, 0, 0), (0, 0, 250)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "image", kind, exif=exif)
    turn = TURNED.get(orientation, np.s_[:])
    expected = (pixels.transpose(1, 0, 2) if orientation in (5, 6, 7, 8) else pixels)[turn if turn else np.s_[:]]
    assert size_of(tmp_path / "image") == expected.shape[:2]
    found = decode(tmp_path / "image", expected.shape[:2])
    assert np.abs(found.astype(int) - expected).mean() < 6


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK"])
def test_a_tiff_on_its_side_is_read_alike_from_a_file_and_from_bytes(tmp_path, mode):
    image = Image.fromarray(noise(20, 30)).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "image.tif", exif=exif)
    expected = np.asarray(image.transpose(Image.Transpose.ROTATE_270).convert("RGB"))
    for source in (tmp_path / "image.tif", (tmp_path / "image.tif").read_bytes()):
        assert np.array_equal(decode(source, (30, 20)), expected)
    assert size_of(tmp_path / "image.tif") == (30, 20)


@pytest.mark.parametrize("kind", ["BMP", "DIB", "GIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TIFF", "WEBP", "AVIF"])
def test_the_content_says_the_format_whatever_the_file_is_called(tmp_path, kind):
    pixels = np.full((32, 32, 3), (200, 90, 30), np.uint8)
    (tmp_path / "image.png").write_bytes(encoded(pixels, kind))
    assert np.abs(decode(tmp_path / "image.png", (32, 32)).astype(int) - pixels).max() < 16
    assert size_of(tmp_path / "image.png") == (32, 32)


@pytest.mark.parametrize("kind", ["DDS", "EPS", "TGA", "PCX", "ICO", "PDF", "SGI"])
def test_other_formats_are_named_as_no_images_whatever_the_file_is_called(tmp_path, kind):
    (tmp_path / "image.jpg").write_bytes(encoded(noise(32, 32), kind))
    for read in (size_of, lambda file: decode(file, (32, 32))):
        with pytest.raises(UnreadableImage, match="image.jpg cannot be read: not an image, or of an unknown format"):
            read(tmp_path / "image.jpg")


def test_what_is_no_file_is_named_and_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    for name, said in (("pipe.png", "not a regular file"), ("folder.png", "not a regular file"), ("a\0b", "null byte")):
        for read in (size_of, lambda file: decode(file, (8, 8))):
            with pytest.raises(UnreadableImage, match=said) as told:
                read(tmp_path / name)
            assert str(told.value).isprintable()


def test_pixels_of_no_known_range_are_refused_and_never_clipped():
    deep = Image.fromarray(np.full((4, 4), 0x40FF, np.uint16))
    assert (decode(encoded(deep, "TIFF"), (4, 4)) == 0x40).all()
    assert (decode(encoded(deep, "PPM"), (4, 4)) == 0x40).all()
    for image, said in ((Image.new("F", (4, 4), 0.5), "floats"), (Image.new("I", (4, 4), 70_000), "32-bit integers")):
        with pytest.raises(UnreadableImage, match=f"its pixels are {said}, of no known range"):
            decode(encoded(image, "TIFF"), (4, 4))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_an_animation_the_first_frame_counts(kind):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((250, 0, 0), (0, 250, 0))]
    found = decode(encoded(frames[0], kind, save_all=True, append_images=frames[1:]), (8, 8))
    assert found[..., 0].min() > 200 and found[..., 1].max() < 60


def test_an_image_that_would_fill_the_memory_is_refused_by_its_header():
    header = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")]
    parts = [struct.pack(">I", len(d)) + kind + d + struct.pack(">I", zlib.crc32(kind + d)) for kind, d in chunks]
    with pytest.raises(UnreadableImage, match="1600000000 pixels"):
        decode(b"\x89PNG\r\n\x1a\n" + b"".join(parts), (8, 8))


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
