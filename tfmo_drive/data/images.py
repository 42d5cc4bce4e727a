"""Decodes image files to pixels by a rule that is written down, so that a board can decode as the training did.

Pixels are uint8: grey, RGB, or RGB with alpha, as many channels as the model takes. Grey is Pillow's "L", of colours
their luma of ITU-R BT.601, (19595 R + 38470 G + 7471 B + 32768) >> 16. Interpolation is Pillow's
(https://pillow.readthedocs.io/en/stable/handbook/concepts.html#filters).
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import stat
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from tfmo_drive.base.spelling import suggestion
from tfmo_drive.contracts import BadInput

RULES = ("bilinear_antialias", "bilinear", "bicubic", "nearest")
FITS = ("stretch", "center_crop", "letterbox")
FORMATS = ("JPEG", "PNG", "PPM", "BMP", "DIB", "WEBP", "TIFF", "GIF", "JPEG2000", "AVIF")
"""The formats that are decoded, whatever a file is called. Pillow knows more, but runs EPS as a program."""
SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".ppm", ".pgm", ".pbm", ".pnm", ".bmp", ".dib", ".webp",
    ".tif", ".tiff", ".gif", ".jp2", ".j2k", ".avif",
)  # fmt: skip
"""The suffixes of files of these formats, in lower case, for which folders are searched."""
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""The modes of images by their channels: Pillow's names, whose letters are the order of the channels."""
_LUMA = (19595, 38470, 7471)
"""The shares of red, green and blue in grey, of 65,536, as Pillow rounds 0.299, 0.587 and 0.114 (ITU-R BT.601)."""
_WHAT = {
    "L": "grey as it is, of colours (19595 R + 38470 G + 7471 B + 32768) >> 16 (ITU-R BT.601 luma)",
    "RGBA": "alpha as the file has it; every channel is resized by itself",
}
"""What a board must know of the channels beside their order."""
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
"""EXIF's orientation (CIPA DC-008, tag 274) to what shows the image upright; 1 is upright."""


class UnreadableImage(BadInput):
    """Is raised for one `file` that cannot be decoded; `reason` is a few words ("truncated")."""

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(f"{file} cannot be read: {reason}. Mend or remove the file.")
        self.file, self.reason = file, reason


