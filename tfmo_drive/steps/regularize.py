"""Trains under a penalty, so that pruning after it costs less: the third family beside weight and gradient criteria.

L1 and L2 on weights: Han et al. 2015, section 3.1. Group lasso on filters: Wen et al. 2016, "Learning structured
sparsity". L1 on BatchNorm's scale: Liu et al. 2017, "network slimming".
"""

from __future__ import annotations

import dataclasses

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.contracts import BadInput, Context
from tfmo_drive.networks import layers
from tfmo_drive.training.trained_step import Hooks, TrainedStep, copy

PENALTIES = ("l1", "l2", "group_lasso", "bn_scale")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Regularize(TrainedStep):
    """Trains with `weight` x a penalty added to the loss; the architecture stays.

    Args:
        penalty: "l1" and "l2" (squares) of every kernel's weights, for Prune after it; "group_lasso" (the norm of each
            filter, times the root of its size) or "bn_scale" (|gamma|), for ChannelPruning after it with importance L2
            or BatchNormScale.
        weight: The factor on the penalty, in [0, 1].
        skip: The names of layers that are not penalised.

    Raises:
        BadInput: A setting is out of its range.

    Example:
        >>> import tfmo_drive as td
        >>> td.Regularize(penalty="group_lasso", epochs=2).name
        'regularize'
    """

    penalty: str = "l1"
    weight: float = 1e-5
    skip: tuple[str, ...] = ()
    epochs: int = 2

    def __post_init__(self):
        super().__post_init__()
        if self.penalty not in PENALTIES:
            raise BadInput(f"Regularize.penalty must be one of {', '.join(PENALTIES)}, got {self.penalty!r}.")
        if not 0 <= self.weight <= 1:
            raise BadInput(f"Regularize.weight must be in [0, 1], got {self.weight}.")

    def idle(self, model: keras.Model) -> str:
        missing = "no BatchNorm with a scale" if self.penalty == "bn_scale" else "no kernel"
        advice = 'Use penalty="l1".' if self.penalty == "bn_scale" else "Leave Regularize out, or skip fewer layers."
        return "" if self.penalised(model) else f"penalty {self.penalty} finds {missing} to work on. {advice}"

    def prepared(self, model: keras.Model, context: Context) -> tuple[keras.Model, Hooks]:
        trained = copy(model)
        penalised = self.penalised(trained)
        trained.add_loss(lambda: self.weight * tf.add_n([self.of(variable) for variable in penalised]))
        return trained, Hooks()

    def finished(self, trained: keras.Model) -> keras.Model:
        """Returns the model without the penalty, so that later steps do not train under it."""
        return copy(trained)

    def penalised(self, model: keras.Model) -> list[tf.Variable]:
        """Returns the variables that the penalty is on."""
        if self.penalty == "bn_scale":
            norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
            return [norm.gamma for norm in norms if norm.scale and norm.name not in self.skip]
        return [kernel.variable for kernel in layers.kernels(model) if kernel.name not in self.skip]

    def of(self, variable: tf.Variable) -> tf.Tensor:
        """Computes the penalty of one kernel [..., c_in, c_out] or gamma [c], before its weight."""
        if self.penalty == "l2":
            return tf.reduce_sum(variable**2)
        if self.penalty != "group_lasso":
            return tf.reduce_sum(tf.abs(variable))
        squares = tf.reduce_sum(variable**2, axis=list(range(len(variable.shape) - 1)))
        size = variable.shape.num_elements() / variable.shape[-1]
        return size**0.5 * tf.reduce_sum(tf.sqrt(squares + 1e-12))  # a filter that is zero has a gradient too
