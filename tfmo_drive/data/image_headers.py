"""Reads how large images are from the first bytes of plain JPEG and PNG files, in a tenth of a decoder's time.

Whatever may turn an image, or is not plain, is left to images.size_of: Pillow decodes a whole PNG to look for its
orientation. ITU-T T.81, annex B, has JPEG's segments, the PNG Specification, section 5, its chunks.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from tfmo_drive.data.images import size_of

_FIRST = 2**12
"""The number of bytes that are read at once; the frame of most JPEGs is within."""
_FRAMES = frozenset((*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)))
"""JPEG's markers of frames, which say the size."""
_PLAIN = (b"IDAT", b"IEND", b"PLTE", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"pHYs", b"bKGD", b"sBIT", b"tIME")
"""PNG's chunks in which no orientation stands."""


def quick_size_of(file: Path) -> tuple[int, int]:
    """Returns (height, width) as `images.size_of` does, for many files; raises UnreadableImage as it does."""
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK)
    except (OSError, ValueError):
        return size_of(file)
    try:
        found = _plain_size(handle)
    except (OSError, struct.error):
        found = None
    finally:
        os.close(handle)
    return found or size_of(file)


def _plain_size(handle: int) -> tuple[int, int] | None:
    """Returns (height, width), or None of what is neither a plain JPEG nor a plain PNG."""
    first = os.pread(handle, _FIRST, 0)
    if first[:2] == b"\xff\xd8":
        return _jpeg(handle, first)
    if first[:8] == b"\x89PNG\r\n\x1a\n" and first[12:16] == b"IHDR":
        return _png(handle, first)
    return None


def _jpeg(handle: int, first: bytes) -> tuple[int, int] | None:
    place = 2
    while True:
        if place + 9 > len(first):
            first += os.pread(handle, 2**16, len(first))
            if place + 9 > len(first):
                return None
        mark, marker, length = struct.unpack_from(">BBH", first, place)
        if mark != 0xFF or marker in (0xE1, 0xE2) or marker < 0xC0 or marker == 0xDA or length < 2:
            return None  # Exif, or several pictures, or not as files are written
        if marker in _FRAMES:
            height, width = struct.unpack_from(">HH", first, place + 5)
            return (height, width) if height and width else None
        place += 2 + length


def _png(handle: int, first: bytes) -> tuple[int, int] | None:
    width, height = struct.unpack_from(">II", first, 16)
    place, kind = 33, b""
    while kind != b"IEND":
        length, kind = struct.unpack(
            ">I4s", first[place : place + 8] if place + 8 <= len(first) else os.pread(handle, 8, place)
        )
        if kind not in _PLAIN:
            return None
        place += 12 + length
    return (height, width) if height and width else None