@dataclasses.dataclass(frozen=True)
class Resize:
    """Resizes an image of any size to height x width pixels.

    Args:
        rule: "bilinear_antialias" (Pillow's BILINEAR, whose support grows with the reduction), "bilinear" (no
            antialias, half-pixel centres, as cv2.INTER_LINEAR and tf.image.resize, but rounded down: at most 1 level
            off), "bicubic" (antialiased) or "nearest" (to the pixel's centre).
        fit: "stretch", "center_crop" (the largest centred part of the right shape) or "letterbox" (the whole image,
            padded).
        pad: The grey level of letterbox borders, in 0..255; 114 is Ultralytics YOLO's letterbox colour.

    Example:
        >>> import tfmo_drive as td
        >>> td.Resize(fit="letterbox").fit
        'letterbox'
    """

    rule: str = "bilinear_antialias"
    fit: str = "stretch"
    pad: int = 114

    def __post_init__(self) -> None:
        for field, choices in (("rule", RULES), ("fit", FITS)):
            got = getattr(self, field)
            if got not in choices:
                raise BadInput(f'Resize.{field} is unknown: "{got}". {suggestion(str(got), choices)}')
        if not 0 <= self.pad <= 255:
            raise BadInput(f"Resize.pad must be in [0, 255], got {self.pad}.")

    def to_dict(self) -> dict[str, Any]:
        """Returns the rule in JSON types, for an artifact's metadata."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> Resize:
        """Returns the rule that `to_dict` was called on; raises BadInput for a key or a value that it never gives."""
        known = [field.name for field in dataclasses.fields(cls)]
        for key in facts:
            if key not in known:
                raise BadInput(f'Resize has no setting "{key}". {suggestion(str(key), known)}')
        return cls(**facts)

    def __call__(self, image: Image.Image, size: tuple[int, int]) -> Image.Image:
        """Returns an image (grey, RGB or RGBA) resized to `size` = (height, width), every channel by itself."""
        if image.mode == "RGBA":  # Pillow weights colours by alpha, which may be anything here: infrared, depth
            return Image.merge("RGBA", [self(band, size) for band in image.split()])
        height, width = size
        box, inner, corner = self.placement((image.height, image.width), size)
        small = self._sample(image, inner, box)
        if inner == (width, height):
            return small
        padded = Image.new(image.mode, (width, height), (self.pad,) * len(image.getbands()))
        padded.paste(small, corner)
        return padded

    def placement(
        self, source_size: tuple[int, int], size: tuple[int, int]
    ) -> tuple[tuple[float, float, float, float], tuple[int, int], tuple[int, int]]:
        """Returns which part of an image goes where, for boxes, which must follow the pixels.

        Args:
            source_size: (height, width) of the image.
            size: (height, width) of the result.

        Returns:
            The part of the source that is used (x0, y0, x1, y1), the (width, height) that it becomes, and the (x, y) of
                its upper left corner in the result.
        """
        (rows, columns), (height, width) = source_size, size
        whole = (0.0, 0.0, float(columns), float(rows))
        ratios = width / columns, height / rows
        if self.fit == "stretch":
            return whole, (width, height), (0, 0)
        if self.fit == "center_crop":
            # 41 / (41 / 28) is 28.000000000000004, and Pillow refuses a box that is larger than the image.
            used_x, used_y = min(columns, width / max(ratios)), min(rows, height / max(ratios))
            left, top = (columns - used_x) / 2, (rows - used_y) / 2
            return (left, top, left + used_x, top + used_y), (width, height), (0, 0)
        inner = max(1, round(columns * min(ratios))), max(1, round(rows * min(ratios)))
        return whole, inner, ((width - inner[0]) // 2, (height - inner[1]) // 2)

    def _sample(self, image: Image.Image, size: tuple[int, int], box: tuple[float, ...]) -> Image.Image:
        if size == image.size and box == (0, 0, *size):
            return image
        if self.rule == "bilinear":  # Pillow's resize always antialiases; its transforms do not
            return image.transform(size, Image.Transform.EXTENT, box, Image.Resampling.BILINEAR)
        filters = Image.Resampling
        rule = {"bilinear_antialias": filters.BILINEAR, "bicubic": filters.BICUBIC, "nearest": filters.NEAREST}
        return image.resize(size, rule[self.rule], box=box)


def decode(source: str | os.PathLike | bytes, shape: tuple[int, ...], resize: Resize | None = None) -> np.ndarray:
    """Decodes one image file to uint8 [height, width, channels]: grey, RGB or RGBA.

    The content says the format, not the suffix. The EXIF orientation is applied; one outside 1..8 is taken for 1, as
    browsers, Pillow and OpenCV do: it says nothing. Grey, palette and CMYK become what is asked, 16-bit grey keeps its
    high byte; of an animation or several pages the first counts. Alpha is dropped, unless a fourth channel is asked.

    Args:
        source: A path, or the file's bytes.
        shape: (height, width), of RGB, or (height, width, channels).
        resize: The rule of resizing; `Resize()` by default.

    Raises:
        UnreadableImage: The file cannot be decoded, its pixels are floats or 32-bit integers, which have no known
            range, or it has no fourth channel and one is asked.
    """
    name, (height, width, channels) = "The image" if isinstance(source, bytes) else source, whole(shape)
    with opened(source, name) as image:
        pixels = _in_mode(_upright(image), MODES[channels], str(name))
    return np.array((resize or Resize())(pixels, (height, width))).reshape(height, width, channels)


def whole(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Returns (height, width, channels) of a shape that may leave the 3 of RGB out."""
    return (*shape, 3)[:3]


def in_channels(rgb: np.ndarray, channels: int) -> np.ndarray:
    """Returns RGB pixels uint8 [..., 3] as images of so many channels have them, uint8 [..., channels].

    Raises BadInput for a fourth channel, of which colours say nothing.
    """
    if channels == 4:
        raise BadInput(
            "The built-in scenes have no fourth channel. Give images of your own that have alpha, with --data=FOLDER."
        )
    return rgb if channels == 3 else grey(rgb)


