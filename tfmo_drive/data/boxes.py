"""Computes with boxes: how much two overlap, which of many detections are kept, and where boxes lie in a resized image.

A box is x0, y0, x1, y1 in pixels, float [4]: edges, not pixel centres, so a box over the whole image is 0, 0, width,
height. Greedy non-maximum suppression as in Girshick et al. 2014 (arXiv:1311.2524, section 2.2), class by class.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from tfmo_drive.data.images import Resize

VISIBLE = 0.3
"""The share of a box's area that must be left inside the image; with less, nobody should have to find the object."""
_FIELDS = ("boxes", "classes", "crowd", "areas")


@dataclasses.dataclass(frozen=True)
class Detections:
    """Holds what a detector finds in one image: boxes float [k, 4], scores float [k] and classes int [k]."""

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray

    def __len__(self) -> int:
        return len(self.boxes)

    def at(self, kept: np.ndarray) -> Detections:
        """Returns the detections at these indices, or where a mask is true."""
        return Detections(self.boxes[kept], self.scores[kept], self.classes[kept])


@dataclasses.dataclass(frozen=True)
class Truth:
    """Holds the objects of one image: boxes float32 [n, 4], classes int64 [n], crowd bool [n] and areas float32 [n].

    Args:
        boxes: x0, y0, x1, y1 in pixels.
        classes: The classes' indices.
        crowd: Whether the box holds many objects that were not told apart; finding one there is neither right nor
            wrong.
        areas: The area of the object itself in square pixels (COCO: of its mask), which says whether it is small or
            large.
    """

    boxes: np.ndarray
    classes: np.ndarray
    crowd: np.ndarray
    areas: np.ndarray

    def __len__(self) -> int:
        return len(self.boxes)

    def at(self, kept: np.ndarray) -> Truth:
        """Returns the objects at these indices, or where a mask is true."""
        return Truth(self.boxes[kept], self.classes[kept], self.crowd[kept], self.areas[kept])

    def resized(self, source_size: tuple[int, int], size: tuple[int, int], resize: Resize) -> Truth:
        """Returns the objects in the pixels of the resized image (see `resized` below).

        An object that a crop leaves out is gone; one of which the crop leaves less than VISIBLE becomes a crowd.
        """
        return self.moved(source_size, size, resize)[1]

    def moved(self, source_size: tuple[int, int], size: tuple[int, int], resize: Resize) -> tuple[np.ndarray, Truth]:
        """Returns the indices of the objects that `resized` keeps, and what it returns."""
        boxes = resized(self.boxes, source_size, size, resize).astype(np.float32)
        share = areas(boxes) / areas(self.boxes)  # a crop is taken to cut box and object alike
        left = areas(restored(boxes, source_size, size, resize)) / areas(self.boxes)
        moved = Truth(boxes, self.classes, self.crowd | (left < VISIBLE), (self.areas * share).astype(np.float32))
        kept = np.flatnonzero(share > 0)
        return kept, moved.at(kept)


@dataclasses.dataclass(frozen=True, eq=False)
class Truths(Sequence[Truth]):
    """Holds the objects of many images: one after the other in the arrays of one Truth, as a Truth for each is slow.

    Args:
        whole: The objects of all images, in the images' order.
        ends: Where the objects of each image end, int64 [n].
    """

    whole: Truth
    ends: np.ndarray

    @classmethod
    def of(cls, each: Iterable[Truth | Truths]) -> Truths:
        """Returns the objects of some images, or those of some lists of images, in their order."""
        parts = [one if isinstance(one, Truths) else Truths(one, np.array([len(one)])) for one in each]
        fields = [np.concatenate([getattr(one.whole, field) for one in parts]) for field in _FIELDS]
        return cls(Truth(*fields), np.cumsum(np.concatenate([one.counts for one in parts])))

    @property
    def counts(self) -> np.ndarray:
        """Returns the number of objects of each image, int64 [n]."""
        return np.diff(self.ends, prepend=0)

    @property
    def images(self) -> np.ndarray:
        """Returns the index of each object's image, int64 [m]."""
        return np.repeat(np.arange(len(self)), self.counts)

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: int) -> Truth:
        index = range(len(self.ends))[index]
        return self.whole.at(slice(self.ends[index - 1] if index else 0, self.ends[index]))

    def __iter__(self) -> Iterator[Truth]:
        return map(self.__getitem__, range(len(self)))

    def at(self, kept: np.ndarray) -> Truths:
        """Returns the objects of the images at these indices."""
        counts = self.counts[kept]
        ends = np.cumsum(counts)
        return Truths(self.whole.at(np.arange(counts.sum()) + np.repeat(self.ends[kept] - ends, counts)), ends)

    def resized(self, source_sizes: np.ndarray, size: tuple[int, int], resize: Resize) -> Truths:
        """Returns the objects in the pixels of the resized images, as `Truth.resized` does, of one size at a time.

        Args:
            source_sizes: (height, width) of each image, int64 [n, 2].
            size: (height, width) of the resized images.
            resize: The rule of resizing.
        """
        sizes, kinds = np.unique(source_sizes, axis=0, return_inverse=True)
        kinds = kinds.ravel()
        order = np.argsort(kinds, kind="stable")
        parts = np.split(order, np.cumsum(np.bincount(kinds))[:-1])
        moved = []
        for sides, part in zip(sizes.tolist(), parts, strict=True):
            own = self.at(part)
            kept, found = own.whole.moved(tuple(sides), size, resize)
            moved.append(Truths(found, np.cumsum(np.bincount(own.images[kept], minlength=len(part)))))
        return Truths.of(moved).at(np.argsort(order)) if moved else self


