"""Defines the distillation loss and its train_step, by which every trained step may learn: Hinton, Vinyals & Dean 2015.

A student may learn from inside the teacher too: hints (Romero et al. 2015, "FitNets") and attention transfer (Zagoruyko
& Komodakis 2017). A softmax has no meaning for a single output, which is a number: there the student learns the
teacher's answer itself.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tfmo_drive.base.given_file import paths_as_text
from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.base.outputs import bare, by_name, names
from tfmo_drive.contracts import BadInput, Task
from tfmo_drive.networks import layers
from tfmo_drive.training.learner import Learner

FEATURES = ("hint", "attention")
PLACES = ("everywhere", "objects")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Features:
    """Sets which of the teacher's feature maps the student imitates, beside its outputs.

    The teacher then runs in every training step.

    Args:
        kind: "hint" (the teacher's maps themselves, through a 1x1 adapter where channels differ) or "attention" (where
            they are strong: squares averaged over channels).
        pairs: (student's layer, teacher's layer) of maps of equal size; () takes the last map of each size that both
            have.
        weight: The factor on the mean over the pairs, in (0, 1000].
        places: Hints "everywhere" or, for a detector, at "objects": inside and around the boxes (Wang et al. 2019,
            "Distilling object detectors with fine-grained feature imitation"), where a small network has most to learn.

    Raises:
        BadInput: A setting is out of its range.

    Example:
        >>> import tfmo_drive as td
        >>> td.SoftLabels(features=td.Features(kind="attention")).features.kind
        'attention'
    """

    kind: str = "hint"
    pairs: tuple[tuple[str, str], ...] = ()
    weight: float = 1.0
    places: str = "everywhere"

    def __post_init__(self):
        if self.kind not in FEATURES:
            raise BadInput(f"Features.kind must be one of {', '.join(FEATURES)}, got {self.kind!r}.")
        if self.places not in PLACES or (self.places == "objects" and self.kind != "hint"):
            raise BadInput(f"Features.places must be everywhere or, of hints, objects, got {self.places!r}.")
        if not 0 < self.weight <= 1000:
            raise BadInput(f"Features.weight must be in (0, 1000], got {self.weight}.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SoftLabels:
    """Sets how a step learns from a teacher beside the labels: the loss is (1 - alpha) hard + alpha T^2 soft.

    Args:
        temperature: T, in (0, 100]; it is not used where the task predicts a number.
        alpha: In [0, 1]; 0 is no teacher at all (the control, which then sees the same augmented copies).
        augmented_copies: The teacher's logits are computed once for this many augmentations of each image, and the
            epochs cycle through them.
        teacher: The path of a Keras 2 model with the baseline's inputs and outputs, or paths, separated by commas, of
            models that give some of its outputs each, as single-task networks do (Clark et al. 2019, "BAM! Born-again
            multi-task networks"). The baseline gives the other outputs, with "" all of them. Their answers are read as
            a given baseline's are (task.outputs, task.full_lock, task.allow_code).
        features: Learn from the feature maps of a whole teacher too.

    Raises:
        BadInput: A setting is out of its range.

    Example:
        >>> import tfmo_drive as td
        >>> td.SoftLabels(alpha=0.5, temperature=4.0).alpha
        0.5
    """

    temperature: float = 4.0
    alpha: float = 0.9
    augmented_copies: int = 3
    teacher: str = ""
    features: Features | None = None

    def __post_init__(self):
        paths_as_text(self)
        if not 0 < self.temperature <= 100:
            raise BadInput(f"SoftLabels.temperature must be in (0, 100], got {self.temperature}.")
        if not 0 <= self.alpha <= 1:
            raise BadInput(f"SoftLabels.alpha must be in [0, 1], got {self.alpha}.")
        if self.augmented_copies < 1:
            raise BadInput(f"SoftLabels.augmented_copies must be at least 1, got {self.augmented_copies}.")

    @property
    def files(self) -> tuple[Path, ...]:
        """Returns the teachers' files."""
        return tuple(Path(path.strip()) for path in self.teacher.split(",") if path.strip())


def distillation_loss(student: tf.Tensor, teacher: tf.Tensor, temperature: float) -> tf.Tensor:
    """Computes T^2 x the mean cross-entropy of softened logits [b, ..., classes].

    T^2 keeps its gradient on the scale of the hard loss.

    For numbers [b, 1] it is half the mean squared difference, which is what the former tends to for high temperatures
    (Hinton et al., section 2.1; Ba & Caruana 2014, "Do deep nets really need to be deep?", eq. 1).
    """
    if student.shape[-1] == 1:
        return tf.reduce_mean(tf.square(student - teacher)) / 2
    return temperature**2 * tf.reduce_mean(
        tf.nn.softmax_cross_entropy_with_logits(tf.nn.softmax(teacher / temperature), student / temperature)
    )


def hint_loss(student: tf.Tensor, teacher: tf.Tensor, object_mask: tf.Tensor | None = None) -> tf.Tensor:
    """Computes the mean squared difference of maps [b, h, w, c] over the teacher's mean square: 1 for a map of zeros.

    Args:
        student: The student's maps.
        teacher: The teacher's maps.
        object_mask: Weights [b, any height, any width, 1] of the places, resized to the maps' size; by default all
            count alike.
    """
    weights = 1.0 if object_mask is None else tf.image.resize(object_mask, student.shape[1:3], "area")
    return tf.reduce_mean(weights * (student - teacher) ** 2) / tf.maximum(tf.reduce_mean(weights * teacher**2), 1e-12)


def attention_loss(student: tf.Tensor, teacher: tf.Tensor) -> tf.Tensor:
    """Computes the squared distance, 0 to 2, of attention maps of length 1, from maps [b, h, w, any]: a mean over b."""
    maps = [tf.reshape(tf.reduce_mean(one**2, axis=-1), [tf.shape(one)[0], -1]) for one in (student, teacher)]
    student, teacher = (tf.math.l2_normalize(one, axis=1) for one in maps)
    return tf.reduce_mean(tf.reduce_sum((student - teacher) ** 2, axis=1))


def paired_maps(student: keras.Model, teacher: keras.Model, pairs: tuple[tuple[str, str], ...]) -> list[tuple]:
    """Returns (student's, teacher's) symbolic maps [b, h, w, c].

    Names are those of the float layers, whatever wraps them since.

    Raises BadInput for a layer that is not there, and for maps that differ in size.
    """
    maps = [_maps(student), _maps(teacher)]
    if not pairs:
        last = [{tuple(one.shape[1:3]): one for one in found.values()} for found in maps]
        chosen = [(last[0][size], last[1][size]) for size in last[0] if size in last[1]]
        if not chosen:
            raise BadInput("Features.pairs: student and teacher have no feature maps of equal size. Name pairs.")
        return chosen
    for pair in pairs:
        for name, found in zip(pair, maps, strict=True):
            layers.refuse_unknown("Features.pairs", (name,), found)
        one, other = (found[name] for name, found in zip(pair, maps, strict=True))
        if one.shape[1:3] != other.shape[1:3]:
            sizes = " and ".join(f"{tensor.shape[1]} x {tensor.shape[2]}" for tensor in (one, other))
            raise BadInput(f"Features.pairs: {' and '.join(pair)} are {sizes}. Name maps of equal size.")
    return [(maps[0][one], maps[1][other]) for one, other in pairs]


def _maps(model: keras.Model) -> dict[str, tf.Tensor]:
    """Returns the feature maps inside a model, in graph order, by float layer's name.

    Inputs, outputs and layers that only pad or crop are left out: they compute no features of their own.
    """
    never = (keras.layers.InputLayer, keras.layers.ZeroPadding2D, keras.layers.Cropping2D)
    found = {}
    for layer in model.layers:
        inner = getattr(layer, "layer", layer)
        shape = layer.output_shape if len(layer.inbound_nodes) == 1 else ()
        if (
            layer.name not in model.output_names  # the outputs have losses of their own
            and not isinstance(inner, never)
            and isinstance(shape, tuple)
            and len(shape) == 4
            and min(shape[1:3]) > 1
        ):
            found[bare(inner.name)] = layer.output
    return found


class Distiller(Learner):
    """Trains a student, and the adapters of hints, on (inputs, {"hard": encoded targets, "soft": teacher's logits}).

    The teacher itself is used for `labels.features` alone.
    """

    def __init__(self, student: keras.Model, task: Task, labels: SoftLabels, teacher: keras.Model | None = None):
        super().__init__(student, task)
        self.task, self.labels, self.logits = task, labels, task.logits(student)
        self.adapters: list[keras.layers.Layer] = []
        self._watch(student, teacher)

    def _watch(self, student: keras.Model, teacher: keras.Model | None):
        """Builds models that give the pairs' maps too.

        The teacher is hidden from Keras, which would train and save it.
        """
        features = self.labels.features if teacher is not None and self.labels.alpha else None
        pairs = paired_maps(student, teacher, features.pairs) if features else []
        self.watched, inside = student, None
        if pairs:
            self.watched = keras.Model(student.inputs, [*student.outputs, *(one for one, _ in pairs)])
            inside = keras.Model(teacher.inputs, [other for _, other in pairs])
        self.teach = lambda inputs: tf.nest.flatten(inside(inputs, training=False)) if inside else []
        for one, other in pairs if features and features.kind == "hint" else []:
            if one.shape[-1] != other.shape[-1]:
                adapter = keras.layers.Conv2D(other.shape[-1], 1, use_bias=False, name=f"adapter_{len(self.adapters)}")
                adapter.build(one.shape)
                self.adapters.append(adapter)
            else:
                self.adapters.append(keras.layers.Activation("linear"))

    def feature_loss(self, maps: list[tf.Tensor], inputs, targets=None) -> tf.Tensor:
        """Computes the loss of the student's feature maps: the weighted mean over the pairs, 0 without features."""
        wanted = self.teach(inputs)
        if not wanted:
            return tf.constant(0.0)
        features = self.labels.features
        if features.kind == "attention":
            losses = [attention_loss(one, other) for one, other in zip(maps, wanted, strict=True)]
        else:
            adapted = [adapter(one) for adapter, one in zip(self.adapters, maps, strict=True)]
            mask = self.task.object_mask(targets) if features.places == "objects" else None
            losses = [hint_loss(one, other, mask) for one, other in zip(adapted, wanted, strict=True)]
        return features.weight * tf.add_n(losses) / len(losses)

    def loss_of(self, inputs, targets):
        """Computes (1 - alpha) hard + alpha (soft loss) + features for a batch; with alpha = 0 the hard loss alone."""
        hard, alpha = targets["hard"], self.labels.alpha
        found = tf.nest.flatten(self.watched(inputs, training=True))
        count = len(self.model.outputs)
        outputs, maps = by_name(names(self.model), found[:count]), found[count:]
        loss = self.hard_loss(hard, outputs)
        if not alpha:
            return loss
        soft = self.task.distillation_loss(self.logits(outputs), targets["soft"], self.labels.temperature)
        return (1 - alpha) * loss + alpha * soft + self.feature_loss(maps, inputs, hard)

    @property
    def learnt(self) -> list[tf.Variable]:
        """Returns the student's weights, then the adapters'."""
        return [*super().learnt, *(one for layer in self.adapters for one in layer.trainable_variables)]
