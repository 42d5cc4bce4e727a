"""Reads masks, PNGs of class ids or lanes that are drawn, and resizes them by the geometry of their images' pixels.

Read, a mask holds class indices 0..classes-1, and IGNORE where nothing is known, whatever ids the files use, so that
losses and scores need not know the data set. 255 is also PASCAL VOC's id of "void" (Everingham et al. 2010).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image

from tfmo_drive.data.images import Resize, UnreadableImage, opened, size_of
from tfmo_drive.data.lanes import Lanes, drawn, read_lines
from tfmo_drive.data.paths import Paths
from tfmo_drive.data.splitting import Split

IGNORE = 255
LOSSLESS = (".png", ".bmp", ".gif", ".tif", ".tiff")
"""The suffixes of files that keep ids and colours as they were."""
EXPECTED = (
    "A mask is a grey or palette PNG of class ids, 255 at most, as large as its image; or one of colours, which "
    "class_dict.csv (name,r,g,b) names."
)
UNKNOWN = (-1, -1, -1)
"""The colour of an id of which no palette that was looked at says one."""
MASKS_VERSION = 3
"""The version of how `read_mask` reads files, so that older cached masks are never taken for its own."""
_GREY_STEPS = {2: 85, 4: 17}
"""Bits per pixel of a grey PNG to the step by which Pillow spreads its values over 0..255 (255 / 3, 255 / 15)."""


@dataclasses.dataclass(frozen=True)
class MaskIds:
    """Maps the ids in mask files to class indices.

    Args:
        count: Files may hold the ids 0..count-1, and 255.
        ignored: The ids that are no classes, like 255; the ids above them move up in order.
        colours: The (red, green, blue) of each id in order, where files hold colours in place of ids.
        palette: The colour of each id in palette files, or UNKNOWN: a file in which it is another is refused.
    """

    count: int
    ignored: tuple[int, ...] = ()
    colours: tuple[tuple[int, int, int], ...] = ()
    palette: tuple[tuple[int, int, int], ...] = ()

    @property
    def table(self) -> np.ndarray:
        """Returns the class index of each id in a file, int16 [256]: IGNORE for no class, -1 for no id."""
        table = np.full(256, -1, np.int16)
        classes = [number for number in range(self.count) if number not in self.ignored]
        table[classes] = np.arange(len(classes))
        table[[*self.ignored, IGNORE]] = IGNORE
        return table


@dataclasses.dataclass(frozen=True)
class MaskSplit(Split):
    """Lists the images of one split and what tells their masks, in one order; the labels are all 0.

    A mask is told by a PNG, by a file of CULane's lanes (.txt), or by lanes.
    """

    masks: Sequence[Path | Lanes]
    ids: MaskIds

    def __post_init__(self) -> None:
        super().__post_init__()
        lanes = any(isinstance(mask, Lanes) for mask in self.masks[:1])
        object.__setattr__(self, "masks", tuple(self.masks) if lanes else Paths(self.masks))

    def at(self, kept: np.ndarray) -> Self:
        """Returns the split of the images at these indices."""
        masks = self.masks.at(kept) if isinstance(self.masks, Paths) else [self.masks[index] for index in kept]
        return dataclasses.replace(super().at(kept), masks=masks)


def read_mask(source: Path | Lanes, image: Path, ids: MaskIds, size: tuple[int, int], resize: Resize) -> np.ndarray:
    """Returns the mask of an image as uint8 [height, width]: class indices, and IGNORE in letterbox borders too.

    Pixels are taken, not blended (nearest to the centre): between road (3) and tree (5) there is no pavement (4).
    Lanes are drawn at the image's size. Raises UnreadableImage (a BadInput) for a damaged file, colours, another size
    than the image's and unknown ids.
    """
    file, expected = getattr(source, "file", source), size_of(image)
    if isinstance(source, Lanes) or source.suffix == ".txt":
        found = drawn(source.lines if isinstance(source, Lanes) else read_lines(source), expected)
    else:
        found = _read_colours(file, ids) if ids.colours else _read_ids(file, ids)
    if found.shape != expected:
        sizes = [f"{width} x {height}" for height, width in (found.shape, expected)]
        raise UnreadableImage(str(file), f"{sizes[0]}, but its image is {sizes[1]}")
    classes = ids.table[found]
    if classes.min() < 0:
        raise UnreadableImage(str(file), f"id {found[classes < 0].max()}, but there are {ids.count} ids")
    geometry = dataclasses.replace(resize, rule="nearest", pad=IGNORE)
    return np.array(geometry(Image.fromarray(classes.astype(np.uint8)), size))


def _read_ids(file: Path, ids: MaskIds) -> np.ndarray:
    """Returns the ids as they are in the file, uint8 [height, width]."""
    with opened(file, file) as image:
        mode, kind, found = image.mode, image.format, np.asarray(image)
        if mode == "P" and ids.palette:
            _refuse_other_palette(file, ids, bytes(image.getpalette("RGB") or ()), found)
        if mode in ("RGB", "RGBA", "LA"):
            found = _in_one_channel(file, found, ids)
        elif mode not in ("1", "L", "P") and not mode.startswith("I"):
            raise UnreadableImage(str(file), f"{mode} instead of class ids")
        if mode == "L" and kind == "PNG":
            bits = Path(file).read_bytes()[24]  # signature 8, length 4, "IHDR", width 4, height 4 (W3C PNG, 11.2.1)
            found = found // _GREY_STEPS.get(bits, 1)
    if not 0 <= found.min() <= found.max() <= IGNORE:
        raise UnreadableImage(str(file), f"ids from {found.min()} to {found.max()}, of {IGNORE} at most")
    return found.astype(np.uint8)


def _in_one_channel(file: Path, pixels: np.ndarray, ids: MaskIds) -> np.ndarray:
    """Returns the ids of pixels [height, width, channels] that are grey, or red alone, as CARLA's camera saves tags."""
    colours = pixels[..., : 3 if pixels.shape[2] > 2 else 1]
    ids_alone = not colours[..., 1:].any() and colours.max() < ids.count
    if not ids_alone and (colours != colours[..., :1]).any():
        raise UnreadableImage(str(file), "colours instead of class ids")
    return colours[..., 0]