def grey(rgb: np.ndarray) -> np.ndarray:
    """Returns the luma of RGB pixels uint8 [..., 3] as `decode` computes it: uint8 [..., 1]."""
    return ((rgb.astype(np.uint32) @ np.array(_LUMA, np.uint32) + 32768) >> 16).astype(np.uint8)[..., None]


def described(shape: tuple[int, int, int], resize: Resize, preprocessing: str) -> dict[str, Any]:
    """Returns how a board makes images of this shape (height, width, channels), in JSON types.

    The file that ships holds the `preprocessing` itself; its name says what a model given anew was trained on.
    """
    height, width, channels = shape
    found = {"height": height, "width": width, "colour_order": MODES[channels], "resize": resize.to_dict()}
    colours = {} if channels == 3 else {"colours": _WHAT[MODES[channels]]}
    return found | colours | {"preprocessing": preprocessing}


def size_of(file: str | os.PathLike) -> tuple[int, int]:
    """Returns (height, width) of the image that `decode` would resize, from the file's header.

    A TIFF is read whole. Raises UnreadableImage where it cannot be opened.
    """
    with opened(file, file) as image:
        if image.format == "TIFF":  # which way Pillow turns it shows only then
            image.load()
        turned = _orientation(image) >= 5  # turned by 90 or 270 degrees
        return (image.width, image.height) if turned else (image.height, image.width)


@contextlib.contextmanager
def opened(source: str | os.PathLike | bytes, name: str | os.PathLike) -> Iterator[Image.Image]:
    """Yields an image of one of FORMATS, whose pixels are not decoded yet.

    Whatever Pillow raises inside the block becomes an UnreadableImage called `name`. What is no regular file is refused
    before anything is opened: a pipe would hold its reader for ever.
    """
    try:
        if not isinstance(source, bytes) and not stat.S_ISREG(os.stat(source).st_mode):
            raise UnreadableImage(str(name), "not a regular file")
        # By its path, Pillow (13.0) maps a plain TIFF into memory, and reads one that lies on its side as noise.
        with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
            with Image.open(file, formats=FORMATS) as image:
                yield image
    except UnreadableImage:
        raise
    except Exception as error:  # decoders raise what they like of bytes that nobody has written
        raise UnreadableImage(str(name), _reason(error)) from error


def _upright(image: Image.Image) -> Image.Image:
    image.load()
    turn = _TURNS.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def _orientation(image: Image.Image) -> int:
    """Returns EXIF's orientation, 1..8; 1 where none can be read, and for a TIFF, which Pillow turns itself."""
    if image.format == "TIFF":
        return 1
    try:
        found = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:
        return 1
    return found if type(found) is int and 1 <= found <= 8 else 1


def _in_mode(image: Image.Image, mode: str, name: str) -> Image.Image:
    if image.mode == "F" or (image.mode == "I" and image.format == "TIFF"):
        what = "floats" if image.mode == "F" else "32-bit integers"
        raise UnreadableImage(name, f"its pixels are {what}, of no known range; save it with 8 or 16 bits")
    image = of_eight_bits(image)
    if mode == "RGBA" and not image.has_transparency_data:
        raise UnreadableImage(
            name, "it has no fourth channel (alpha), which the model takes; save it as PNG with alpha"
        )
    return image.convert(mode)


def of_eight_bits(image: Image.Image) -> Image.Image:
    """Returns an image with the high byte of 16-bit grey alone (65535 becomes 255): Pillow would clip it at 255."""
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image, np.int64).clip(0, 65535) >> 8).astype(np.uint8))


def _reason(error: Exception) -> str:
    text = str(error)
    if isinstance(error, Image.UnidentifiedImageError):
        return "not an image, or of an unknown format"
    if "truncated" in text or "Truncated" in text or isinstance(error, EOFError):
        return "truncated"
    said = getattr(error, "strerror", None) or text or type(error).__name__
    return said.splitlines()[0].rstrip(".").lower()[:100]
