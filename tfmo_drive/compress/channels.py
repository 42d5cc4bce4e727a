"""Structured pruning that removes channels, through the residual adds, so that the model is smaller and faster on any
runtime: Li et al. 2017 for filters, DepGraph (Fang et al. 2023) for what must go together.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from absl import logging

from tfmo_drive.contracts import BadInput, Context
from tfmo_drive.core import batch_norm, graph
from tfmo_drive.core.channels import ChannelGraph, ChannelGroup
from tfmo_drive.core.importance import L2, Importance
from tfmo_drive.core.keras2 import keras
from tfmo_drive.core.layers import refuse_unknown
from tfmo_drive.core.training import Hooks, TrainedStep

ALLOCATIONS = ("uniform", "global")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Channels(TrainedStep):
    """Remove `removed` (a fraction) of the channels, the least important ones, then train on.

    `macs`: the fraction of multiply-accumulates to keep at most; `removed` is then found, and not read.
    `allocation`: "uniform" takes the same fraction of every group, "global" ranks the channels of all groups together.
    Widths are multiples of `multiple` (what the hardware likes), and no group gets narrower than that. BatchNorm is
    estimated again on `calibration_images` before training. Layers named in `skip` keep their channels.
    """

    removed: float = 0.5
    macs: float | None = None
    importance: Importance = L2()
    allocation: str = "uniform"
    multiple: int = 8
    calibration_images: int = 256
    skip: tuple[str, ...] = ()
    epochs: int = 4
    learning_rate: float = 0.02

    def __post_init__(self):
        super().__post_init__()
        if not 0 <= self.removed < 1:
            raise BadInput(f"Channels.removed must be in [0, 1), got {self.removed}.")
        if self.macs is not None and not 0 < self.macs <= 1:
            raise BadInput(f"Channels.macs must be in (0, 1], got {self.macs}.")
        if self.allocation not in ALLOCATIONS:
            raise BadInput(f"Channels.allocation must be one of {', '.join(ALLOCATIONS)}, got {self.allocation!r}.")
        for name in ("multiple", "calibration_images"):
            if getattr(self, name) < 1:
                raise BadInput(f"Channels.{name} must be at least 1, got {getattr(self, name)}.")

    def structure(self, model: keras.Model, context: Context) -> keras.Model:
        channels = ChannelGraph(graph.flat(model))
        for name, reason in channels.untouched.items():
            logging.info("channels around %s stay: %s", name, reason)
        refuse_unknown("Channels.skip", self.skip, (layer.name for layer in channels.model.layers))
        groups = [group for group in channels.groups if not set(group.makers) & set(self.skip)]
        importance = self.importance.fitted(channels.model, context)
        scores = [importance(channels, group) for group in groups]
        removed = (
            self._least(groups, scores, self.removed) if self.macs is None else self._fitting(channels, groups, scores)
        )
        logging.info(
            "%d of %d channels removed, %.3f of the multiply-accumulates left",
            len(removed), sum(map(len, scores)), channels.macs(removed) / max(1, channels.macs()),
        )  # fmt: skip
        return channels.without(removed)

    def prepared(self, model: keras.Model, context: Context) -> tuple[keras.Model, Hooks]:
        narrow = self.structure(model, context)
        if narrow.count_params() < model.count_params():
            batch_norm.reestimate(narrow, context.task.preprocessing(context.calibration(self.calibration_images)))
        return narrow, Hooks()

    def reload(self, model: keras.Model, weights: Path, context: Context) -> keras.Model:
        """The file knows the widths; which channels were removed need not be found again."""
        return keras.models.load_model(str(weights), compile=False)

    def _fitting(self, channels: ChannelGraph, groups: list[ChannelGroup], scores: list[np.ndarray]) -> np.ndarray:
        """The smallest removal within the budget, by bisection; BadInput says the smallest budget that can be met."""
        budget = self.macs * channels.macs()
        few, many = 0.0, 1.0
        least = channels.macs(self._least(groups, scores, many))
        if least > budget:
            raise BadInput(
                f"Channels.macs={self.macs} cannot be met with widths of at least {self.multiple}: "
                f"{least / channels.macs():.4f} is the smallest. Ask for that, or lower multiple."
            )
        for _ in range(16):
            middle = (few + many) / 2
            fits = channels.macs(self._least(groups, scores, middle)) <= budget
            few, many = (few, middle) if fits else (middle, many)
        return self._least(groups, scores, many)

    def _least(self, groups: list[ChannelGroup], scores: list[np.ndarray], removed: float) -> np.ndarray:
        """Numbers of the least important channels, int64 [n], about the fraction `removed` of all."""
        shares = [removed] * len(groups)
        if self.allocation == "global" and groups:
            threshold = np.quantile(np.concatenate(scores), removed)
            shares = [float(np.mean(score < threshold)) for score in scores]
        parts = [np.zeros(0, np.int64)]
        for group, score, share in zip(groups, scores, shares, strict=True):
            width = self._width(len(score), share)
            parts.append(group.channels[np.argsort(score, kind="stable")[: len(score) - width]])
        return np.concatenate(parts)

    def _width(self, count: int, share: float) -> int:
        """The nearest multiple to what is left; a group that is no multiple itself may stay whole."""
        wanted = int(round(count * (1 - share) / self.multiple)) * self.multiple
        return min(count, max(wanted, self.multiple))
