"""Runs the loop that every trained step shares: cosine schedule with warm-up, best weights, resume, TensorBoard.

SGDR cosine: Loshchilov & Hutter 2017; warm-up: Goyal et al. 2017. One call of Keras's `fit` per epoch; after each, all
that the next epoch depends on (weights, masks, moving averages, optimizer slots, step) is saved, so that an interrupted
stage continues from its last epoch and ends in the same weights.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from tfmo_drive.base import atomic, given_file, progress
from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.base.spelling import listed
from tfmo_drive.contracts import BadInput, Context, Step, Task
from tfmo_drive.data import batches
from tfmo_drive.networks import graph, layers, plain_layers
from tfmo_drive.networks.fake_quant import refuse_quantize_aware
from tfmo_drive.protocols import Distillable, LocatesObjects
from tfmo_drive.training import begun, filter_gradient, teacher
from tfmo_drive.training.callbacks import Bar, StopOnNonFinite
from tfmo_drive.training.distillation import Distiller, SoftLabels
from tfmo_drive.training.learner import Learner
from tfmo_drive.training.optimizers import OPTIMIZERS, optimizer
from tfmo_drive.training.scoring import Scorer


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainedStep(Step):
    """Trains a model; the settings of the loop are in epochs, so that they mean the same on any data set.

    Args:
        epochs: The number of epochs; 0 trains nothing.
        batch_size: The number of examples in a batch.
        learning_rate: The learning rate after the warm-up, from which a cosine falls.
        warmup_epochs: The epochs over which the learning rate rises from a tenth of itself, in [0, epochs].
        momentum: The momentum of SGD, or the decay of Adam's first moment, in [0, 1).
        optimizer: "sgd" (with Nesterov momentum) or "adam", which wants about a tenth of the learning rate.
        final_learning_rate: The cosine's end, as a fraction of `learning_rate`.
        averaged_epochs: The number of last epochs whose weights are averaged at the end: stochastic weight averaging
            (SWA, Izmailov et al. 2018, "Averaging weights leads to wider optima"), for a val split too small or noisy
            to tell which epoch is best. 0 ends in the weights of the epoch that is best by val.
        distill: The teacher's soft labels, from which the step learns too; None learns from the labels alone.

    Raises:
        BadInput: A setting is out of its range.
    """

    epochs: int = 1
    batch_size: int = 64
    learning_rate: float = 0.01
    warmup_epochs: float = 0.1
    momentum: float = 0.9
    optimizer: str = "sgd"
    final_learning_rate: float = 0.01
    averaged_epochs: int = 0
    distill: SoftLabels | None = None

    skip = ()
    """The names of layers that stay as they are: a setting of the steps that can leave layers out."""

    def __post_init__(self):
        name, whole = type(self).__name__, "a whole number of at least"
        for setting, holds, allowed in (
            ("epochs", self.epochs >= 0 and int(self.epochs) == self.epochs, f"{whole} 0"),
            ("batch_size", self.batch_size >= 1 and int(self.batch_size) == self.batch_size, f"{whole} 1"),
            ("learning_rate", 0 < self.learning_rate < 10, "in (0, 10)"),
            ("warmup_epochs", 0 <= self.warmup_epochs <= max(self.epochs, 1), "in [0, epochs]"),
            ("momentum", 0 <= self.momentum < 1, "in [0, 1)"),
            ("optimizer", self.optimizer in OPTIMIZERS, f"one of {', '.join(OPTIMIZERS)}"),
            ("final_learning_rate", 0 <= self.final_learning_rate <= 1, "in [0, 1]"),
            ("averaged_epochs", self.averaged_epochs in range(int(self.epochs) + 1), f"{whole} 0, at most epochs"),
        ):
            if not holds:
                raise BadInput(f"{name}.{setting} must be {allowed}, got {getattr(self, setting)!r}.")
        if self.averaged_epochs and "clusters" in (self.provides, *self.preserves):
            raise BadInput(f"{name}.averaged_epochs: a mean of epochs shares no weights. Leave it 0.")

    def refuse_task(self, task: Task) -> None:
        if not self.distill:
            return
        name, kind = type(self).__name__, type(task).__name__
        if not task.offers(Distillable):
            raise BadInput(
                f"{name}.distill: {kind} has no distillation_loss, so it learns from no teacher. Leave it out."
            )
        features = self.distill.features
        if features and features.places == "objects" and not task.offers(LocatesObjects):
            raise BadInput(f"Features.places: {kind} knows no objects, got objects. Use everywhere.")

    def refuse(self, model: keras.Model) -> None:
        known = self.skippable(model)
        # An earlier LowRank, which has not run yet, will number the layers that it adds.
        chosen = [name for name in self.skip if re.sub(r"(_\d+)+$", "", name) not in known]
        layers.refuse_unknown(f"{type(self).__name__}.skip", chosen, known)

    def skippable(self, model: keras.Model) -> list[str]:
        """Returns the names of the layers that `skip` may name."""
        return [layer.name for layer in graph.flat(model).layers]

    @property
    def files(self) -> tuple[Path, ...]:
        return self.distill.files if self.distill else ()

    @property
    def all_epochs(self) -> int:
        """Returns how many epochs the step trains in all."""
        return self.epochs

    def __call__(self, model: keras.Model, context: Context) -> keras.Model:
        """Returns a trained copy: `prepared`, trained, then `finished`; zero epochs train nothing.

        Raises BadInput after QuantizeAware, and where `context.workdir` holds another step's progress.
        """
        refuse_quantize_aware(model, type(self).__name__)
        self.refuse_task(context.task)
        self.refuse(model)
        layers.refuse_unknown(f"{type(self).__name__}.skip", self.skip, self.skippable(model))
        begun.claim(self, model, context)
        return self.trained(model, context)

    def trained(self, model: keras.Model, context: Context) -> keras.Model:
        """Returns the step's result, with a workdir that is its own."""
        trained, hooks = self.prepared(model, context)
        train(trained, self, context, hooks)
        return self.finished(trained)

    def prepared(self, model: keras.Model, context: Context) -> tuple[keras.Model, Hooks]:
        """Returns what is trained in `model`'s place (new variables), and how the step takes part in the loop."""
        return self.structure(model, context), Hooks()

    def finished(self, trained: keras.Model) -> keras.Model:
        """Returns the step's result, made of what was trained."""
        return trained

    def structure(self, model: keras.Model, context: Context) -> keras.Model:
        """Returns the step's result before training; a finished stage is read back into it."""
        return copy(model)

    def reload(self, model: keras.Model, weights: Path, context: Context) -> keras.Model:
        finished = self.structure(model, context)
        finished.load_weights(str(weights))
        return finished


