"""Which weights to keep: magnitude masks, unstructured, 2:4 or in blocks, by selection rather than sorting."""

from __future__ import annotations

import re

import numpy as np

from tfmo_drive.contracts import BadInput

Pattern = tuple[int, int] | str | None


def pattern(text: str) -> Pattern:
    """ "unstructured" -> None, "2:4" -> (2, 4), "4x1" -> "4x1"; BadInput otherwise."""
    if text == "unstructured":
        return None
    if text == "2:4":
        return (2, 4)
    if re.fullmatch(r"[1-9]\d*x[1-9]\d*", text):
        return text
    raise BadInput(f"Prune.pattern must be unstructured, 2:4 or a block such as 4x1, got {text!r}.")


def fits(shape: tuple[int, ...], pattern: Pattern) -> bool:
    """Whether a kernel [..., c_in, c_out] can carry the pattern: 2:4 needs input channels in fours."""
    return pattern != (2, 4) or shape[-2] % 4 == 0


def magnitude(weights: np.ndarray, sparsity: float, pattern: Pattern) -> np.ndarray:
    """The mask (0 or 1, dtype and shape of `weights` [..., c_in, c_out]) that keeps the largest magnitudes.

    Exactly round(size * sparsity) elements (or blocks) are zero, also where magnitudes tie (tfmot then keeps more).
    """
    if pattern == (2, 4):
        return _two_of_four(weights)
    scores = np.abs(weights).reshape(-1, weights.shape[-1])
    if isinstance(pattern, str):
        return _blocks(scores, sparsity, pattern).reshape(weights.shape).astype(weights.dtype)
    return _keep_largest(scores.reshape(-1), sparsity).reshape(weights.shape).astype(weights.dtype)


def lamp(weights: list[np.ndarray], sparsity: float) -> list[float]:
    """Per-kernel sparsities in [0, 1) that together make `sparsity`: layer-adaptive magnitude (LAMP, Lee et al. 2021).

    A weight's score is its square over the sum of all squares of its kernel that are not smaller: blind to a kernel's
    scale, which BatchNorm undoes anyway, and kinder to small kernels, which a uniform fraction damages most.
    """
    scores = []
    for kernel in weights:
        squares = np.sort(np.square(kernel.reshape(-1), dtype=np.float64))
        tails = np.cumsum(squares[::-1])[::-1]
        scores.append(squares / np.maximum(tails, np.finfo(np.float64).tiny))
    total = sum(score.size for score in scores)
    dropped = int(round(total * sparsity))
    if not dropped:
        return [0.0] * len(weights)
    threshold = np.partition(np.concatenate(scores), dropped - 1)[dropped - 1]
    # Scores rise with magnitude, and the largest weight of a kernel scores 1: no kernel is emptied.
    return [min(np.searchsorted(score, threshold, "right"), score.size - 1) / score.size for score in scores]


def holds(weights: np.ndarray, sparsity: float, pattern: Pattern) -> bool:
    """Whether a kernel [..., c_in, c_out] has the zeros that `magnitude` makes (or more), in the pattern."""
    zeros = weights == 0
    if pattern == (2, 4):
        return bool((np.moveaxis(zeros, -2, -1).reshape(-1, 4).sum(1) >= 2).all())
    if pattern is None:
        return int(zeros.sum()) >= round(weights.size * sparsity)
    empty = _tiles(zeros.reshape(-1, weights.shape[-1]), pattern, True).all(axis=(1, 3))
    return int(empty.sum()) >= round(empty.size * sparsity)


def _keep_largest(scores: np.ndarray, sparsity: float) -> np.ndarray:
    dropped = int(round(scores.size * sparsity))
    mask = np.ones(scores.size, bool)
    if dropped:
        mask[np.argpartition(scores, dropped - 1)[:dropped]] = False
    return mask


def _two_of_four(weights: np.ndarray) -> np.ndarray:
    moved = np.moveaxis(np.abs(weights), -2, -1)
    ranks = moved.reshape(-1, 4).argsort(1, kind="stable").argsort(1)
    return np.moveaxis((ranks >= 2).reshape(moved.shape), -1, -2).astype(weights.dtype)


def _blocks(scores: np.ndarray, sparsity: float, pattern: str) -> np.ndarray:
    """Blocks ranked by mean magnitude; the last ones may hang over the kernel's edge."""
    tiles = _tiles(scores, pattern, np.nan)
    means = np.nanmean(tiles, axis=(1, 3))
    kept = _keep_largest(means.reshape(-1), sparsity).reshape(means.shape)
    height, width = scores.shape
    return np.repeat(np.repeat(kept, tiles.shape[1], 0), tiles.shape[3], 1)[:height, :width]


def _tiles(values: np.ndarray, pattern: str, beyond: float | bool) -> np.ndarray:
    """[h, w] as [h / rows, rows, w / columns, columns], filled up with `beyond` over the edge."""
    rows, columns = map(int, pattern.split("x"))
    height, width = values.shape
    padded = np.pad(values, ((0, -height % rows), (0, -width % columns)), constant_values=beyond)
    return padded.reshape(padded.shape[0] // rows, rows, padded.shape[1] // columns, columns)