def _refuse_other_palette(file: Path, ids: MaskIds, palette: bytes, found: np.ndarray) -> None:
    own = np.frombuffer(palette, np.uint8).reshape(-1, 3).astype(int)
    agreed = np.array(ids.palette[: len(own)])
    other = (own[: len(agreed)] != agreed).any(axis=1) & (agreed != UNKNOWN).any(axis=1)
    if other.any() and (used := other.nonzero()[0][np.isin(other.nonzero()[0], found)]).size:
        colours = [tuple(colour[used[0]].tolist()) for colour in (own, agreed)]
        raise UnreadableImage(
            str(file), f"id {used[0]} is the colour {colours[0]}, and {colours[1]} in others, so it is no class"
        )


def _read_colours(file: Path, ids: MaskIds) -> np.ndarray:
    """Returns the id of each pixel's colour, uint8 [height, width]."""
    with opened(file, file) as image:
        if image.mode not in ("1", "L", "P", "RGB", "RGBA"):
            raise UnreadableImage(str(file), f"{image.mode} instead of colours")
        pixels = np.asarray(image.convert("RGB"), np.int32)
    codes, found = _coded(np.array(ids.colours, np.int32)), _coded(pixels)
    order = np.argsort(codes)
    places = order[np.searchsorted(codes, found, sorter=order).clip(max=len(codes) - 1)]
    other = codes[places] != found
    if other.any():
        colour = tuple(pixels[other][0].tolist())
        raise UnreadableImage(str(file), f"colour {colour} is of no class, in {other.sum():,} pixels")
    return places.astype(np.uint8)


def _coded(colours: np.ndarray) -> np.ndarray:
    """Returns one number for each colour: int32 [..., 3] to [...]."""
    return colours[..., 0] << 16 | colours[..., 1] << 8 | colours[..., 2]
