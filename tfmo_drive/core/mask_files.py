"""Masks in files: PNGs of class ids, brought to size by the same geometry as their images' pixels.

Read, a mask holds class indices 0..classes-1, and IGNORE where nothing is known, whatever ids the files use, so that
losses and scores need not know the data set. 255 is also PASCAL VOC's id of "void" (Everingham et al. 2010).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from PIL import Image

from tfmo_drive.core.images import Resize, UnreadableImage, reading, size_of
from tfmo_drive.core.splitting import Split

IGNORE = 255
EXPECTED = "A mask is a grey or palette PNG of class ids, of 8 bits or fewer, as large as its image."
MASKS_VERSION = 2
"""Of how `read_mask` reads files, so that an old pack is never taken for its masks."""
_GREY_STEPS = {2: 85, 4: 17}
"""Bits per pixel of a grey PNG to the step by which Pillow spreads its values over 0..255 (255 / 3, 255 / 15)."""


@dataclasses.dataclass(frozen=True)
class MaskIds:
    """Ids 0..count-1 and 255 may be in files; those `ignored`, and 255, are no classes. The others move up in order."""

    count: int
    ignored: tuple[int, ...] = ()

    @property
    def table(self) -> np.ndarray:
        """int16 [256]: a file's id to class index, IGNORE, or -1 for what may not be."""
        table = np.full(256, -1, np.int16)
        classes = [number for number in range(self.count) if number not in self.ignored]
        table[classes] = np.arange(len(classes))
        table[[*self.ignored, IGNORE]] = IGNORE
        return table


@dataclasses.dataclass(frozen=True)
class MaskSplit(Split):
    """Images of one split and their masks, in one order; labels say nothing (zeros)."""

    masks: tuple[Path, ...]
    ids: MaskIds


def read_mask(file: Path, image: Path, ids: MaskIds, size: tuple[int, int], resize: Resize) -> np.ndarray:
    """The mask of an image as uint8 [height, width]: class indices, and IGNORE in letterbox borders too.

    Pixels are taken, not blended (nearest to the centre): between road (3) and tree (5) there is no pavement (4).
    Raises UnreadableImage (a BadInput) for a damaged file, colours, another size than the image's and unknown ids.
    """
    found = _read_ids(file)
    expected = size_of(image)
    if found.shape != expected:
        sizes = [f"{width} x {height}" for height, width in (found.shape, expected)]
        raise UnreadableImage(str(file), f"{sizes[0]}, but its image is {sizes[1]}")
    classes = ids.table[found]
    if classes.min() < 0:
        raise UnreadableImage(str(file), f"id {found[classes < 0].max()}, but there are {ids.count} ids")
    geometry = dataclasses.replace(resize, rule="nearest", pad=IGNORE)
    return np.array(geometry(Image.fromarray(classes.astype(np.uint8)), size))


def _read_ids(file: Path) -> np.ndarray:
    """uint8 [height, width], as they are in the file."""
    with reading(file), Image.open(file) as opened:
        mode, kind, found = opened.mode, opened.format, np.asarray(opened)
    if mode not in ("1", "L", "P"):
        raise UnreadableImage(str(file), f"{mode} instead of class ids")
    if mode == "L" and kind == "PNG":
        with reading(file), open(file, "rb") as stream:
            bits = stream.read(25)[24]  # signature 8, length 4, "IHDR", width 4, height 4 (W3C PNG, section 11.2.1)
        found = found // _GREY_STEPS.get(bits, 1)
    return found.astype(np.uint8)
