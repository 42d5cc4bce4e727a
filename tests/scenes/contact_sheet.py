"""Draws data/scenes.png, the contact sheet of the built-in scenes: python -m tests.scenes.contact_sheet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tfmo_drive.base import atomic
from tfmo_drive.scenes.scenes import PATCH_CLASSES, Scene, SceneObject, draw, patch

_MASK_COLOURS = np.array(
    [(70, 130, 180), (70, 70, 70), (107, 142, 35), (128, 64, 128), (250, 250, 250), (244, 35, 232), (153, 153, 153),
     (0, 0, 200), (220, 20, 60), (255, 140, 0), (220, 220, 0), (0, 220, 160)], np.uint8,
)  # fmt: skip
"""The colours of SEMANTIC_CLASSES, after the Cityscapes palette (Cordts et al. 2016)."""
_SHOWN = (
    ("clear", "day"), ("rain", "dusk"), ("clear", "night"), ("clear", "dusk"), ("fog", "day"), ("rain", "day"),
)  # fmt: skip


def contact_sheet(path: Path, seed: int = 0) -> None:
    """Writes a PNG to look at, about 1000 px wide: frames, frames with boxes, masks, and patches of every class."""
    size, columns = (188, 330), 3
    frames = [_telling_frame(seed, number, size, *shown) for number, shown in enumerate(_SHOWN)]
    plain = [Image.fromarray(frame.image) for frame in frames[:columns]]
    masks = [Image.fromarray(_MASK_COLOURS[frame.mask]) for frame in frames[columns:]]
    tiles = [*plain, *(_boxed(frame) for frame in frames[columns:]), *masks]
    side, label_width = 48, 106
    top = (size[0] + 4) * (len(tiles) // columns)
    sheet = Image.new("RGB", (columns * (size[1] + 4) - 4, top + side * len(PATCH_CLASSES)), (255, 255, 255))
    for number, tile in enumerate(tiles):
        sheet.paste(tile, (number % columns * (size[1] + 4), number // columns * (size[0] + 4)))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for row, name in enumerate(PATCH_CLASSES):
        pen.text((2, top + side * row + side // 3), name, (0, 0, 0), font)
    room = [(sheet.width - label_width) // side] * len(PATCH_CLASSES)
    index = 0
    while any(room):
        image, label, _ = patch(seed, index, side)
        index += 1
        if room[label]:
            room[label] -= 1
            sheet.paste(Image.fromarray(image), (label_width + side * room[label], top + side * label))
    with atomic.file(path) as temporary:
        palette = sheet.resize((sheet.width // 4, sheet.height // 4), Image.Resampling.NEAREST).quantize(256, kmeans=2)
        sheet.quantize(palette=palette, dither=Image.Dither.NONE).save(temporary, optimize=True)


def _telling_frame(seed: int, number: int, size: tuple[int, int], weather: str, time_of_day: str) -> Scene:
    """Returns the frame with the most kinds of large objects among a few."""
    frames = (draw(seed, 12 * number + k, size, weather, time_of_day) for k in range(12))
    return max(frames, key=lambda frame: len({thing.kind for thing in frame.objects if _height(thing) > 18}))


def _height(thing: SceneObject) -> float:
    return thing.box[3] - thing.box[1]


def _boxed(frame: Scene) -> Image.Image:
    image = Image.fromarray(frame.image)
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(9)
    for thing in frame.objects:
        if thing.visible > 0.3 and _height(thing) > 9:
            pen.rectangle(thing.box, outline=(255, 230, 0))
            pen.text((thing.box[0], thing.box[1] - 11), thing.kind, (255, 230, 0), font)
    return image


if __name__ == "__main__":
    contact_sheet(Path("data/scenes.png"))
