"""Does several tasks on one image at once: one backbone, a head for each, one training, one file for the board.

Caruana 1997, "Multitask learning". Score: the mean of the parts' scores, each of which stands beside it, so that what
compression costs can be seen and bounded part by part.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tfmo_drive.base import outputs as model_outputs
from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.contracts import Arrays, BadInput, Evaluation, Examples, Trivial
from tfmo_drive.data.augmentation import Augmentation
from tfmo_drive.networks.backbones import MobileNetV2
from tfmo_drive.networks.networks import Network
from tfmo_drive.protocols import Distillable, LocatesObjects, OverTime, Rendered
from tfmo_drive.scenes.scenes import Scene
from tfmo_drive.tasks.frame_task import FrameTask

_SHARED = ("data", "image_size", "baseline", "network", "preprocessing_name", "resize", "augmentation", "skip_bad",
           "split_seed", "scenes")  # fmt: skip
"""The settings that the parts take from the whole."""
_PROBES = 8
"""The number of a split's examples whose pixels are compared in all parts."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class MultiTask(FrameTask):
    """Does several tasks at once; real `data` is a folder that each of the parts can read.

    Where one part answers a number, its error is the whole's; of several, whose units differ, each part's own stands
    beside its score.

    Args:
        parts: Tasks on whole images, each with its own settings but for those that they share, which are this task's.
        loss_weights: The weight of each part in the sum of losses; () is 1 each.
        given_outputs: The parts' outputs in the order in which a model of your own gives them, in as many outputs or in
            one of as many numbers; () goes by their names.

    Example:
        >>> import tfmo_drive as td
        >>> td.MultiTask(parts=(td.Segmentation(), td.LaneKeeping())).output_names
        ('mask', 'steering')
    """

    parts: tuple[FrameTask, ...]
    loss_weights: tuple[float, ...] = ()
    given_outputs: tuple[str, ...] = ()
    augmentation: Augmentation = Augmentation(flip=True, shift=0.0, zoom=0.1, shear_degrees=0.0)

    name = "multi_task"
    small_network = MobileNetV2(width=0.35)
    mosaics = True  # its parts say whether they can
    own_settings = ("loss_weights",)
    given_settings = ("given_outputs",)

    def __post_init__(self):
        super().__post_init__()
        odd = [part for part in self.parts if not isinstance(part, FrameTask)]
        if odd:
            kinds = ", ".join(type(part).__name__ for part in odd)
            raise BadInput(f"MultiTask.parts must be tasks on whole frames, got {kinds}.")
        if any(len(getattr(part, "inputs", ())) > 1 for part in self.parts):
            raise BadInput("MultiTask.parts share one input, the image. Leave inputs=image,speed out.")
        if self.classes:
            raise BadInput(f"MultiTask.classes is no setting of the whole, got {self.classes!r}. Use parts.0.classes.")
        names = [part.name for part in self.parts]
        if len(names) < 2 or len(set(names)) < len(names):
            raise BadInput(f"MultiTask.parts must be two or more tasks of different kinds, got {', '.join(names)}.")
        weights = self.loss_weights
        if weights and (len(weights) != len(names) or not all(weight > 0 for weight in weights)):
            raise BadInput(f"MultiTask.loss_weights must be {len(names)} numbers above 0, got {self.loss_weights}.")
        if self.given_outputs and sorted(self.given_outputs) != sorted(self.output_names):
            raise BadInput(
                f"MultiTask.given_outputs must name {', '.join(self.output_names)}, each once, in the order in which a "
                f"model of your own gives them, got {self.given_outputs}."
            )
        shared = {name: getattr(self, name) for name in _SHARED}
        parts = tuple(dataclasses.replace(part, **shared) for part in self.parts)
        for number, part in enumerate(parts):
            object.__setattr__(part, "place", f"{self.place}.parts.{number}")
            object.__setattr__(part, "default_size", self.default_size)  # one image is of one size, whatever the parts'
        object.__setattr__(self, "parts", parts)

    @functools.cached_property
    def class_names(self) -> tuple[str, ...]:
        return tuple(f"{part.name} {name}" for part in self.parts for name in part.class_names)

    @functools.cached_property
    def output_names(self) -> tuple[str, ...]:
        """Returns the names of all parts' outputs, in the order of the parts."""
        return tuple(name for part in self.parts for name in part.output_names)

    def identity(self) -> dict[str, Any]:
        return super().identity() | {"parts": {part.name: part.identity() for part in self.parts}}

    @property
    def mask_classes(self) -> tuple[str, ...]:
        return next((part.mask_classes for part in self.parts if part.mask_classes), ())

    def undeclared(self) -> Iterator[str]:
        for part in self.parts:
            yield from part.undeclared()

    def data_sentences(self) -> Iterator[str]:
        said = set()
        for part in self.parts:
            for sentence in part.data_sentences():
                if sentence not in said:
                    yield sentence
                said.add(sentence)

    def counts(self) -> dict[str, int]:
        return self.parts[0].counts()

    def packed(self, split: str) -> Examples:
        """Returns a split's pixels uint8 [b, h, w, channels] and the parts' targets by part."""
        return _Together({part.name: part.packed(split) for part in self.parts}, split)

    def heads(self, network: Network, backbone: keras.Model) -> list:
        return [one for part in self.parts for one in part.heads(network, backbone)]

    def ends(self) -> dict[str, tuple[int, ...]]:
        return {name: shape for part in self.parts for name, shape in part.ends().items()}

    def _each(self, outputs: Any) -> Iterator[tuple[FrameTask, Any]]:
        """Yields every part with its own outputs, as it knows them."""
        for part in self.parts:
            yield part, model_outputs.by_name(part.output_names, [outputs[name] for name in part.output_names])

    def _given(self, model: keras.Model) -> list[FrameTask]:
        """Returns the parts that a model has all outputs of: a teacher may know some alone."""
        return [part for part in self.parts if set(part.output_names) <= set(model_outputs.names(model))]

    def logits(self, model: keras.Model):
        turns = {part.name: part.logits(model) for part in self.parts}

        def of_all(outputs):
            said = {part: turns[part.name](one) for part, one in self._each(outputs)}
            return {
                name: one if len(part.output_names) == 1 else one[name]
                for part, one in said.items()
                for name in part.output_names
            }

        return of_all

    def converted(self, model: keras.Model, subject: str) -> keras.Model:
        for part in self._given(model):
            model = part.converted(model, subject)
        return model

    def check_answers(self, model: keras.Model, outputs: Arrays, targets: Arrays, subject: str) -> None:
        outputs = outputs if isinstance(outputs, Mapping) else {model_outputs.names(model)[0]: outputs}
        for part in self._given(model):
            own = model_outputs.by_name(part.output_names, [outputs[name] for name in part.output_names])
            part.check_answers(model, own, targets[part.name], subject)

    def _weighted(self, losses: list) -> Any:
        return tf.add_n(
            [weight * loss for weight, loss in zip(self.loss_weights or [1] * len(losses), losses, strict=True)]
        )

    def moved(self, targets, randoms):
        return {part.name: part.moved(targets[part.name], randoms) for part in self.parts}

    def encode(self, targets):
        return {part.name: part.encode(targets[part.name]) for part in self.parts}

    def order(self, seed: int, epoch: int) -> np.ndarray | None:
        return next((order for part in self.parts if (order := part.order(seed, epoch)) is not None), None)

    def loss(self, model: keras.Model):
        losses = {part.name: part.loss(model) for part in self.parts}
        return lambda targets, outputs: self._weighted(
            [losses[part.name](targets[part.name], one) for part, one in self._each(outputs)]
        )

    def distillation_loss(self, outputs, teacher, temperature: float):
        pairs = zip(self._each(outputs), self._each(teacher), strict=True)
        return self._weighted([part.distillation_loss(one, other, temperature) for (part, one), (_, other) in pairs])

    def offers(self, protocol: type) -> bool:
        """Says whether a part has what the protocol asks for; to be distilled, all parts must."""
        asked = [part.offers(protocol) for part in self.parts]
        return all(asked) if protocol is Distillable else any(asked)

    def object_mask(self, targets):
        """Returns the object mask of the first part that knows one."""
        part = next(part for part in self.parts if part.offers(LocatesObjects))
        return part.object_mask(targets[part.name])

    def evaluate(self, outputs: Arrays, targets: Arrays) -> Evaluation:
        """Evaluates outputs by name against targets by part."""
        found = {part.name: part.evaluate(one, targets[part.name]) for part, one in self._each(outputs)}
        more = {f"part_{name}": judged.score for name, judged in found.items()}
        more |= {f"{name}_{key}": number for name, judged in found.items() for key, number in judged.more.items()}
        classes = {f"{name}: {key}": one for name, judged in found.items() for key, one in judged.per_class.items()}
        captions = {
            key: [
                "; ".join(filter(None, said))
                for said in zip(*(one.captions[key] for one in found.values()), strict=True)
            ]
            for key in ("truth", "says")
        }

        def scores(weights: np.ndarray) -> np.ndarray:
            return np.mean([judged.scores(weights) for judged in found.values()], axis=0)

        values = np.mean([judged.values for judged in found.values()], axis=0)
        decisions = {name: judged.decisions for name, judged in found.items()}
        whole = Evaluation(values, decisions, classes, more, scores, captions, found)
        numbers = [judged for judged in found.values() if judged.errors is not None]
        if len(numbers) != 1:
            return whole
        return dataclasses.replace(whole, errors=numbers[0].errors, unit=numbers[0].unit)

    def trivial(self, count: int) -> Trivial:
        """Returns the trivial answers of all parts together."""
        found = [(part, part.trivial(count)) for part in self.parts]
        said = {name: one for part, trivial in found
                for name, one in zip(part.output_names, _in_order(part, trivial.outputs), strict=True)}  # fmt: skip
        return Trivial("; ".join(f"{part.name}: {trivial.says}" for part, trivial in found), said)

    def score(self, outputs: Arrays, targets: Arrays) -> float:
        return float(np.mean([part.score(one, targets[part.name]) for part, one in self._each(outputs)]))

    def selection_score(self, outputs: Arrays, targets: Arrays) -> float:
        return float(np.mean([part.selection_score(one, targets[part.name]) for part, one in self._each(outputs)]))

    def over_time(self, outputs: Arrays, scenes: Sequence[Scene], clips: np.ndarray) -> dict[str, float]:
        return {
            key: number
            for part, one in self._each(outputs)
            if part.offers(OverTime)
            for key, number in part.over_time(one, scenes, clips).items()
        }

    def rendered(self, image: np.ndarray, outputs: Arrays) -> np.ndarray:
        images = [part.rendered(image, one) for part, one in self._each(outputs) if part.offers(Rendered)]
        return np.concatenate(images, axis=1)

    def rendered_truth(self, image: np.ndarray, targets: Arrays) -> np.ndarray:
        shown = [part for part in self.parts if part.offers(Rendered)]
        return np.concatenate([part.rendered_truth(image, targets[part.name]) for part in shown], axis=1)

    def metadata(self, model: keras.Model) -> dict[str, Any]:
        parts = {part.name: part.metadata(model) | {"outputs": list(part.output_names)} for part in self.parts}
        return {"task": self.name, "labels": list(self.class_names), "input": self.input_metadata(), "parts": parts}


