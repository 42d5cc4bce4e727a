"""Sizes from the first bytes are those of Pillow, whatever the file."""

import numpy as np
import pytest
from PIL import ExifTags, Image, PngImagePlugin

from tfmo_drive.data import image_headers
from tfmo_drive.data.image_headers import quick_size_of
from tfmo_drive.data.images import UnreadableImage, size_of

KINDS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF", "PPM")


def saved(path, kind, size=(31, 17), mode="RGB", **more):
    pixels = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).convert(mode).save(path, kind, **more)
    return path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("turn", [1, 6])
def test_every_format_and_orientation(tmp_path, kind, turn):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = turn
    more = {"exif": exif} if kind in ("JPEG", "PNG", "WEBP", "TIFF") else {}
    path = saved(tmp_path / "a", kind, **more)
    assert quick_size_of(path) == size_of(path)
    assert quick_size_of(path) == ((31, 17) if more and turn == 6 else (17, 31))


@pytest.mark.parametrize(("kind", "more"), [
    ("JPEG", {}), ("JPEG", {"progressive": True}), ("JPEG", {"mode": "L"}), ("JPEG", {"size": (900, 700)}),
    ("JPEG", {"comment": b"x" * 9000}), ("PNG", {}), ("PNG", {"mode": "P"}), ("PNG", {"size": (900, 700)}),
])  # fmt: skip
def test_plain_files_are_not_left_to_pillow(tmp_path, kind, more, monkeypatch):
    path = saved(tmp_path / "a", kind, **more)
    known = size_of(path)
    monkeypatch.setattr(image_headers, "size_of", None)
    assert quick_size_of(path) == known


def test_an_orientation_that_stands_behind_a_pngs_pixels_counts(tmp_path):
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="6"/>')
    path = saved(tmp_path / "a", "PNG", pnginfo=text)
    assert quick_size_of(path) == size_of(path)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_damaged_files_are_as_pillow_says(tmp_path, kind):
    data = saved(tmp_path / "a", kind).read_bytes()
    random = np.random.default_rng(3)
    for number in range(150):
        broken = bytearray(data[: int(random.integers(len(data)))] if number % 2 else data)
        for place in random.integers(0, min(len(broken), 60) or 1, 2 if broken else 0):
            broken[place] = int(random.integers(256))
        (tmp_path / "b").write_bytes(broken)
        try:
            known = size_of(tmp_path / "b")
        except UnreadableImage:
            known = None
        try:
            found = quick_size_of(tmp_path / "b")
        except UnreadableImage:
            found = None
        assert known in (None, found)  # what a header says of a file whose end is lost is left to those who decode it


def test_what_is_no_file_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "gone"):
        with pytest.raises(UnreadableImage):
            quick_size_of(path)
