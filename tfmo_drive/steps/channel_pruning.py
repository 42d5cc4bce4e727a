"""Removes channels, through the residual adds, so that the model is smaller and faster on any runtime.

Li et al. 2017 for filters, DepGraph (Fang et al. 2023) for what must go together.
"""

from __future__ import annotations

import dataclasses
import math
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from absl import logging

from tfmo_drive.base import atomic, progress, speed
from tfmo_drive.base.given_file import json_of
from tfmo_drive.base.keras2 import keras
from tfmo_drive.base.outputs import at
from tfmo_drive.base.spelling import listed
from tfmo_drive.contracts import BadInput, Context
from tfmo_drive.networks import graph, macs, own_model
from tfmo_drive.runtimes import timed_turns
from tfmo_drive.surgery import batch_norm, sensitivity_curves
from tfmo_drive.surgery.channel_graph import ChannelGraph, ChannelGroup
from tfmo_drive.surgery.importance import L2, Importance
from tfmo_drive.training.trained_step import Hooks, TrainedStep

ALLOCATIONS = ("uniform", "global")
BUDGETS = ("macs", "parameters", "latency")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChannelPruning(TrainedStep):
    """Removes the least important channels, then trains on.

    Instead of `pruning_ratio`, one of three budgets may be given: the fraction to keep at most of the `macs`, the
    `parameters` or the `latency`. The pruning ratio that meets it is then found. BatchNorm is estimated again before
    training.

    Channels are followed through sums, gates, concatenations, slices, splits, shuffles and depthwise convolutions; of a
    grouped one whole groups go, or where these hang together, some channels of each. What cannot be followed keeps its
    channels and is among the skipped layers.

    Args:
        pruning_ratio: The fraction of the channels to remove, in [0, 1); not used with a budget.
        macs: The budget of multiply-accumulates, in (0, 1].
        parameters: The budget of parameters, in (0, 1].
        latency: The budget of time at batch 1 on the experiment's last target, in turns with the whole model, in (0,
            1].
        importance: How channels are ranked.
        allocation: "uniform" takes the same fraction of every group. "global" ranks the channels of all groups
            together; scores that are changes of the loss are divided by the share that a channel has of the parameters
            and of the multiply-accumulates. With the path of a study (channels.json), groups share out one common drop
            of the score, in one round.
        multiple: Widths are multiples of this (what the hardware likes), and no group gets narrower.
        rounds: The number of rounds, which go there in equal proportions; importance is computed anew each time.
        epochs_between: The epochs of training after each round but the last.
        calibration_images: The number of train images for BatchNorm.
        skip: The names of layers that keep their channels.

    Raises:
        BadInput: A setting is out of its range, or two budgets are given.

    Example:
        >>> import tfmo_drive as td
        >>> td.ChannelPruning(pruning_ratio=0.5, importance=td.L2()).importance
        L2()
    """

    pruning_ratio: float = 0.5
    macs: float | None = None
    parameters: float | None = None
    latency: float | None = None
    importance: Importance = L2()
    allocation: str = "uniform"
    multiple: int = 8
    rounds: int = 1
    epochs_between: int = 1
    calibration_images: int = 256
    skip: tuple[str, ...] = ()
    epochs: int = 4
    learning_rate: float = 0.02

    def __post_init__(self):
        super().__post_init__()
        if not isinstance(self.importance, Importance):
            raise BadInput(f"ChannelPruning.importance must be an Importance such as L2(), got {self.importance!r}.")
        if not 0 <= self.pruning_ratio < 1:
            raise BadInput(f"ChannelPruning.pruning_ratio must be in [0, 1), got {self.pruning_ratio}.")
        given = [name for name in BUDGETS if getattr(self, name) is not None]
        for name in given:
            if not 0 < getattr(self, name) <= 1:
                raise BadInput(f"ChannelPruning.{name} must be in (0, 1], got {getattr(self, name)}.")
        if len(given) > 1:
            raise BadInput(f"ChannelPruning takes one budget, got {' and '.join(given)}. Keep one of them.")
        sensitivity_curves.refuse("ChannelPruning.allocation", self.allocation, ALLOCATIONS)
        for name in ("multiple", "calibration_images", "rounds"):
            if getattr(self, name) < 1:
                raise BadInput(f"ChannelPruning.{name} must be at least 1, got {getattr(self, name)}.")
        if self.rounds > 1 and sensitivity_curves.names_file(self.allocation):
            raise BadInput(
                f"ChannelPruning.rounds must be 1 where allocation is a study of the whole network, got {self.rounds}."
            )
        if self.epochs_between < 0:
            raise BadInput(f"ChannelPruning.epochs_between must be at least 0, got {self.epochs_between}.")

    @property
    def files(self) -> tuple[Path, ...]:
        return super().files + sensitivity_curves.files(self.allocation)

    @property
    def all_epochs(self) -> int:
        return (self.rounds - 1) * self.epochs_between + self.epochs

    @property
    def _budget(self) -> str:
        """Returns the setting that says how much is left at the end."""
        return next((name for name in BUDGETS if getattr(self, name) is not None), "pruning_ratio")

    def trained(self, model: keras.Model, context: Context) -> keras.Model:
        """Runs all rounds; each keeps its progress below `context.workdir`, so that a killed one goes on."""
        whole, step = model, self
        for to_go in range(self.rounds, 0, -1):
            last = to_go == 1
            round_ = context.workdir / f"round_{self.rounds - to_go + 1:02}"
            place = context if last else dataclasses.replace(context, workdir=round_)
            if self.rounds > 1:
                progress.begin_part(f"round {self.rounds - to_go + 1} of {self.rounds}")
                between = {} if last else {"epochs": self.epochs_between, "averaged_epochs": 0}
                step = dataclasses.replace(self._round(whole, model, place, 1 / to_go), **between)
            model = TrainedStep.trained(step, model, place)
        return model

    def _round(self, whole: keras.Model, model: keras.Model, context: Context, way: float) -> ChannelPruning:
        """Returns one round as a step: from `model`, which is left of `whole`, by `way` (a fraction) to the end."""
        name = self._budget
        goal = 1 - self.pruning_ratio if name == "pruning_ratio" else getattr(self, name)
        kept = min(goal / (1.0 if model is whole else self._share(whole, model, context)), 1.0) ** way
        aim = 1 - kept if name == "pruning_ratio" else kept
        return dataclasses.replace(self, **{name: aim}, rounds=1)

    def _share(self, whole: keras.Model, model: keras.Model, context: Context) -> float:
        """Returns how much of `whole` is left in `model`, by the budget's measure."""
        if self._budget == "latency":
            return _Stopwatch(whole, context)(model)
        counts = {
            "macs": macs.of_model,
            "parameters": keras.Model.count_params,
            "pruning_ratio": lambda one: sum(group.width for group in ChannelGraph(graph.flat(one)).groups),
        }
        return counts[self._budget](model) / counts[self._budget](whole)

    def idle(self, model: keras.Model) -> str:
        channels = ChannelGraph(graph.flat(model))
        groups = self._groups(channels)
        if not groups:
            why = "".join(f"; {name}: {reason}" for name, reason in list(channels.untouched.items())[:2])
            return f"0 of its channels can be removed{why}. Leave ChannelPruning out, or skip fewer layers."
        widths = [group.width for group in groups]
        if self._budget != "pruning_ratio" or self.allocation != "uniform" or not self.pruning_ratio:
            return ""
        if any(self._left(group, self.pruning_ratio) < len(group.channels) for group in groups):
            return ""
        return (
            f"its groups of {listed([str(width) for width in widths])} channels stay whole, because "
            f"pruning_ratio={self.pruning_ratio} in multiples of {self.multiple} removes none. Lower multiple, or "
            "raise pruning_ratio."
        )

    def _groups(self, channels: ChannelGraph) -> list[ChannelGroup]:
        """Returns the groups whose channels may be removed."""
        return [group for group in channels.groups if not set(group.makers) & set(self.skip)]

    def structure(self, model: keras.Model, context: Context) -> keras.Model:
        channels, removed = self.chosen(model, context)
        return channels.without(removed)

    def chosen(self, model: keras.Model, context: Context) -> tuple[ChannelGraph, np.ndarray]:
        """Returns the model's channels, and the numbers, int64 [n], of those that are removed."""
        channels = ChannelGraph(graph.flat(model))
        groups = self._groups(channels)
        importance = self.importance.fitted(channels.model, context)
        scores = [importance(channels, group) for group in groups]
        if importance.in_loss and self.allocation == "global":
            scores = [score / _cost(channels, group) for group, score in zip(groups, scores, strict=True)]
        fraction = (
            self.pruning_ratio if self._budget == "pruning_ratio" else self._found(channels, groups, scores, context)
        )
        removed = self._least(groups, scores, fraction)
        logging.info(
            "%d of %d channels removed, %.3f of the multiply-accumulates left",
            len(removed), sum(map(len, scores)), channels.macs(removed) / max(1, channels.macs()),
        )  # fmt: skip
        return channels, removed

    def skipped_layers(self, model: keras.Model) -> dict[str, str]:
        channels = ChannelGraph(graph.flat(model))
        whole = [group for group in channels.groups if group.width > len(group.channels) == 1]
        together = "its channels hang together, so that none can go alone"
        return channels.untouched | {name: together for group in whole for name in group.makers}

    def prepared(self, model: keras.Model, context: Context) -> tuple[keras.Model, Hooks]:
        narrow = self.structure(model, context)
        if narrow.count_params() < model.count_params():
            batch_norm.reestimate(narrow, context.task.preprocessing(context.calibration(self.calibration_images)))
        return narrow, Hooks()

    def reload(self, model: keras.Model, weights: Path, context: Context) -> keras.Model:
        """Reads the finished stage back: the file knows the widths, so the removed channels need not be found again."""
        return own_model.load(weights, "The finished stage", context.task.allow_code)

    def _found(
        self, channels: ChannelGraph, groups: list[ChannelGroup], scores: list[np.ndarray], context: Context
    ) -> float:
        """Returns the least pruning ratio that meets the budget, by bisection.

        BadInput says the smallest budget that can be met.
        """
        written = context.workdir / "pruning_ratio.json"
        if self._budget == "latency" and written.exists():
            found = json_of(written, "the pruning ratio that was found", "Remove it; it will be found again.")
            if type(found) is not float or not 0 <= found <= 1:
                raise BadInput(f"{written} must hold a fraction, got {str(found)[:40]}. Remove it.")
            return found
        few, many, rest = 0.0, 1.0, self._rest(channels, context)
        least = rest(self._least(groups, scores, many))
        if least > getattr(self, self._budget):
            raise BadInput(
                f"ChannelPruning.{self._budget}={getattr(self, self._budget)} cannot be met with widths of at least "
                f"{self.multiple}: {math.ceil(least * 1e4) / 1e4} is the smallest. Ask for that, or lower multiple."
            )
        for _ in range(6 if self._budget == "latency" else 16):  # a latency costs a conversion, and is no finer
            middle = (few + many) / 2
            fits = rest(self._least(groups, scores, middle)) <= getattr(self, self._budget)
            few, many = (few, middle) if fits else (middle, many)
        if self._budget == "latency":  # a killed run that goes on would not measure the same again
            atomic.write_json(written, many)
        return many

    def _rest(self, channels: ChannelGraph, context: Context) -> Callable[[np.ndarray], float]:
        """Returns a function of channel numbers to how much would be left without them, by the budget's measure."""
        if self._budget == "latency":
            stopwatch = _Stopwatch(channels.model, context)
            return lambda removed: stopwatch(channels.without(removed))
        count = getattr(channels, self._budget)
        return lambda removed: count(removed) / max(1, count())

    def _least(self, groups: list[ChannelGroup], scores: list[np.ndarray], ratio: float) -> np.ndarray:
        """Returns the numbers of the least important channels, int64 [n], about the fraction `ratio` of all."""
        shares = [ratio] * len(groups)
        if self.allocation == "global" and groups:
            threshold = np.quantile(np.concatenate(scores), ratio)
            shares = [float(np.mean(score < threshold)) for score in scores]
        elif sensitivity_curves.names_file(self.allocation):
            curves = sensitivity_curves.curves(self.allocation, "channels")
            found = curves.shares({group.name: len(group.channels) for group in groups}, ratio)
            shares = [found[group.name] for group in groups]
        parts = [np.zeros(0, np.int64)]
        for group, score, share in zip(groups, scores, shares, strict=True):
            left = self._left(group, share)
            parts.append(group.channels[np.argsort(score, kind="stable")[: len(score) - left]])
        return np.concatenate(parts)

    def _left(self, group: ChannelGroup, share: float) -> int:
        """Returns how many of a group's numbers stay without a share of them: their channels a multiple, or all."""
        step = self.multiple // math.gcd(self.multiple, group.each)
        wanted = int(round(len(group.channels) * (1 - share) / step)) * step
        return min(len(group.channels), max(wanted, step))