def _in_order(part: FrameTask, outputs: Arrays) -> list[np.ndarray]:
    """Returns a part's outputs in the order of its output names."""
    return [outputs[name] for name in part.output_names] if isinstance(outputs, Mapping) else [outputs]


class _Together(Examples):
    """Joins the targets of several tasks on the same images; raises BadInput where the images are not the same."""

    def __init__(self, parts: dict[str, Examples], split: str):
        self.parts = parts
        first = next(iter(parts.values()))
        self.groups, self.attributes, self.digests = first.groups, first.attributes, first.digests
        self.labels = first.labels
        self.fingerprint = " ".join(part.fingerprint for part in parts.values())
        probes = np.linspace(0, len(first) - 1, _PROBES).astype(np.int64)
        for name, part in list(parts.items())[1:]:
            same = len(part) == len(first) and np.array_equal(part.read(probes)[0], first.read(probes)[0])
            if not same:
                raise BadInput(
                    f"MultiTask: {split} has {len(first):,} images for {next(iter(parts))}, {len(part):,} for {name}; "
                    "they must be the same, in one order. Give every image all kinds of truth."
                )

    def __len__(self) -> int:
        return len(self.groups)

    def read(self, indices: np.ndarray) -> tuple[np.ndarray, dict[str, Arrays]]:
        found = {name: part.read(indices) for name, part in self.parts.items()}
        return next(iter(found.values()))[0], {name: targets for name, (_, targets) in found.items()}
