"""Taking turns: the one way in which every bench turns seconds into a ratio."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np


def turns(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, np.ndarray]:
    """Seconds of each run in each round, the runs in turn: float64 [rounds], and for "stock", which is slow, [2]."""
    seconds = {name: [] for name in runs}
    for count in range(rounds):
        for name, run in runs.items():
            if name == "stock" and count >= 2:
                continue
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    return {name: np.array(values) for name, values in seconds.items()}


def ratio(seconds: dict[str, np.ndarray], bar: float, per: int = 1) -> dict:
    """The bench's entry from `ours` and `reference`, and a further ratio for `stock` where it was run.

    The seconds are those of the round whose ratio is the median, so that they divide to it.
    """
    ratios = seconds["ours"] / seconds["reference"]
    middle = np.argsort(ratios)[len(ratios) // 2]
    found = {
        "ratio": float(ratios[middle]),
        "ours_s": float(seconds["ours"][middle]) / per,
        "reference_s": float(seconds["reference"][middle]) / per,
        "spread": float((ratios.max() - ratios.min()) / ratios[middle]),
        "bar": bar,
        "ratios": [round(float(one), 3) for one in ratios],
    }
    if "stock" in seconds:
        found["stock_s"] = float(np.median(seconds["stock"])) / per
        found["stock_ratio"] = float(np.median(seconds["stock"] / seconds["reference"][: len(seconds["stock"])]))
    return found
