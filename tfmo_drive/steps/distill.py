"""Distils knowledge into another, smaller network: Hinton, Vinyals & Dean 2015."""

from __future__ import annotations

import dataclasses

from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import BadInput, Context, Task
from tfmo_drive.networks.backbones import SmallCNN
from tfmo_drive.networks.networks import DenseLayers, Network
from tfmo_drive.training.distillation import SoftLabels
from tfmo_drive.training.trained_step import TrainedStep


@dataclasses.dataclass(frozen=True, kw_only=True)
class Distill(TrainedStep):
    """Replaces the model by `student`, taught by the baseline or by `distill.teacher`.

    `distill=SoftLabels(alpha=0.0)` trains the same student on the same augmented copies without a teacher, the control
    for what the teacher brings; `distill=None` trains it as a baseline is trained, on labels alone.

    Example:
        >>> import tfmo_drive as td
        >>> td.Distill(student=td.SmallCNN(filters=(16, 32)), epochs=6).replaces_model
        True
    """

    student: Network | DenseLayers = SmallCNN()
    distill: SoftLabels | None = SoftLabels()
    epochs: int = 12
    learning_rate: float = 0.02
    warmup_epochs: float = 1.0

    replaces_model = True

    def refuse(self, model: keras.Model) -> None:
        super().refuse(model)
        if len(model.inputs) > 1:
            raise BadInput(
                f"Distill.student takes one input, and {model.name} takes {', '.join(model.input_names)}. Leave "
                "Distill out; a later step may learn from the model itself (distill=SoftLabels())."
            )
        if (len(model.input_shape) == 2) != isinstance(self.student, DenseLayers):
            raise BadInput(
                f"Distill.student must take what the model takes, {model.input_shape[1:]}, got "
                f"{type(self.student).__name__}. Rows of numbers need a DenseLayers, images any other network."
            )

    def successor(self, task: Task) -> keras.Model:
        return task.build(self.student)

    def structure(self, model: keras.Model, context: Context) -> keras.Model:
        keras.utils.set_random_seed(context.seed)
        return self.successor(context.task)
