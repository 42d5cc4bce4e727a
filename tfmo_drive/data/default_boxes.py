"""Places the default boxes of a single-shot detector, and turns its offsets into boxes; without TensorFlow.

Liu et al. 2016, "SSD: Single shot multibox detector", section 2.2: in every cell of every map stand some boxes of a
given side and of several shapes, and the detector says how far the object's box is from each.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

CENTRE_VARIANCE, SIDE_VARIANCE = 0.1, 0.2
"""What offsets are multiplied by, so that they are of one size: those of the authors' own code."""
_WIDEST = 4.0
"""The exponent up to which a side grows: what int8 or an untrained network says is not let run to infinity."""


def placed(size: tuple[int, int], strides: Sequence[int], scale: float, ratios: Sequence[float]) -> np.ndarray:
    """Returns the default boxes, float32 [n, 4]: x and y of the centre, width and height, in pixels.

    They stand map by map, row by row, column by column, then shape by shape: those of `ratios`, then the square whose
    side is the geometric mean of this map's and the next one's, of twice the stride.

    Args:
        size: (height, width) of the images in pixels.
        strides: The sides of the maps' cells in pixels, from fine to coarse.
        scale: The side of a map's boxes in its cells.
        ratios: Width over height of each shape, of equal areas.
    """
    found = []
    for stride in strides:
        rows, columns = grid(size, stride)
        y, x = np.meshgrid(
            (np.arange(rows) + 0.5) * size[0] / rows, (np.arange(columns) + 0.5) * size[1] / columns, indexing="ij"
        )
        roots = np.sqrt(ratios)
        side = scale * stride
        shapes = np.append(np.stack([side * roots, side / roots], axis=-1), [[side * 2**0.5] * 2], axis=0)
        centres = np.repeat(np.stack([x, y], axis=-1).reshape(-1, 1, 2), len(shapes), axis=1)
        boxes = np.concatenate([centres, np.broadcast_to(shapes, centres.shape)], axis=-1)
        found.append(boxes.reshape(-1, 4))
    return np.concatenate(found).astype(np.float32)


def grid(size: tuple[int, int], stride: int) -> tuple[int, int]:
    """Returns the rows and columns of the map of a stride: as many as padded convolutions leave."""
    return -(-size[0] // stride), -(-size[1] // stride)


def decoded(offsets: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Returns boxes x0, y0, x1, y1 in pixels, float32 [b, n, 4].

    Args:
        offsets: float [b, n, 4]: of the centre in tenths of the default box, of the sides' logarithms in fifths.
        boxes: The default boxes, as `placed` gives them.
    """
    offsets = offsets.astype(np.float32)
    centre = boxes[:, :2] + CENTRE_VARIANCE * offsets[..., :2] * boxes[:, 2:]
    half = boxes[:, 2:] / 2 * np.exp(np.minimum(SIDE_VARIANCE * offsets[..., 2:], _WIDEST))
    return np.concatenate([centre - half, centre + half], axis=-1)
