"""Keeps a lane: predicts the steering angle from the camera (Bojarski et al. 2016, arXiv:1604.07316, "PilotNet").

Score: 1 - |error| in root mean squares of the training truth, at least 0; beside it degrees of error, on all frames and
on curves, and the jitter from frame to frame, which is what a controller feels (tasks.lane_keeping.steering_score).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfmo_drive.base import faults
from tfmo_drive.base.cache import digest
from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.base.outputs import names
from tfmo_drive.contracts import Arrays, BadInput, Evaluation, Examples, Preprocessing, Preprocessings, Trivial
from tfmo_drive.data.augmentation import Augmentation
from tfmo_drive.data.image_cache import PackedExamples, pack
from tfmo_drive.data.layouts.steering_log import CAMERA, list_log, with_side_cameras
from tfmo_drive.networks import networks, number_scale, own_model
from tfmo_drive.networks.networks import Network
from tfmo_drive.networks.own_model import Signature
from tfmo_drive.scenes.frames import Chosen
from tfmo_drive.scenes.scenes import Scene
from tfmo_drive.scores import pictures
from tfmo_drive.tasks.frame_task import FrameTask
from tfmo_drive.tasks.image_task import SCENES
from tfmo_drive.tasks.lane_keeping.steering_balance import balanced_order, shares
from tfmo_drive.tasks.lane_keeping.steering_score import SteeringScale, of_steering, spread_of
from tfmo_drive.training import distillation

STEERING, IMAGE, SPEED = "steering", "image", "speed"
FUSED = 32
"""The units of the layers in which a speed joins what the network sees."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogColumns:
    """Names the log's columns; empty names are found by the usual ones."""

    file: str = ""
    steering: str = ""
    split: str = ""
    speed: str = ""
    left: str = ""
    right: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LaneKeeping(FrameTask):
    """Predicts steering from the camera in front.

    Real `data` is a driving log (CSV) or its folder. `augmentation.flip` mirrors the steering too.

    Args:
        limit: Full lock in the log's unit.
        degrees: The wheels' angle at full lock, in degrees.
        full_lock: The answer of a model of your own at full lock to the right: 1 (a share of it), the limit (the log's
            own unit), 25 (degrees), or below 0 where left is positive; it must be given where `limit` is not 1.
        curve_degrees: Steering beyond this, in degrees, is a curve.
        balance: Whether curves are shown more often than they were driven.
        side_correction: The steering that leads back from where a camera at the left looks, in the log's unit (0.2, of
            the simulator's 1); then the images of the left and right cameras are trained on too. 0: the centre alone.
        inputs: ("image",), or ("image", "speed"): the vehicle's speed too, in the log's unit, as a model of your own
            takes it. Built-in scenes are then driven at 2 to 30 m/s by a car that understeers.
        columns: The log's columns that cannot be guessed.

    Example:
        >>> import tfmo_drive as td
        >>> td.LaneKeeping().output_names
        ('steering',)
    """

    limit: float = 1.0
    degrees: float = 25.0
    full_lock: float | None = None
    curve_degrees: float = 1.0
    balance: bool = True
    side_correction: float = 0.0
    inputs: tuple[str, ...] = (IMAGE,)
    augmentation: Augmentation = Augmentation(flip=True, shift=0.0, zoom=0.0, shear_degrees=0.0)
    columns: LogColumns = LogColumns()

    name, default_size = "lane_keeping", (64, 128)
    output_names = (STEERING,)
    class_names = ()
    own_settings = ("balance", "inputs")
    given_settings = ("full_lock",)

    @property
    def small_network(self) -> Network | None:
        """Returns what a user would train from nothing; there is none of two inputs."""
        return None if self.speeds else super().small_network

    @property
    def speeds(self) -> bool:
        """Says whether the model takes the speed too."""
        return SPEED in self.inputs

    def __post_init__(self):
        super().__post_init__()
        SteeringScale(spread=1.0, degrees=self.degrees, curve_degrees=self.curve_degrees)
        if self.full_lock is not None and not 1e-6 < abs(self.full_lock) < 1e6:
            raise BadInput(f"LaneKeeping.full_lock must be a number that is not 0, got {self.full_lock}.")
        if self.inputs not in ((IMAGE,), (IMAGE, SPEED)):
            raise BadInput(f"LaneKeeping.inputs must be image or image,speed, got {','.join(self.inputs)}.")
        if not self.limit > 0:
            raise BadInput(f"LaneKeeping.limit must be above 0, got {self.limit}.")
        if not 0 <= self.side_correction < self.limit:
            raise BadInput(
                f"LaneKeeping.side_correction must be at least 0 and below limit ({self.limit:g}), in the log's unit, "
                f"got {self.side_correction}."
            )
        if self.side_correction and self.data == SCENES:
            raise BadInput("LaneKeeping.side_correction needs a log of three cameras: the built-in scenes have one.")
        if self.augmentation.shift or self.augmentation.shear_degrees or self.augmentation.rotation_degrees:
            raise BadInput(
                "LaneKeeping.augmentation must not shift, shear or turn images: the right steering would be another. "
                "Use flip, zoom, brightness and contrast."
            )

    @faults.noting
    def listing(self):
        columns = {key: value for key, value in dataclasses.asdict(self.columns).items() if value}
        values = (STEERING, "speed") if self.speeds else (STEERING,)
        known = {kind: name for kind, name in columns.items() if kind not in ("left", "right")}
        listing = list_log(self.data, known or None, self.limit, self.split_seed, self.skip_bad, values)
        if not self.side_correction:
            return listing
        share = self.side_correction / self.limit
        return with_side_cameras(listing, self.data, columns, share, self.skip_bad)

    def packed(self, split: str) -> Examples:
        """Returns a split's pixels uint8 [b, h, w, channels], with speeds float32 [b, 1] where asked for, and targets.

        "steering" is float32 [b, 1] in [-1, 1]; "group" is the group of a frame and "frame" its number in the split,
        int64 [b].
        """
        if self.data == SCENES:
            return _Grouped(self.scenes.packed(split, self.shape, speeds=self.speeds), self.speeds)
        frames = pack(self.listing[split], self.shape, self.resize, skip_bad=self.skip_bad, label=split)
        return _Grouped(frames, self.speeds)

    @property
    def clip_size(self) -> tuple[int, int] | None:
        return None if self.speeds else super().clip_size

    @functools.cached_property
    def preprocessing(self) -> Preprocessing | Preprocessings:
        """Returns the preprocessing; networks of ours are given speeds in standard deviations of train."""
        pixels = super().preprocessing
        if not self.speeds:
            return pixels
        row = Preprocessing("none", (0,), (1.0,), (0.0,), SPEED, None, "float32")
        if not self._given_whole:
            known = self.examples("train").labels[SPEED].astype(np.float64)
            scale = 1 / (known.std() or 1.0)
            said = (float(np.float32(scale)),), (float(np.float32(-known.mean() * scale)),)
            row = dataclasses.replace(row, name=f"standardised {digest(said)[:12]}", scale=said[0], offset=said[1])
        return Preprocessings((pixels, row))

    @functools.cached_property
    def _given_whole(self) -> bool:
        """Says whether the baseline is a whole model of somebody's own, which takes speeds as they are."""
        path = Path(self.baseline)
        return bool(self.baseline) and own_model.is_whole_model(path) and not own_model.is_stage(path)

    @functools.cached_property
    def _train_truth(self) -> np.ndarray:
        labels = self.examples("train").labels
        return np.asarray(labels if labels.dtype.names is None else labels[STEERING]).reshape(-1)

    @functools.cached_property
    def _scale(self) -> SteeringScale:
        """Returns the scale of scores: of what was driven, so that corrected steering makes no error look smaller."""
        cameras = self.examples("train").attributes.get(CAMERA)
        driven = self._train_truth if cameras is None else self._train_truth[cameras == "centre"]
        return SteeringScale(spread=spread_of(driven), degrees=self.degrees, curve_degrees=self.curve_degrees)

    def order(self, seed: int, epoch: int) -> np.ndarray | None:
        return balanced_order(self._train_truth, seed, epoch) if self.balance else None

    def heads(self, network: Network, backbone: keras.Model) -> list:
        return [network.head(backbone.output, 1, STEERING)]

    def ends(self) -> dict[str, tuple[int, ...]]:
        return {STEERING: (1,)}

    def signature(self) -> Signature:
        several = {IMAGE: self.shape, SPEED: (1,)} if self.speeds else {}
        return dataclasses.replace(super().signature(), inputs=several)

    def assembled(self, network: Network, weights: str) -> keras.Model:
        """Returns `network` with the task's output; a speed joins what it sees late, by a few dense layers."""
        if not self.speeds:
            return super().assembled(network, weights)
        backbone, layers = networks.started(network, self.shape, weights), keras.layers
        speed = keras.Input((1,), name=SPEED)
        seen = layers.ReLU(name="seen_relu")(network.head(backbone.output, FUSED, "seen"))
        joined = layers.Concatenate(name="fused")([seen, layers.Dense(FUSED, "relu", name="driven")(speed)])
        answer = layers.Dense(1, name=STEERING)(layers.Dense(FUSED, "relu", name="decided")(joined))
        return keras.Model([backbone.input, speed], answer, name=backbone.name)

    def augment(self, inputs, targets, randoms):
        """Returns images changed as everywhere, and speeds as they are."""
        if not self.speeds:
            return super().augment(inputs, targets, randoms)
        pixels, targets = super().augment(inputs[IMAGE], targets, randoms)
        return {**inputs, IMAGE: pixels}, targets

    def moved(self, targets, randoms):
        mirrored = self.augmentation.mirrored(randoms)[:, None]
        return {**targets, STEERING: tf.where(mirrored, -targets[STEERING], targets[STEERING])}

    def undeclared(self) -> Iterator[str]:
        yield from super().undeclared()
        if self.full_lock is None and self.limit != 1:
            yield (
                f"what it answers at full lock to the right, with --set={self.place}.full_lock={self.limit:g} (it "
                f"answers in the log's unit) or --set={self.place}.full_lock=1 (a share of full lock)"
            )

    def converted(self, model: keras.Model, subject: str) -> keras.Model:
        if self.full_lock in (None, 1):
            return model
        output = names(model)[0] if len(model.outputs) == 1 else STEERING
        return number_scale.rescaled(model, output, 1 / self.full_lock, 0.0)

    def check_answers(self, model: keras.Model, outputs: np.ndarray, targets: Mapping[str, np.ndarray], subject: str):
        truth, unit = targets[STEERING], self.full_lock or 1.0
        found = number_scale.fit(outputs, truth)
        if not found.odd:
            return
        if found.follows:
            advice = f"Say what it answers there: --set={self.place}.full_lock={self._likely(found.ratio * unit):.4g}."
        else:
            advice = f"Check {self.place}.full_lock, task.preprocessing_name, and whether such frames trained it."
        aside = ", and to the other side" if found.correlation < 0 else ""
        raise BadInput(
            f"{subject} answers {number_scale.ranged(outputs * unit)} on val, where the truth is "
            f"{number_scale.ranged(truth * self.limit)} of at most {self.limit:g}: taken for {unit:g} at full lock to "
            f"the right, that is {abs(found.ratio):.3g} times as wide{aside} (correlation {found.correlation:.2f}). "
            + advice
        )

    def _likely(self, full_lock: float) -> float:
        """Returns the nearest of the usual units, where one is near to what the data tells."""
        known = (self.limit, self.degrees, np.deg2rad(self.degrees), 1.0)
        near = min((sign * one for one in known for sign in (1, -1)), key=lambda one: abs(one - full_lock))
        return near if abs(near - full_lock) < abs(near) / 4 else full_lock

    def loss(self, model: keras.Model):
        """Returns Huber's loss (1964), in root mean squares of the training truth.

        Absolute errors alone, which is what is scored, are least for the median, and that is 0 in a drive that is
        mostly straight: a small network then answers nothing else.
        """
        huber, spread = keras.losses.Huber(), self._scale.spread
        return lambda targets, outputs: huber(targets[STEERING] / spread, outputs / spread)

    def distillation_loss(self, outputs, teacher, temperature: float):
        spread = self._scale.spread
        return distillation.distillation_loss(outputs / spread, teacher / spread, temperature)

    def evaluate(self, outputs: np.ndarray, targets: Mapping[str, np.ndarray]) -> Evaluation:
        """Evaluates outputs float [n, 1], 1 at full lock and positive to the right.

        Frames that do not follow one another, as in a subset, have no jitter.
        """
        apart = (np.diff(targets["group"]) != 0) | (np.diff(targets["frame"]) != 1)
        return of_steering(outputs, targets[STEERING], np.append(0, np.cumsum(apart)), self._scale)

    def selection_score(self, outputs: np.ndarray, targets: Mapping[str, np.ndarray]) -> float:
        """Returns the score with frames weighted as `balance` shows them.

        By the plain score, the best epoch of a mostly straight drive is often one that steers nowhere.
        """
        judged = self.evaluate(outputs, targets)
        return float(judged.scores(shares(targets[STEERING])[None])[0]) if self.balance else judged.score

    def trivial(self, count: int) -> Trivial:
        return Trivial("always straight ahead", np.zeros((count, 1), np.float32))

    def over_time(self, outputs: np.ndarray, scenes: Sequence[Scene], clips: np.ndarray) -> dict[str, float]:
        truth = np.array([scene.steering for scene in scenes])
        more = of_steering(outputs, truth, clips, self._scale).more
        return {name: number for name, number in more.items() if name.startswith("jitter")}

    def rendered(self, image: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        return pictures.steered(image, float(np.ravel(outputs)[0]), self.degrees)

    def rendered_truth(self, image: np.ndarray, targets: Mapping[str, np.ndarray]) -> np.ndarray:
        return self.rendered(image, targets[STEERING])

    def metadata(self, model: keras.Model) -> dict[str, Any]:
        decode = number_scale.decode("degrees", self.degrees, positive="to the right")
        if not self.speeds:
            return {"task": self.name, "input": self.input_metadata(), "decode": decode}
        unit = "in m/s" if self.data == SCENES else "in the unit of the log that it was trained on"
        speed = {"columns": [SPEED], "feed": f"raw, {unit}"}
        return {"task": self.name, "inputs": {IMAGE: self.input_metadata(), SPEED: speed}, "decode": decode}


class _Grouped(Chosen):
    """Adds group and number to each frame's steering: jitter is between frames that follow one another.

    With `speeds`, the inputs are the images and the speeds by name.
    """

    def __init__(self, examples: PackedExamples, speeds: bool):
        super().__init__(examples, lambda targets: targets if isinstance(targets, Mapping) else {STEERING: targets})
        self.speeds = speeds

    def read(self, indices: np.ndarray) -> tuple[Arrays, dict[str, np.ndarray]]:
        pixels, truth = super().read(indices)
        frames = np.asarray(indices, np.int64)
        targets = {STEERING: truth[STEERING], "group": self.groups[frames], "frame": frames}
        return ({IMAGE: pixels, SPEED: truth[SPEED]} if self.speeds else pixels), targets