class KernelStep(TrainedStep):
    """Changes kernels in training: every layer of the model must have a plain kernel, or be split until it has."""

    def skippable(self, model: keras.Model) -> list[str]:
        """Returns the names of the layers with kernels; raises BadInput where one has a kernel that is not known."""
        return [kernel.name for kernel in layers.kernels(self.outline(model))]

    def changeable(self, kernel: layers.Kernel) -> bool:
        """Says whether the step changes a kernel."""
        return kernel.name not in self.skip

    def idle(self, model: keras.Model) -> str:
        found = list(layers.kernels(self.outline(model)))
        if any(map(self.changeable, found)):
            return ""
        if not found:
            return "it has no convolution and no dense layer. Leave the step out."
        names = listed([one.name for one in found])
        return f"none of its {len(found)} kernels ({names}) fits the settings. {self._wider}"

    _wider = "Skip fewer layers."
    """What to type where the settings leave no kernel."""

    def outline(self, model: keras.Model) -> keras.Model:
        return plain_layers.with_kernels(model, type(self).__name__)

    def structure(self, model: keras.Model, context: Context) -> keras.Model:
        made = self.outline(model)
        return graph.copied(model) if made is model else made


@dataclasses.dataclass
class Hooks:
    """Says where a step takes part in the training loop."""

    callbacks: tuple = ()
    before_epoch: Callable[[int, keras.Model], bool] = lambda epoch, model: False
    """Called with (epoch from 0, model); returns True when the graph changed and must be traced again."""
    best_from_epoch: int = 0
    """The first epoch (from 0) that may be best or averaged: a pruning ramp reaches its sparsity there."""
    start_counts: bool = False
    """Whether the weights before training are a whole result, which stays where no epoch is as good on val."""
    tracing: Callable[[], contextlib.AbstractContextManager] = contextlib.nullcontext
    """Entered around the loop, for a training graph that differs from the exported one (fast fake quantisation)."""
    variables: tuple = ()
    """Variables that the next epoch depends on beside the model's own; they are saved and restored with them."""


def copy(model: keras.Model) -> keras.Model:
    """Returns the same architecture and weights in new variables."""
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    return clone


def train(model: keras.Model, fit: TrainedStep, context: Context, hooks: Hooks) -> None:
    """Trains in place and leaves the best epoch's weights in `model`, or the mean of the last `fit.averaged_epochs`.

    The best epoch has the highest `Task.selection_score` on val. Progress is kept in `context.workdir`: `progress.npz`,
    `curves.json`, `tensorboard/`.

    Args:
        model: The model, whose variables change.
        fit: The step, which holds the settings of the loop.
        context: Gives the task, the seed and the folder.
        hooks: Where the step takes part in the loop.

    Raises:
        BadInput: The loss stops being finite; the message names the batch.
    """
    if not fit.epochs:
        return
    loop = _Loop(model, fit, context, hooks)
    with filter_gradient.fast(), hooks.tracing():
        for epoch in range(loop.begin(), fit.epochs):
            loop.run(epoch)
    loop.finish()


