"""Converts to int8 with the fewest layers in float: the worst ones, until the file decides as the float model does.

Layers are ranked by what int8 costs each by itself (runtimes.layer_errors); how many stay float is found by bisection
on the agreement of arg max on calibration images, without labels. The converter cannot mix int8 with 16x8.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from absl import logging

from tfmo_drive.base.finite import largest
from tfmo_drive.base.inputs import pieces
from tfmo_drive.contracts import Arrays
from tfmo_drive.conversion import conversion
from tfmo_drive.conversion.calibration import Ranges
from tfmo_drive.conversion.freezing import Frozen
from tfmo_drive.runtimes.flatbuffer_edit import Exposed, kind, name, read_values, unpack
from tfmo_drive.runtimes.layer_errors import LayerError, layer_errors

PASSING = ("PAD", "PADV2", "MAX_POOL_2D", "RESHAPE", "TRANSPOSE", "SLICE", "STRIDED_SLICE")
"""The operators whose output has its input's scale: the rounding is done by the operator that writes their input."""


@dataclasses.dataclass(frozen=True)
class Mixed:
    """Holds an int8 file with some operators in float."""

    content: bytes
    worst: tuple[LayerError, ...]
    """The layers in float because int8 costs them most, the worst first."""
    feeding: tuple[str, ...]
    """The output tensors of layers in float because a worst one reads them: rounded, they would undo what it gains."""
    layers: int
    """The number of layers that were ranked."""
    agreement: float
    """The share of the images on which it decides as the float file does."""


def mixed(frozen: Frozen, images: Arrays, ranges: Ranges, drop: float) -> Mixed:
    """Returns the file with the fewest worst layers in float that decides all but a share of the images as float does.

    With all of them in float it decides as the float file does, because outputs are float32 too.

    Args:
        frozen: The graph, not quantize-aware.
        images: Raw inputs [n, ...] from which ranges, errors and decisions come.
        ranges: How activation ranges are chosen.
        drop: The largest share of the images, in [0, 1), that may be decided otherwise.
    """
    floating, calibrated = conversion.base(frozen), conversion.calibrated(frozen, images, ranges)
    images = frozen.fed(images)
    graph, wanted = unpack(floating), _decisions(floating, images)
    errors = layer_errors(floating, conversion.quantized(calibrated, frozen), images)
    ranked = sorted(errors, key=lambda error: error.sqnr_db)

    def made(count: int) -> Mixed:
        worst = tuple(ranked[:count])
        names = [error.output for error in worst]
        feeding = tuple(sorted(_feeding(graph, names) - {*names}))
        content = conversion.partly_quantized(calibrated, frozen, [*names, *feeding])
        agreement = float(np.mean(_decisions(content, images) == wanted))
        logging.info("%d of %d layers in float, %d for their sake: agreement %.4f", count, len(ranked), len(feeding),
                     agreement)  # fmt: skip
        return Mixed(conversion.taking_raw(content, frozen), worst, feeding, len(ranked), agreement)

    best, few, enough = made(0), 0, len(ranked)
    if 1 - best.agreement <= drop or not ranked:
        return best
    best = made(enough)
    while enough - few > 1:
        middle = (few + enough) // 2
        found = made(middle)
        if 1 - found.agreement <= drop:
            best, enough = found, middle
        else:
            few = middle
    return best


def _decisions(content: bytes, images: Arrays) -> np.ndarray:
    """Returns the arg max of every output, int64 [n, decisions], for images as the graph takes them."""
    model = unpack(content)
    run = Exposed(model, [int(number) for number in model.subgraphs[0].outputs])
    return np.stack([np.concatenate([largest(one).ravel() for one in run(image)]) for image in pieces(images, 1)])


def _feeding(model: Any, outputs: list[str]) -> set[str]:
    """Returns the names of the tensors that the writers of `outputs` read, up to the operators that round them."""
    graph = model.subgraphs[0]
    writers = {int(number): operator for operator in graph.operators for number in operator.outputs}
    found = set()
    pending = [number for number, operator in writers.items() if name(graph.tensors[number]) in outputs]
    pending = [read for number in pending for read in read_values(model, writers[number])]
    while pending:
        number = pending.pop()
        if number in writers and name(graph.tensors[number]) not in found:
            found.add(name(graph.tensors[number]))
            if kind(model, writers[number]) in PASSING:
                pending += read_values(model, writers[number])
    return found