def _cost(channels: ChannelGraph, group: ChannelGroup) -> float:
    """Returns what one of the group's channels costs: its share of the parameters plus that of multiply-accumulates.

    A sum, so that neither the small but busy layers before nor the wide ones at the end are all that goes.
    """
    gone = group.channels[group.each :]
    shares = (1 - count(gone) / max(1, count()) for count in (channels.parameters, channels.macs))
    return max(sum(shares) / max(1, len(gone)), 1e-12)


class _Stopwatch:
    """Times a model as a fraction of `whole`, on the context's last target, in turns."""

    def __init__(self, whole: keras.Model, context: Context):
        self.context, self.example = context, at(context.calibration(1), 0)
        self.folder = tempfile.TemporaryDirectory()
        self.whole = self._runner(whole, "whole")

    def __call__(self, model: keras.Model) -> float:
        """Returns the fraction, timed once more where the repeats say that the machine is busy.

        The steadier of both counts.
        """
        narrow, found = self._runner(model, "narrow"), []
        while len(found) < 2 and not (found and speed.sure(found[-1][0])):
            times, spread = timed_turns.ratio(*timed_turns.in_turns((self.whole, narrow), seconds=1.0, repeats=3))
            found.append((spread, 1 / times))
        spread, share = min(found)
        logging.info("%s parameters: %.3f of the latency (±%.0f %%)", f"{model.count_params():,}", share, 100 * spread)
        if not speed.sure(spread):
            logging.warning("The machine is busy: that latency is only about right. Repeat the run on a calm one.")
        return share

    def _runner(self, model: keras.Model, name: str) -> Callable[[], None]:
        path = Path(self.folder.name) / name
        path.mkdir(exist_ok=True)
        return self.context.targets[-1](model, path, self.context).runner(self.example)
