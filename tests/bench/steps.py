"""Training steps: quantization-aware, pruning, clustering and distillation against plain training of the same network.

ResNet50 at 48 px, batch 64, 2 threads, through the real input pipeline on built-in scenes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import tempfile
from pathlib import Path

import tensorflow_model_optimization as tfmot

from tests.bench.interleaving import ratio, turns
from tfmo_drive.commands import experiment_flags
from tfmo_drive.contracts import Context
from tfmo_drive.data import batches
from tfmo_drive.steps.cluster import Cluster
from tfmo_drive.steps.distill import Distill
from tfmo_drive.steps.quantize_aware import QuantizeAware
from tfmo_drive.steps.train import Train
from tfmo_drive.tasks.classification import Classification, Scenes
from tfmo_drive.training import filter_gradient, optimizers, trained_step
from tfmo_drive.training.distillation import SoftLabels
from tfmo_drive.training.trained_step import Hooks

STEPS = 7
"""Optimizer steps a turn: long enough that mask updates fall into it as often as in the main job."""
GTSRB_STEPS = 290
"""Steps per epoch of the main job (18,599 images, batch 64), from which the pruning frequency is derived."""


def _context(workdir: str, steps: int = STEPS) -> Context:
    task = Classification(scenes=Scenes(train=64 * steps, val=64, test=64))
    return Context(task, task.build(), (), Path(workdir), seed=0)


def turn(model, hooks: Hooks, step, context: Context, tracing=filter_gradient.fast):
    """One epoch of as many steps as there are train examples for, through Keras's fit, as the training loop runs it;
    the first call traces."""
    fitted, attached = trained_step.learner(model, step, context)
    hooks.before_epoch(0, model)
    fitted.compile(optimizer=optimizers.optimizer(step, STEPS))
    epochs, made = itertools.count(), batches.TrainingBatches(context, step.batch_size, attached)

    def run():
        with tracing(), hooks.tracing():
            fitted.fit(made.epoch(next(epochs)), callbacks=list(hooks.callbacks), verbose=0)

    run()
    return run


def _prepared(step, context: Context):
    return turn(*step.prepared(context.baseline, context), step, context)


def train_step(rounds: int = 7) -> dict:
    """Plain training of the baseline with our filter gradients against TensorFlow's own."""
    step = Train(learning_rate=1e-4)
    with tempfile.TemporaryDirectory() as workdir:
        context = _context(workdir)
        model = trained_step.copy(context.baseline)
        runs = {
            "reference": turn(model, Hooks(), step, context, contextlib.nullcontext),
            "ours": _prepared(step, context),
        }
        return ratio(turns(runs, rounds), 0.95, STEPS)


def qat_step(rounds: int = 7) -> dict:
    """Quantization-aware training with fast fake quantisation; BatchNorm trains, as in the costlier first epochs."""
    step = QuantizeAware(epochs=2, learning_rate=1e-4, calibration_images=64)
    with tempfile.TemporaryDirectory() as workdir:
        context = _context(workdir)
        stock = tfmot.quantization.keras.quantize_model(trained_step.copy(context.baseline))
        runs = {
            "reference": _prepared(Train(learning_rate=1e-4), context),
            "ours": _prepared(step, context),
            "stock": turn(stock, Hooks(), step, context),
        }
        return ratio(turns(runs, rounds), 1.35, STEPS)


def prune_step(rounds: int = 11) -> dict:
    """Pruning as the main job does it, at the frequency that its schedule has on GTSRB, all the way up its ramp."""
    main_job = experiment_flags.experiment("pruned_quantized").recipe[0]
    frequency = main_job.ramp.in_steps(GTSRB_STEPS).frequency
    step = dataclasses.replace(
        main_job, epochs=100, end_epoch=100, learning_rate=1e-4, frequency=frequency, distill=None
    )
    with tempfile.TemporaryDirectory() as workdir:
        context = _context(workdir)
        schedule = tfmot.sparsity.keras.PolynomialDecay(0.0, main_job.sparsity, 0, 100 * STEPS, frequency=frequency)
        stock = tfmot.sparsity.keras.prune_low_magnitude(trained_step.copy(context.baseline), schedule)
        hooks = Hooks(callbacks=(tfmot.sparsity.keras.UpdatePruningStep(),))
        runs = {
            "reference": _prepared(Train(learning_rate=1e-4), context),
            "ours": _prepared(step, context),
            "stock": turn(stock, hooks, step, context),
        }
        return {**ratio(turns(runs, rounds), 1.10, STEPS), "frequency": frequency}


def cluster_step(rounds: int = 7) -> dict:
    """Clustering of every kernel with the default number of values, none of the weights being zero."""
    step = Cluster(learning_rate=1e-4)
    with tempfile.TemporaryDirectory() as workdir:
        context = _context(workdir)
        runs = {"reference": _prepared(Train(learning_rate=1e-4), context), "ours": _prepared(step, context)}
        return ratio(turns(runs, rounds), 1.35, STEPS)


def distill_step(rounds: int = 9) -> dict:
    """The default student under its teacher's cached logits, against plain training of the same student."""
    steps = 40  # small ones, beside which the start of an epoch would weigh too much
    with tempfile.TemporaryDirectory() as workdir:
        context, step = _context(workdir, steps), Distill(distill=SoftLabels(augmented_copies=2))
        alone = dataclasses.replace(context, baseline=step.structure(context.baseline, context))
        runs = {
            "reference": _prepared(Train(learning_rate=step.learning_rate), alone),
            "ours": _prepared(step, context),
        }
        return ratio(turns(runs, rounds), 1.10, steps)
