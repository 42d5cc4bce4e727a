"""Damaged image files: decoded as Pillow decodes them alone, of the size that is said, or named with a reason."""

import io

import numpy as np
from damage import damaged_bytes, pick
from PIL import Image, ImageOps

from tfmo_drive.data.images import decode, size_of

LOSSLESS = ("PNG", "PPM", "BMP", "TIFF", "GIF", "WEBP")
LOSSY = ("JPEG", "AVIF", "JPEG2000", "MPO", "WEBP")
OTHERS = ("DDS", "TGA", "PCX", "ICO", "SGI", "EPS", "PDF")
MODES = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"), "PPM": ("1", "L", "RGB"), "BMP": ("1", "L", "P", "RGB"),
    "TIFF": ("1", "L", "P", "RGB", "RGBA", "CMYK", "LA", "F", "I", "I;16"), "GIF": ("L", "P"), "WEBP": ("RGB", "RGBA"),
}  # fmt: skip


def _image(random: np.random.Generator, mode: str) -> Image.Image:
    height, width = random.integers(1, 40, 2)
    pixels = np.kron(random.integers(0, 256, (height, width, 3)), np.ones((2, 2, 1))).astype(np.uint8)
    if mode == "I;16":
        return Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    return Image.fromarray(pixels).convert(mode)


def _whole(random: np.random.Generator) -> bytes:
    """A file as cameras, editors and programs write them."""
    kind = pick(random, (*LOSSLESS, *LOSSLESS, *LOSSY, *OTHERS))
    image = _image(random, pick(random, MODES.get(kind, ("RGB",))))
    options = {"lossless": True} if kind == "WEBP" else {}
    if random.random() < 0.5 and kind in ("PNG", "JPEG", "TIFF", "WEBP", "AVIF", "MPO"):
        exif = Image.Exif()
        exif[0x0112] = int(random.integers(*((1, 9) if kind == "TIFF" else (0, 12))))  # libtiff writes no others
        options["exif"] = exif
    if random.random() < 0.2 and kind in ("GIF", "PNG", "TIFF", "WEBP"):
        options |= {"save_all": True, "append_images": [image.rotate(180)]}
    if kind in ("PNG", "TIFF") and image.mode != "F" and random.random() < 0.3:
        options |= {"compress_level": 9} if kind == "PNG" else {"compression": "tiff_deflate"}
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def _as_pillow_has_it(data: bytes) -> np.ndarray | None:
    """None where it cannot write the rest of the EXIF data anew."""
    image = Image.open(io.BytesIO(data))
    image.load()
    try:
        upright = image if image.format == "TIFF" else ImageOps.exif_transpose(image)  # turned once it is loaded
    except Exception:
        return None
    assert upright.mode != "F"
    if upright.mode.startswith("I"):
        return np.repeat((np.asarray(upright, np.int64).clip(0, 65535) >> 8)[..., None], 3, -1).astype(np.uint8)
    return np.asarray(upright.convert("RGB"))


def test_damaged_images_are_decoded_right_or_refused(fuzz):
    def attempt(case):
        path, data = case.folder / f"image{pick(case.random, ('.png', '.jpg', '.webp', ''))}", _whole(case.random)
        if case.random.random() < 0.7:
            data = damaged_bytes(case.random, data, most=2)
        path.write_bytes(data)
        size = case.read(path, lambda: size_of(path))
        if size is None:
            assert case.read(path, lambda: decode(path, (8, 8))) is None
            return
        if size[0] * size[1] > 1 << 22:  # what a damaged header says; the pixels are seldom there
            case.read(path, lambda: decode(path, (8, 8)))
            return
        found = case.read(path, lambda: decode(path, size))
        if found is not None:
            assert found.shape == (*size, 3) and found.dtype == np.uint8
            other = _as_pillow_has_it(data)
            assert other is None or np.array_equal(found, other)
            assert np.array_equal(found, decode(data, size))

    fuzz(attempt, cases=500)
