"""Defines the task behind `tfmo_drive.compress`: a Keras model and arrays that somebody has in memory.

The model takes its inputs as they are given. Raw float32 columns without a range are standardised in front of every
file, and what reads them takes that back (networks.leading_scale), so that the answers stay the same.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import logging

from tfmo_drive.base import cache
from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.base.outputs import each, names
from tfmo_drive.base.overrides import settings
from tfmo_drive.contracts import BadInput, Evaluation, Preprocessing, Preprocessings, Task, Trivial
from tfmo_drive.data import augmentation, images
from tfmo_drive.data.augmentation import Augmentation
from tfmo_drive.networks import (
    given_outputs,
    graph,
    leading_scale,
    networks,
    number_scale,
    output_kind,
    own_model,
    plain_layers,
    shape_advice,
)
from tfmo_drive.networks.layers import weights_digest
from tfmo_drive.networks.leading_scale import Led
from tfmo_drive.networks.networks import DenseLayers, Network
from tfmo_drive.protocols import Distillable
from tfmo_drive.scores import evaluation
from tfmo_drive.tasks.arrays import given_inputs, user_functions
from tfmo_drive.tasks.arrays.given_arrays import CLASS, COLUMN, NUMBER, ONE_HOT, OTHER, ArrayData, GivenExamples
from tfmo_drive.tasks.arrays.given_inputs import GivenInput
from tfmo_drive.training import distillation

_INPUTS = {1: "row", 2: "sequence", 3: "image"}
"""The name of the only input in the files by its number of axes; several are called as the model calls them."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArrayTask(Task):
    """Brings together somebody's own model and somebody's own arrays.

    Args:
        arrays: The examples.
        model: The model.
        trained: Whether the model is the baseline as it is, or only where training starts.
        loss_given: The user's own loss, or None.
        metric: The user's own metric, or None.
        outputs: "logits", "probabilities" or "sigmoids", where the model's graph does not tell.
        augmentation: The random changes of uint8 images in training, if any.
    """

    arrays: ArrayData = dataclasses.field(compare=False, repr=False)
    model: keras.Model = dataclasses.field(compare=False, repr=False)
    trained: bool = True
    loss_given: user_functions.Loss | None = dataclasses.field(default=None, compare=False, repr=False)
    metric: user_functions.Metric | None = dataclasses.field(default=None, compare=False, repr=False)
    outputs: str = ""
    augmentation: Augmentation | None = None

    def __post_init__(self):
        output_kind.refuse_unknown("compress: outputs", self.outputs)
        if self.arrays.targets == OTHER and not (self.loss_given and self.metric):
            raise BadInput(
                "compress: the targets are neither classes nor one number each: give loss= and metric= that know them."
            )
        if self.augmentation and not any(one.is_image for one in self.arrays.inputs.values()):
            raise BadInput("compress: augmentation is for uint8 images [n, height, width, channels]. Leave it out.")
        if not isinstance(self.model, keras.Model):
            raise BadInput(f"ArrayTask.model must be a Keras 2 model (tf_keras), got {type(self.model).__name__}.")
        self._refuse_unlike()
        if self.loss_given:
            user_functions.loss(self.loss_given)

    def _refuse_unlike(self) -> None:
        """Raises BadInput where the model does not take what the data has, or does not answer what it asks."""
        model = own_model.functional(self.model, "compress: the model")
        given = list(model.outputs)
        if len(given) != 1:
            raise BadInput(
                f"compress: the model has {len(given)} outputs; arrays are of one. "
                + shape_advice.joined([tuple(one.shape[1:]) for one in given])
            )
        taken = {name: tuple(one.shape[1:]) for name, one in zip(model.input_names, model.inputs, strict=True)}
        if len(taken) == len(self.arrays.inputs) > 1 and given_inputs.are_places(self.arrays.inputs):
            object.__setattr__(self, "arrays", self.arrays.called([*taken]))
        had = {name: one.shape for name, one in self.arrays.inputs.items()}
        named = [*had] if len(had) > 1 else [*taken]
        if len(taken) != len(had) or set(taken) != set(named):
            raise BadInput(
                f"compress: the model takes {', '.join(taken)}, the data has {', '.join(filter(None, had)) or 'one'}: "
                "call the arrays as the model's inputs, td.arrays(train=({'image': x, 'speed': s}, y), ...)."
            )
        for name, shape in zip(named, had.values(), strict=True):
            if taken[name] != shape:
                raise BadInput(
                    f"compress: the model takes inputs of {list(taken[name])}, the data has {list(shape)}: use "
                    f"keras.Input({shape}), or give the data that it was trained on."
                )
        shape = list(given[0].shape[1:])
        if self.arrays.targets == NUMBER and shape != [1]:
            raise BadInput(
                f"compress: the targets are one number each, and the model gives {shape}. Give a model that ends in "
                'Dense(1); or, if they are classes, whole numbers: y.astype("int64").'
            )
        if self.arrays.targets == CLASS:
            self._refuse_other_classes(shape)

    def _refuse_other_classes(self, shape: list[int]) -> None:
        names = self.arrays.class_names
        most = max(int(examples.labels.max()) for examples in self.arrays.splits.values())
        count = max(shape[-1], 2) if len(shape) == 1 else 0
        if not count or (names and len(names) != count) or most >= count:
            has = f"{len(names)} classes" if names else f"classes up to {most}"
            raise BadInput(f"compress: the data has {has}, the model gives {shape}. Give a model of as many outputs.")

    @property
    def name(self) -> str:
        """Returns what the task predicts: "classification", "number" or "arrays"."""
        return {CLASS: "classification", NUMBER: "number"}.get(self.arrays.targets, "arrays")

    @property
    def randoms(self) -> int:
        """Returns the count of random numbers that `augment` is given for an example."""
        return augmentation.COLUMNS if self.augmentation else 0

    @functools.cached_property
    def class_names(self) -> tuple[str, ...]:
        """Returns the classes' names in the order of the model's outputs; () where it predicts no class."""
        if self.arrays.targets != CLASS:
            return ()
        return self.arrays.class_names or tuple(map(str, range(max(self.model.output_shape[-1], 2))))

    @functools.cached_property
    def _led(self) -> tuple[keras.Model, dict[str, Led]]:
        """Returns the model, plain and in variables of its own, and what is done to each raw input before it."""
        model = own_model.taken(self.model, "compress: the model")
        if self.arrays.targets == CLASS and model.output_shape[1:] == (1,):
            model = given_outputs.of_one_sigmoid(model, "compress: the model", "outputs")
        found = {}
        for place, name in enumerate(model.input_names if len(self.arrays.inputs) > 1 else self.arrays.inputs):
            found[name] = self._with_raw(model, name, place)
            model = found[name].model
        return plain_layers.split(model), found

    def _with_raw(self, model: keras.Model, name: str, place: int) -> Led:
        """Returns the model with one of its inputs raw, and what is done to that."""
        given = self.arrays.inputs[name]
        if given.preprocessing == "none" and (len(given.shape) == 3 or not given.input_range):
            if found := leading_scale.taken_out(model, place):
                return found
        if given.preprocessing == "none" and not given.input_range:
            moments = self.arrays.moments(name)
            led = functools.partial(leading_scale.put_in, place=place) if self.trained else leading_scale.standardised
            if found := led(model, *moments):
                return found
            logging.warning(
                "The inputs are not standardised: what reads them first cannot take that back. Integer files have one "
                "scale for all columns; give input_range=, or begin the model with a Normalization layer."
            )
        count = given.shape[-1]
        return Led(model, (1.0,) * count, (0.0,) * count)

    @functools.cached_property
    def preprocessing(self) -> Preprocessing | Preprocessings:
        """Returns the preprocessing, which keeps the model's answers as they are."""
        made = tuple(self._rule(name, led) for name, led in self._led[1].items())
        return made[0] if len(made) == 1 else Preprocessings(made)

    def _rule(self, name: str, led: Led) -> Preprocessing:
        given = self.arrays.inputs[name]
        called = name or _INPUTS[len(given.shape)]
        if given.rule:
            return dataclasses.replace(given.rule, input=called)
        made = Preprocessing(
            "none", tuple(range(given.shape[-1])), led.scale, led.offset, called, given.input_range, given.dtype
        )
        if made.is_identity:
            return made
        return dataclasses.replace(made, name=f"affine {cache.digest([led.scale, led.offset])[:12]}")

    def examples(self, split: str) -> GivenExamples:
        """Returns one split: inputs as given, and class ids int64 [b], numbers float32 [b, 1] or others [b, ...]."""
        return self.arrays.splits[split]

    @functools.cached_property
    def _digest(self) -> str:
        model = self.model
        return hashlib.sha256(f"{model.get_config()} {weights_digest(model)}".encode()).hexdigest()

    def given(self) -> str:
        return self._digest if self.trained else ""

    def identity(self) -> dict[str, Any]:
        own = {"loss": user_functions.digest(self.loss_given), "metric": user_functions.digest(self.metric)}
        return {
            "model": self._digest, "outputs": self.outputs, "augmentation": settings(self.augmentation), **own,
            "classes": list(self.class_names), "shape": each(list, self.arrays.shape), "form": self.arrays.form,
            "preprocessing": self.preprocessing.name,
        }  # fmt: skip

    def build(self, network: Network | DenseLayers | None = None) -> keras.Model:
        """Returns the given model, in new variables; input preprocessed float32 [b, ...]."""
        if network is None:
            return graph.copied(self._led[0])
        shape, outputs = self.arrays.shape, self.model.output_shape[1:]
        if len(outputs) != 1 or len(shape) not in (1, 3):
            raise BadInput(
                f"{type(network).__name__} takes images [height, width, channels] or rows [columns] and gives "
                f"classes or a number; the model takes {list(shape)} and gives {list(outputs)}. Leave Distill out."
            )
        return networks.build(network, shape if len(shape) == 3 else shape[0], len(self.class_names) or 1)

    def offers(self, protocol: type) -> bool:
        return super().offers(protocol) and (protocol is not Distillable or self.arrays.targets != OTHER)

    def augment(self, inputs, targets, randoms):
        if not self.augmentation:
            return inputs, targets
        if not isinstance(inputs, Mapping):
            return self.augmentation.apply(inputs, randoms), targets
        changed = {name: self.augmentation.apply(inputs[name], randoms)
                   for name, one in self.arrays.inputs.items() if one.is_image}  # fmt: skip
        return {**inputs, **changed}, targets

    def encode(self, targets):
        """Returns targets as their user gave them, where the loss is the user's own (TensorFlow graph code)."""
        if not self.loss_given or self.arrays.targets != CLASS:
            return targets
        if self.arrays.form == ONE_HOT:
            return tf.one_hot(targets, len(self.class_names))
        return targets[..., None] if self.arrays.form == COLUMN else targets

    def _kind(self, model: keras.Model) -> str:
        return output_kind.of(model, names(model)[0], self.outputs, "outputs")

    @functools.cached_property
    def _spread(self) -> float:
        """Returns the standard deviation of the train split's targets; 1 where they are all equal."""
        return float(self.examples("train").labels.std()) or 1.0

    def loss(self, model: keras.Model):
        if self.loss_given:
            return user_functions.loss(self.loss_given)
        if self.arrays.targets == CLASS:
            return output_kind.cross_entropy(self._kind(model))
        huber, spread = keras.losses.Huber(), self._spread
        return lambda targets, outputs: huber(targets / spread, outputs / spread)

    def logits(self, model: keras.Model):
        if self.arrays.targets == CLASS:
            return functools.partial(output_kind.logits, kind=self._kind(model))
        return super().logits(model)

    def distillation_loss(self, outputs, teacher, temperature: float):
        scale = self._spread if self.arrays.targets == NUMBER else 1.0
        return distillation.distillation_loss(outputs / scale, teacher / scale, temperature)

    def check_answers(self, model: keras.Model, outputs: np.ndarray, targets: np.ndarray, subject: str) -> None:
        if self.arrays.targets == CLASS:
            asked = output_kind.Asked(model, names(model)[0], self.outputs, "outputs", subject)
            output_kind.refuse_other_kind(asked, outputs)
        if self.metric:
            self.evaluate(outputs, targets)

    def evaluate(self, outputs: np.ndarray, targets: np.ndarray) -> Evaluation:
        """Evaluates outputs float [n, ...] on targets as `examples` gives them."""
        if self.arrays.targets == CLASS:
            found = evaluation.of_classes(outputs, targets, self.class_names)
        elif self.arrays.targets == NUMBER:
            found = evaluation.of_numbers(outputs[:, 0], targets[:, 0], self._spread)
        else:
            found = Evaluation(np.zeros(len(outputs)), np.round(outputs * (10 / self._spread)), {})
        return self._by_metric(found, outputs, targets) if self.metric else found

    def _by_metric(self, found: Evaluation, outputs: np.ndarray, targets: np.ndarray) -> Evaluation:
        """Returns the same decisions with the values of the user's own metric."""
        given = targets
        if self.arrays.form == ONE_HOT:
            given = np.eye(len(self.class_names), dtype=np.float32)[targets]
        elif self.arrays.form == COLUMN:
            given = targets[:, None]
        measured = user_functions.measured(self.metric, given, outputs)
        values = measured["values"]
        per_class = {
            self.class_names[label]: {"score": float(values[targets == label].mean()), "examples": int(count)}
            for label, count in zip(*np.unique(targets, return_counts=True), strict=True)
        } if self.class_names else {}  # fmt: skip
        return dataclasses.replace(found, per_class=per_class, scores=None, **measured)

    def trivial(self, count: int) -> Trivial | None:
        labels = self.examples("train").labels
        if self.arrays.targets == CLASS:
            return evaluation.always_class(labels, self.class_names, count)
        if self.arrays.targets == NUMBER:
            median = float(np.median(labels))
            return Trivial(f"always {median:.4g}", np.full((count, 1), median, np.float32))
        return None

    def metadata(self, model: keras.Model) -> dict[str, Any]:
        told = {name: _told(one) for name, one in self.arrays.inputs.items()}
        found = {"task": self.name} | ({"inputs": told} if len(told) > 1 else {"input": told[""]})
        if self.arrays.targets == CLASS:
            return {**found, "labels": list(self.class_names), "decode": output_kind.decode(self._kind(model))}
        if self.arrays.targets == NUMBER:
            return {**found, "decode": number_scale.decode("", 1.0)}
        return {**found, "decode": {"kind": OTHER, "rule": "as the model's user knows"}}


def _told(given: GivenInput) -> dict[str, Any]:
    """Returns how a board makes an input, in JSON types."""
    if given.is_image and given.shape[-1] == 3:
        return images.described(given.shape, images.Resize(), given.preprocessing)
    feed = "raw, as the model was given it; what is done to it first is inside the file"
    if len(given.shape) == 1 and given.dtype == "float32":
        return {"columns": [f"column_{place}" for place in range(given.shape[0])], "feed": feed}
    return {"shape": list(given.shape), "dtype": given.dtype, "feed": feed}
