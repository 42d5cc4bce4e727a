"""Weights the pixels of each class in training: rare classes more, or a network never says "pedestrian".

Median frequency balancing (Eigen & Fergus 2015, "Predicting depth, surface normals and semantic labels", section 4.3.2,
and SegNet on CamVid), of which the square root: a class of a hundredth of the median's pixels counts ten times, not a
hundred times, so that it is found and not seen everywhere.
"""

from __future__ import annotations

import numpy as np


def class_weights(pixels: np.ndarray) -> np.ndarray:
    """Returns sqrt(median / pixels), float32 [classes], of each class's pixels, int64 [classes]; 0 without any."""
    there = pixels > 0
    median = np.median(pixels[there]) if there.any() else 1.0
    return np.where(there, np.sqrt(median / np.maximum(pixels, 1)), 0).astype(np.float32)