def learner(model: keras.Model, fit: TrainedStep, context: Context) -> tuple[Learner, batches.Attached | None]:
    """Returns the model on which Keras's `fit` is called in `model`'s place, and the arrays beside its targets."""
    if fit.distill is None:
        return Learner(model, context.task), None
    features = fit.distill.features
    taught = teacher.attached(fit.distill, context)
    inside = None
    if features:
        inside = teacher.model(fit.distill, context)
        keras.utils.set_random_seed(context.seed)  # for the adapters' first weights
    return Distiller(model, context.task, fit.distill, inside), taught


class _Loop:
    def __init__(self, model: keras.Model, fit: TrainedStep, context: Context, hooks: Hooks):
        self.model, self.fit, self.context, self.hooks = model, fit, context, hooks
        self.folder = context.workdir
        self.curves: dict[str, list] = {key: [] for key in ("epoch", "loss", "val_score", "learning_rate", "seconds")}
        self.best: list[np.ndarray] | None = None
        self.best_score = -1.0
        self.learner, attached = learner(model, fit, context)
        self.batches = batches.TrainingBatches(context, fit.batch_size, attached)
        self.steps = self.batches.steps
        self.optimizer = optimizer(fit, self.steps)
        # Once, while everything is trainable: freezing a layer later changes neither list nor order.
        learnt = self.learner.learnt
        self.optimizer._create_all_weights(learnt)
        adapters = learnt[len(model.trainable_variables) :]
        self.variables = [*model.variables, *adapters, *hooks.variables]
        self.scorer = Scorer(model, context.task)
        self.random = [
            module for module in model.submodules if isinstance(module, keras.__internal__.layers.BaseRandomLayer)
        ]
        self.compile()

    def compile(self):
        self.learner.compile(optimizer=self.optimizer)

    def begin(self) -> int:
        """Continues where progress was saved, or keeps the start where it counts; returns how many epochs are done."""
        done = self.restore()
        if not done and self.hooks.start_counts and not self.fit.averaged_epochs:
            self.best_score = self.scorer.selection_score("val")
            self.best = [variable.numpy() for variable in self.variables]
        return done

    def run(self, epoch: int):
        started = time.perf_counter()
        self.reseed(epoch)
        if self.hooks.before_epoch(epoch, self.model) or self.random:
            self.compile()
        watch = StopOnNonFinite(epoch, self.context, self.fit.batch_size)
        board = keras.callbacks.TensorBoard(self.folder / "tensorboard", update_freq="epoch", write_graph=False)
        bar = Bar(f"epoch {epoch + 1} of {self.fit.epochs}", self.steps)
        history = self.learner.fit(
            self.batches.epoch(epoch),
            epochs=epoch + 1,
            initial_epoch=epoch,
            callbacks=[*self.hooks.callbacks, watch, board, bar],
            verbose=0,
        )
        self.refuse_non_finite(epoch)
        found = {name: values[-1] for name, values in history.history.items()}
        found["val score"] = val_score = self.scorer.selection_score("val")
        seconds = time.perf_counter() - started
        self.record(epoch, found["loss"], val_score, seconds)
        said = ", ".join(f"{name} {value:.4f}" for name, value in found.items())
        progress.say_epoch(epoch + 1, self.fit.epochs, said, seconds)

    def reseed(self, epoch: int):
        """Seeds dropout and its like from the epoch's number: they sample from generators that no save holds.

        Keras 2 keeps them in the traced graph, so a model that has such layers is traced again every epoch.
        """
        if not self.random:
            return
        seed = zlib.crc32(f"{self.context.seed} {epoch}".encode()) % 2**31
        keras.utils.set_random_seed(seed)
        for number, layer in enumerate(self.random):
            generator = layer._random_generator
            generator._seed = seed + number
            if getattr(generator, "_generator", None) is not None:
                generator._generator.reset_from_seed(seed + number)

    def refuse_non_finite(self, epoch: int):
        """Raises BadInput where a weight is not finite: a ReLU turns NaN into 0, so the loss alone may not show it."""
        bad = [variable.name for variable in self.variables if not np.isfinite(variable.numpy()).all()]
        if bad:
            raise BadInput(
                f"{len(bad)} weights (first {bad[0]}) are not finite after epoch {epoch + 1}. Lower learning_rate."
            )

    def record(self, epoch: int, loss: float, val_score: float, seconds: float):
        rate = float(self.optimizer.learning_rate(self.optimizer.iterations))
        values = {"epoch": epoch + 1, "loss": loss, "val_score": val_score, "learning_rate": rate, "seconds": seconds}
        for key, value in values.items():
            self.curves[key].append(value)
        with tf.summary.create_file_writer(str(self.folder / "tensorboard" / "val")).as_default():
            tf.summary.scalar("val_score", val_score, step=epoch)
        self.keep(epoch, val_score)
        self.save()

    def keep(self, epoch: int, val_score: float):
        """Keeps the weights that training would end in, were this its last epoch."""
        averaged = self.fit.averaged_epochs
        first = max(self.hooks.best_from_epoch, self.fit.epochs - averaged if averaged else 0)
        if epoch < first:
            return
        weights = [variable.numpy() for variable in self.variables]
        if averaged:
            self.best = [_mean(*pair, epoch - first) for pair in zip(self.best or weights, weights, strict=True)]
        elif val_score >= self.best_score:
            self.best, self.best_score = weights, val_score

    def save(self):
        weights = [variable.numpy() for variable in self.variables]
        groups = {"weight": weights, "slot": self.optimizer.get_weights(), "best": self.best}
        arrays = {f"{name}_{i:05}": value for name, group in groups.items() for i, value in enumerate(group or [])}
        # Not synced: that takes longer than a third of a short epoch, and a power cut only costs what `restore` says.
        with atomic.file(self.folder / "progress.npz", durable=False) as temporary:
            np.savez(temporary, score=self.best_score, curves=np.array(json.dumps(self.curves)), **arrays)
        atomic.write_json(self.folder / "curves.json", self.curves)

    def restore(self) -> int:
        """Continues from the last saved epoch and returns the number of epochs already done.

        Progress that a power cut left in part, or that somebody changed, does not count.
        """
        path = self.folder / "progress.npz"
        if not path.exists():
            return 0
        try:
            with given_file.reading(path, "the progress of this step"):
                saved = self.saved(path)
        except BadInput as error:
            logging.warning("%s Training begins again.", error)
            return 0
        self.curves, self.best_score, self.best = saved["curves"], saved["score"], saved["best"] or None
        self.optimizer.set_weights(saved["slot"])
        for variable, value in zip(self.variables, saved["weight"], strict=True):
            variable.assign(value)
        atomic.write_json(self.folder / "curves.json", self.curves)  # killed between the two files, it lacks an epoch
        done = len(self.curves["epoch"])
        progress.say(f"continuing after epoch {done} of {self.fit.epochs}")
        progress.resumed(done)
        return done

    def saved(self, path: Path) -> dict[str, Any]:
        """Returns what `save` wrote.

        Raises ValueError and others for anything that this loop could not have written.
        """
        with np.load(path) as file:
            arrays = {name: file[name] for name in sorted(file.files)}
        found = {
            group: [value for name, value in arrays.items() if name.startswith(f"{group}_")]
            for group in ("weight", "slot", "best")
        }
        wanted = {"weight": self.variables, "slot": self.optimizer.get_weights(), "best": self.variables}
        for group, values in found.items():
            kinds = [[(tuple(one.shape), one.dtype.name) for one in side] for side in (values, wanted[group])]
            if kinds[0] != kinds[1] and (values or group != "best"):  # before the ramp's end there is no best
                raise ValueError(f"its {group}s are of another network")
        curves = json.loads(str(arrays["curves"]))
        epochs = list(range(1, len(curves["epoch"]) + 1))
        if curves.keys() != self.curves.keys() or curves["epoch"] != epochs or len(epochs) > self.fit.epochs:
            raise ValueError("its curves are not by epoch")
        if any(len(values) != len(epochs) for values in curves.values()):
            raise ValueError("its curves differ in length")
        return found | {"curves": curves, "score": float(arrays["score"])}

    def finish(self):
        if self.best is not None and not self.fit.averaged_epochs and self.best_score > max(self.curves["val_score"]):
            progress.say(
                f"no epoch is as good on val as the {self.best_score:.4f} before training, which is kept: lower "
                "learning_rate"
            )
        if self.best is not None:
            for variable, value in zip(self.variables, self.best, strict=True):
                variable.assign(value)


def _mean(before: np.ndarray, value: np.ndarray, count: int) -> np.ndarray:
    """Returns the mean of `count` values, whose mean is `before`, and `value`; of integers the latest value."""
    return before + (value - before) / (count + 1) if np.issubdtype(value.dtype, np.floating) else value