def areas(boxes: np.ndarray) -> np.ndarray:
    """Returns the areas [n] of boxes [n, 4] in square pixels; 0 where x1 <= x0 or y1 <= y0."""
    return np.maximum(boxes[:, 2] - boxes[:, 0], 0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0)


def iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns the intersection over union, [n, m] in [0, 1], of boxes `first` [n, 4] with boxes `second` [m, 4].

    It is 0 for boxes of no area, and computed in float64 for integer boxes, else in the boxes' own dtype.
    """
    corner = np.maximum(first[:, None, :2], second[None, :, :2])
    sides = np.maximum(np.minimum(first[:, None, 2:], second[None, :, 2:]) - corner, 0)
    shared = sides[..., 0] * sides[..., 1]
    union = areas(first)[:, None] + areas(second)[None] - shared
    return shared / np.where(shared > 0, union, 1)


def nms(boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray, iou_threshold: float, limit: int) -> np.ndarray:
    """Returns the indices of the detections to keep, int64 [<= limit], by falling score, equal scores in their order.

    From the highest score down, a detection is kept unless its IoU with a kept one of its own class is above the
    threshold. A board does the same on its CPU, behind the quantised graph.

    Args:
        boxes: float [n, 4], x0, y0, x1, y1 in pixels.
        scores: float [n].
        classes: int [n].
        iou_threshold: The largest overlap in [0, 1] with a kept box.
        limit: The largest number of detections kept.
    """
    order = np.argsort(-np.asarray(scores), kind="stable")
    boxes, classes = boxes[order], classes[order]
    kept = []
    while len(order) and len(kept) < limit:
        kept.append(order[0])
        rival = (classes == classes[0]) & (iou(boxes[:1], boxes)[0] > iou_threshold)
        rival[0] = True
        boxes, classes, order = boxes[~rival], classes[~rival], order[~rival]
    return np.array(kept, np.int64)


def resized(boxes: np.ndarray, source_size: tuple[int, int], size: tuple[int, int], resize: Resize) -> np.ndarray:
    """Returns boxes [n, 4] in the pixels of `resize(image, size)`, clipped to the part that shows the image.

    A box that center_crop cuts away keeps its row, as a box of no area on the border.

    Args:
        boxes: [n, 4], in the pixels of the source image.
        source_size: (height, width) of the source image.
        size: (height, width) of the resized image.
        resize: The rule of resizing.
    """
    scale, shift = _affine(source_size, size, resize)
    _, inner, corner = resize.placement(source_size, size)
    low = np.tile(corner, 2)
    return np.clip(boxes * scale + shift, low, low + np.tile(inner, 2))


def restored(boxes: np.ndarray, source_size: tuple[int, int], size: tuple[int, int], resize: Resize) -> np.ndarray:
    """Returns boxes [n, 4] of the resized image in its source's pixels, clipped to it: the inverse of `resized`."""
    scale, shift = _affine(source_size, size, resize)
    height, width = source_size
    return np.clip((boxes - shift) / scale, 0, [width, height, width, height])


def _affine(source_size: tuple[int, int], size: tuple[int, int], resize: Resize) -> tuple[np.ndarray, np.ndarray]:
    """Returns (scale, shift), each [x, y, x, y]: resized = source * scale + shift."""
    (left, top, right, bottom), inner, corner = resize.placement(source_size, size)
    scale = np.array(inner) / (right - left, bottom - top)
    return np.tile(scale, 2), np.tile(corner - scale * (left, top), 2)
