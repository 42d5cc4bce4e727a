"""Draws what a model answers for an image over the pixels that it saw, as its metadata says how it is read."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfmo_drive.pack import example
from tfmo_drive.scores import pictures


def drawn(pixels: np.ndarray, outputs: dict[str, np.ndarray], facts: dict[str, Any]) -> np.ndarray:
    """Returns a task's answers over an image, uint8 [h, w, 3], enlarged: boxes, a mask, an arrow, else words.

    Args:
        pixels: The model's raw input, uint8 [height, width, channels].
        outputs: The task's outputs for it, by name, real numbers.
        facts: The task's part of the metadata.
    """
    decode, found, labels = facts["decode"], example.decoded(outputs, facts), list(facts.get("labels", ()))
    pixels = pictures.shown(pixels, None)
    if decode["kind"] == "detections":
        boxes = np.float32([one["box"] for one in found]).reshape(-1, 4)
        return pictures.boxed(pixels, boxes, np.array([labels.index(one["label"]) for one in found], int), labels)
    if decode["kind"].startswith("segmentation "):
        mask = next(iter(outputs.values())).argmax(-1).astype(np.uint8)
        return pictures.masked(pixels, _as_large(mask, pixels), labels)
    if decode.get("unit") == "degrees" and decode.get("positive") == "to the right":
        pixels = pictures.steered(pixels, 1.0, found[0]["value"])
    told = found if decode["kind"] == "labels" else found[:1]
    return pictures.captioned(pixels, ", ".join(example.line(one, facts).strip() for one in told) or "nothing")


def _as_large(mask: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Returns a mask [h / n, w / n] with as many cells as there are pixels: uint8 [h, w]."""
    rows, columns = (np.arange(side) * cells // side for side, cells in zip(pixels.shape, mask.shape, strict=False))
    return mask[np.ix_(rows, columns)]
