"""Chooses which weights to keep by their scores: masks unstructured, 2:4 or in blocks.

The largest are selected, not sorted.
"""

from __future__ import annotations

import re

import numpy as np

from tfmo_drive.contracts import BadInput

Pattern = tuple[int, int] | str | None


def pattern(text: str, setting: str) -> Pattern:
    """Returns the pattern that a text names: "unstructured" gives None, "2:4" gives (2, 4), "4x1" gives "4x1".

    Raises BadInput, which `setting` ("Prune.pattern") begins, for any other text.
    """
    if text == "unstructured":
        return None
    if text == "2:4":
        return (2, 4)
    if re.fullmatch(r"[1-9]\d*x[1-9]\d*", text):
        return text
    raise BadInput(f"{setting} must be unstructured, 2:4 or a block such as 4x1, got {text!r}.")


def fits(shape: tuple[int, ...], pattern: Pattern) -> bool:
    """Says whether a kernel [..., c_in, c_out] can carry the pattern: 2:4 needs input channels in fours."""
    return pattern != (2, 4) or shape[-2] % 4 == 0


def largest(scores: np.ndarray, sparsity: float, pattern: Pattern) -> np.ndarray:
    """Returns the mask that keeps the largest scores: 0 or 1, in dtype and shape of `scores`.

    Exactly round(size * sparsity) elements (or blocks) are zero, also where magnitudes tie (tfmot then keeps more).

    Args:
        scores: [..., c_in, c_out]; their signs do not count.
        sparsity: The fraction of zeros in [0, 1).
        pattern: What `pattern` returns.
    """
    if pattern == (2, 4):
        return _two_of_four(scores)
    rows = np.abs(scores).reshape(-1, scores.shape[-1])
    if isinstance(pattern, str):
        return _blocks(rows, sparsity, pattern).reshape(scores.shape).astype(scores.dtype)
    return _keep_largest(rows.reshape(-1), sparsity).reshape(scores.shape).astype(scores.dtype)


def above(scores: list[np.ndarray], threshold: float) -> list[float]:
    """Returns the fraction of each kernel that scores below `threshold`; the best weight of each stays."""
    return [min(float(np.mean(score < threshold)), 1 - 1 / score.size) for score in scores]


def ranked(scores: list[np.ndarray], sparsity: float) -> list[float]:
    """Returns each kernel's sparsity in [0, 1) where all weights are ranked together.

    In all it is `sparsity`; each kernel keeps its best weight.
    """
    flat = np.concatenate([score.reshape(-1) for score in scores])
    dropped = int(round(flat.size * sparsity))
    if not dropped:
        return [0.0] * len(scores)
    order = np.argpartition(flat, dropped - 1)[:dropped]  # exactly so many, where scores tie too
    ends = np.cumsum([score.size for score in scores])
    counts = np.bincount(np.searchsorted(ends, order, "right"), minlength=len(scores))
    return [min(int(count), score.size - 1) / score.size for count, score in zip(counts, scores, strict=True)]


def lamp(scores: list[np.ndarray], sparsity: float) -> list[float]:
    """Returns each kernel's sparsity in [0, 1), together `sparsity`: layer-adaptive magnitude (LAMP, Lee et al. 2021).

    A weight's rank is its squared score over the sum of all squares of its kernel that are not smaller: blind to a
    kernel's scale, which BatchNorm undoes anyway, and kinder to small kernels, which a uniform fraction damages most.
    """
    ranks = []
    for kernel in scores:
        squares = np.sort(np.square(kernel.reshape(-1), dtype=np.float64))
        tails = np.cumsum(squares[::-1])[::-1]
        ranks.append(squares / np.maximum(tails, np.finfo(np.float64).tiny))
    return ranked(ranks, sparsity)


def holds(weights: np.ndarray, sparsity: float, pattern: Pattern) -> bool:
    """Says whether a kernel [..., c_in, c_out] has the zeros that `largest` makes (or more), in the pattern."""
    zeros = weights == 0
    if pattern == (2, 4):
        return bool((np.moveaxis(zeros, -2, -1).reshape(-1, 4).sum(1) >= 2).all())
    if pattern is None:
        return int(zeros.sum()) >= round(weights.size * sparsity)
    empty = _tiles(zeros.reshape(-1, weights.shape[-1]), pattern, True).all(axis=(1, 3))
    return int(empty.sum()) >= round(empty.size * sparsity)


def _keep_largest(scores: np.ndarray, sparsity: float) -> np.ndarray:
    """Returns, bool [n], which scores stay; of those that tie at the threshold the later ones do."""
    dropped = int(round(scores.size * sparsity))
    if not dropped:
        return np.ones(scores.size, bool)
    threshold = np.partition(scores, dropped - 1)[dropped - 1]  # twice as fast as the indices that argpartition gives
    mask = scores > threshold
    ties = np.flatnonzero(scores == threshold)
    mask[ties[dropped - (scores.size - int(mask.sum()) - len(ties)) :]] = True
    return mask


def _two_of_four(weights: np.ndarray) -> np.ndarray:
    moved = np.moveaxis(np.abs(weights), -2, -1)
    ranks = moved.reshape(-1, 4).argsort(1, kind="stable").argsort(1)
    return np.moveaxis((ranks >= 2).reshape(moved.shape), -1, -2).astype(weights.dtype)


def _blocks(scores: np.ndarray, sparsity: float, pattern: str) -> np.ndarray:
    """Returns the mask of blocks ranked by mean magnitude; the last blocks may reach over the kernel's edge."""
    tiles = _tiles(scores, pattern, np.nan)
    means = np.nanmean(tiles, axis=(1, 3))
    kept = _keep_largest(means.reshape(-1), sparsity).reshape(means.shape)
    height, width = scores.shape
    return np.repeat(np.repeat(kept, tiles.shape[1], 0), tiles.shape[3], 1)[:height, :width]


def _tiles(values: np.ndarray, pattern: str, beyond: float | bool) -> np.ndarray:
    """Returns [h, w] as [h / rows, rows, w / columns, columns], filled up with `beyond` over the edge."""
    rows, columns = map(int, pattern.split("x"))
    height, width = values.shape
    padded = np.pad(values, ((0, -height % rows), (0, -width % columns)), constant_values=beyond)
    return padded.reshape(padded.shape[0] // rows, rows, padded.shape[1] // columns, columns)
