"""Says of an image everything that it shows: several labels or none, each by itself (multi-label classification).

The model answers a sigmoid for each label, which is said from a threshold on. Score: the area under the ROC curve, a
mean over labels; beside it the average precision, and at the threshold F1 and the share of images whose labels are all
right (scores.evaluation.of_labels).
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np

from tfmo_drive.base import faults
from tfmo_drive.base import outputs as model_outputs
from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.contracts import BadInput, Evaluation, Examples, Trivial
from tfmo_drive.data.augmentation import Augmentation
from tfmo_drive.data.class_names import read_class_names
from tfmo_drive.data.image_cache import pack
from tfmo_drive.data.layouts.label_listing import LabelColumns, list_labels
from tfmo_drive.networks import output_kind
from tfmo_drive.networks.networks import Network
from tfmo_drive.networks.output_kind import LOGITS, PROBABILITIES, SIGMOIDS
from tfmo_drive.scenes.frames import DETECTED, Chosen
from tfmo_drive.scores import evaluation
from tfmo_drive.tasks.frame_task import FrameTask
from tfmo_drive.tasks.image_task import SCENES

LABELS = "labels"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Labels(FrameTask):
    """Says which labels an image has; real `data` is a CSV with a column of 0 and 1 for each, or one of their names.

    Several names in one cell stand between ; or |. The built-in frames have the kinds of things that can be seen. A
    score of 0.5 tells nothing apart, be the labels frequent or rare.

    Args:
        threshold: The sigmoid from which a label is said.
        outputs: "logits" or "sigmoids", for a model of your own whose graph does not tell which.
        columns: The CSV's columns that cannot be guessed.

    Example:
        >>> import tfmo_drive as td
        >>> td.Labels(threshold=0.3).output_names
        ('labels',)
    """

    threshold: float = 0.5
    outputs: str = ""
    augmentation: Augmentation = Augmentation(flip=True, shift=0.0, zoom=0.0, shear_degrees=0.0)
    columns: LabelColumns = LabelColumns()

    name = "labels"
    output_names = (LABELS,)
    given_settings = ("outputs",)

    def __post_init__(self):
        super().__post_init__()
        if not 0 < self.threshold < 1:
            raise BadInput(f"Labels.threshold must be in (0, 1), got {self.threshold}.")
        if self.outputs not in ("", LOGITS, SIGMOIDS):
            raise BadInput(f'Labels.outputs must be "", {LOGITS} or {SIGMOIDS}, got {self.outputs!r}.')

    @faults.noting
    def listing(self):
        known = read_class_names(self.classes) if self.classes else ()
        columns = {key: value for key, value in dataclasses.asdict(self.columns).items() if value}
        return list_labels(self.data, known, columns, self.split_seed, self.skip_bad)

    @property
    def class_names(self) -> tuple[str, ...]:
        return DETECTED if self.data == SCENES else self.listing.class_names

    def packed(self, split: str) -> Examples:
        """Returns a split's pixels uint8 [b, h, w, 3] and labels float32 [b, labels], 1 for each that it has."""
        if self.data == SCENES:
            return Chosen(self.scenes.packed(split, self.shape), _seen)
        return pack(self.listing[split], self.shape, self.resize, skip_bad=self.skip_bad, label=split)

    def heads(self, network: Network, backbone: keras.Model) -> list:
        logits = network.head(backbone.output, len(self.class_names), f"{LABELS}_logits")
        return [keras.layers.Activation("sigmoid", name=LABELS)(logits)]

    def ends(self) -> dict[str, tuple[int, ...]]:
        return {LABELS: (len(self.class_names),)}

    def _output(self, model: keras.Model) -> str:
        """Returns the name of the model's only output, or of the task's own among those of several tasks."""
        return model_outputs.names(model)[0] if len(model.outputs) == 1 else LABELS

    def converted(self, model: keras.Model, subject: str) -> keras.Model:
        """Returns a given model with a sigmoid behind what it, or its user, says to be logits."""
        output = self._output(model)
        told = output_kind.found(model, output)
        if told == PROBABILITIES:
            raise BadInput(
                f'{subject}: its output "{output}" is a softmax, by which one label excludes all others. Give one that '
                "ends in a sigmoid for each, or take --experiment=post_training, for one class an image."
            )
        if told and self.outputs not in ("", told):
            raise BadInput(
                f'{subject}: its output "{output}" is {told}, as its last layers tell, and not {self.outputs}. Drop '
                f"{self.place}.outputs."
            )
        if (told or self.outputs) != LOGITS:
            return model
        tensors = dict(zip(model_outputs.names(model), model.outputs, strict=True))
        tensors[output] = keras.layers.Activation("sigmoid", name=f"{output}_sigmoid")(tensors[output])
        return keras.Model(model.inputs, list(tensors.values()), name=model.name)

    def check_answers(self, model: keras.Model, outputs: np.ndarray, targets: np.ndarray, subject: str) -> None:
        said = SIGMOIDS if self.outputs else ""
        asked = output_kind.Asked(model, self._output(model), said, f"{self.place}.outputs", subject)
        output_kind.refuse_other_kind(asked, outputs)

    def logits(self, model: keras.Model):
        return functools.partial(output_kind.logits, kind=SIGMOIDS)

    def loss(self, model: keras.Model):
        return lambda targets, outputs: _cross_entropy(targets, output_kind.logits(outputs, SIGMOIDS))

    def distillation_loss(self, outputs, teacher, temperature: float):
        soft = tf.sigmoid(teacher / temperature)
        apart = _cross_entropy(soft, outputs / temperature) - _cross_entropy(soft, teacher / temperature)
        return temperature**2 * apart

    def evaluate(self, outputs: np.ndarray, targets: np.ndarray) -> Evaluation:
        """Evaluates sigmoids float [n, labels] against labels [n, labels] of 0 and 1."""
        return evaluation.of_labels(outputs, targets, self.class_names, self.threshold)

    def trivial(self, count: int) -> Trivial:
        """Returns the trivial answer: every label, always; it tells no two images apart, so it scores 0.5."""
        return Trivial("always every label", np.ones((count, len(self.class_names)), np.float32))

    def metadata(self, model: keras.Model) -> dict[str, Any]:
        rule = "each label by itself: it is there where its number, in 0..1, is at least threshold"
        decode = {"kind": LABELS, "threshold": self.threshold, "rule": rule}
        return {"task": self.name, "labels": list(self.class_names), "input": self.input_metadata(), "decode": decode}


def _seen(targets: dict[str, np.ndarray]) -> np.ndarray:
    """Returns which kinds of things a frame shows, float32 [b, labels]; what can hardly be seen does not count."""
    shown = np.where(targets["crowd"], -1, targets["classes"])
    return (shown[..., None] == np.arange(len(DETECTED))).any(axis=1).astype(np.float32)


def _cross_entropy(wanted, logits):
    """Computes the mean over images and labels of the binary cross-entropy (TensorFlow graph code)."""
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(wanted, logits))
