"""Defines the whole vocabulary: what a task, a step, a target, an artifact and a measure promise one another.

This file imports nothing from the package but `preprocessing`, which is part of it, and every plug-in imports it.
"""

from __future__ import annotations

import abc
import dataclasses
import functools
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from tfmo_drive.preprocessing import Preprocessing, Preprocessings

if TYPE_CHECKING:
    import tf_keras as keras

Arrays = np.ndarray | Mapping[str, np.ndarray]
"""Inputs or outputs of a model, or the targets: one array [n, ...], or several by name."""
Scores = Callable[[np.ndarray], np.ndarray]
"""Computes scores, float64 [k], from weights of examples, float64 [k, n]; NaN where all weights of a score are 0."""


def one_line(text: str) -> str:
    """Returns `text` with letters that do not print (line breaks, control characters, half letters) as escapes."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class BadInput(ValueError):
    """Is raised where the user's input cannot be used.

    It says in one line subject, rule, value got and what to type instead. Letters that do not print (of a file's name,
    of a cell) stand in it as escapes. The exit code is 1.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(one_line(str(message)))


class BrokenPromise(Exception):
    """Is raised where a later step, or the conversion, undid what an earlier step promised."""


class Examples(abc.ABC):
    """Holds one split of a task's data, read by index, so that memory does not grow with the data."""

    groups: np.ndarray
    """int64 [n]: examples of one group (frames of one track) are not independent; without groups, 0..n-1."""
    attributes: Mapping[str, np.ndarray] = MappingProxyType({})
    """{"weather": a name for every example, str [n]}, from which slices are made."""

    @abc.abstractmethod
    def __len__(self) -> int:
        """Returns the number of examples."""

    @abc.abstractmethod
    def read(self, indices: np.ndarray) -> tuple[Arrays, Arrays]:
        """Returns inputs as a board gets them, and targets.

        Inputs are images, uint8 [b, height, width, channels] in 0..255 (grey, RGB or RGBA), or rows, float32 [b, n], or
        several of them by name; targets are classes, int64 [b], numbers, float32 [b, 1], masks, uint8 [b, height,
        width], or boxes by name.
        """

    @functools.cached_property
    def labels(self) -> np.ndarray:
        """Returns the targets of all examples, [n, ...], where they are one small array: class ids, numbers."""
        return np.concatenate([targets for _, targets in self._blocks()])

    @functools.cached_property
    def fingerprint(self) -> str:
        """Returns a hex digest of inputs, targets and groups; a class that knows it need not read everything."""
        content = hashlib.sha256(np.ascontiguousarray(self.groups).tobytes())
        for inputs, targets in self._blocks():
            for name, array in (*_called("inputs", inputs), *_called("targets ", targets)):
                content.update(f"{name} {array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).tobytes())
        return content.hexdigest()

    def _blocks(self) -> Iterator[tuple[Arrays, Arrays]]:
        for start in range(0, len(self), _BLOCK):
            yield self.read(np.arange(start, min(start + _BLOCK, len(self))))


def _called(what: str, arrays: Arrays) -> list[tuple[str, np.ndarray]]:
    named = arrays if isinstance(arrays, Mapping) else {"": arrays}
    return [(what + name, array) for name, array in named.items()]


_BLOCK = 256  # examples held at once where all are read


@dataclasses.dataclass(frozen=True)
class Trivial:
    """Holds the trivial answer to a task: the same for every example without a look at it, chosen from train alone."""

    says: str
    """The answer in words, after "answering": 'always "stop"'."""
    outputs: Arrays
    """[n, ...], in a form that the task's `evaluate` takes."""


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Holds a task's evaluation of some outputs."""

    values: np.ndarray
    """float64 [n] in [0, 1], one per example: how well it did, for ranking them."""
    decisions: Arrays
    """[n, ...]: the answers that a user would act on (the arg max class); two rows agree as far as these are equal."""
    per_class: Mapping[str, Mapping[str, float]]
    """{"stop": {"score": 0.9, "examples": 30}, ...}; classes without examples are left out."""
    more: Mapping[str, float] = dataclasses.field(default_factory=dict)  # more numbers of the row, such as score_macro
    scores: Scores | None = None
    """The score of any choice of the examples, where it is not the weighted mean of `values` (mAP, mean IoU)."""
    captions: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)  # {"truth": [n], "says": [n]}
    parts: Mapping[str, Evaluation] = dataclasses.field(default_factory=dict)
    """The evaluation of each task by its name, where several are evaluated together."""
    constant: bool = False
    """Whether every example is answered alike, which needs no model, whatever it scores."""
    errors: np.ndarray | None = None
    """float64 [n] in `unit`, for a task that answers a number: how far each answer is off, the lower the better."""
    unit: str = ""  # of errors, such as "m"; "" where nobody knows

    def __post_init__(self):
        if self.scores is None:
            object.__setattr__(self, "scores", lambda weights: weights @ self.values / weights.sum(axis=1))

    @property
    def score(self) -> float:
        """Returns the score of all the examples."""
        return float(self.scores(np.ones((1, len(self.values))))[0])


class Task(abc.ABC):
    """Defines one perception job: data, float model, loss, metrics, decoding; concrete tasks are frozen dataclasses.

    What every task must have is abstract here; what only some have is one of tfmo_drive.protocols, for which code that
    needs it asks with `offers`. Everything else has a default that does nothing.
    """

    name: str
    preprocessing: Preprocessing | Preprocessings
    randoms: int = 0  # numbers that an example's `augment` is given
    given_outputs: tuple[str, ...] | None = None  # a given model's outputs in its order; (): by name, None: no setting
    small_network: Any = None  # what a user would train from nothing instead of compressing; it goes into `build`
    allow_code: bool = False  # whether code inside a given model's file, such as a Lambda layer's, may run

    def offers(self, protocol: type) -> bool:
        """Says whether the task has what Distillable, LocatesObjects, OverTime or Rendered asks for."""
        return isinstance(self, protocol)

    @abc.abstractmethod
    def examples(self, split: str) -> Examples:
        """Returns the examples of a split: train, val or test."""

    def counts(self) -> Mapping[str, int]:
        """Returns the number of examples of each split; a task that knows it without reading any says so faster."""
        return {split: len(self.examples(split)) for split in ("train", "val", "test")}

    @abc.abstractmethod
    def build(self, network: Any = None) -> keras.Model:
        """Returns the float model, untrained or with given weights; with `network`, that one untrained.

        Its input is preprocessed, float32 [b, h, w, 3] or [b, n]; where it has several, they are called as in
        `preprocessing`. Outputs are called after their layers.
        """

    def augment(self, inputs: Any, targets: Any, randoms: Any) -> tuple[Any, Any]:
        """Returns raw inputs (float32) and targets, randomly changed (TensorFlow code).

        `randoms`, float32 [b, self.randoms] in [0, 1), depend on (seed, epoch, index) alone: equal examples in
        equal epochs are changed alike.
        """
        return inputs, targets

    def order(self, seed: int, epoch: int) -> np.ndarray | None:
        """Returns the train examples that an epoch shows, int64 [m] in order; None shows each once, shuffled."""
        return None

    def encode(self, targets: Any) -> Any:
        """Returns targets as `loss` takes them, from targets as they are read (TensorFlow graph code)."""
        return targets

    @abc.abstractmethod
    def loss(self, model: keras.Model) -> Callable[[Any, Any], Any]:
        """Returns what training minimises: a TensorFlow function of encoded targets and outputs.

        The outputs come by name, or the only one by itself.
        """

    def logits(self, model: keras.Model) -> Callable[[Any], Any]:
        """Returns a TensorFlow function from outputs to logits, for `distillation_loss`; numbers stay as they are."""
        return lambda outputs: outputs

    def converted(self, model: keras.Model, subject: str) -> keras.Model:
        """Returns a user's own `model` with outputs in the task's units, or raises BadInput, which `subject` begins."""
        return model

    def check_answers(self, model: keras.Model, outputs: Arrays, targets: Arrays, subject: str) -> None:
        """Raises BadInput, which `subject` begins, where a user's model answers on val what the task cannot take."""
        return None

    @abc.abstractmethod
    def evaluate(self, outputs: Arrays, targets: Arrays) -> Evaluation:
        """Returns the evaluation of outputs [n, ...] against targets [n, ...]."""

    def score(self, outputs: Arrays, targets: Arrays) -> float:
        """Returns `evaluate(...).score`; a task may know a shorter way."""
        return self.evaluate(outputs, targets).score

    def selection_score(self, outputs: Arrays, targets: Arrays) -> float:
        """Returns the number by which training keeps its best epoch: `score`, unless that rewards what nobody wants."""
        return self.score(outputs, targets)

    def trivial(self, count: int) -> Trivial | None:
        """Returns the trivial answer for `count` examples, which a model must beat to be worth anything, or None."""
        return None

    @abc.abstractmethod
    def metadata(self, model: keras.Model) -> dict[str, Any]:
        """Returns what a board must know beside the graph: labels, colour order, resize rule, `decode` (JSON types)."""

    def identity(self) -> dict[str, Any]:
        """Returns the settings that a trained model depends on besides the data's content (JSON types, no paths)."""
        fields = dataclasses.fields(self) if dataclasses.is_dataclass(self) else ()
        kept = [field.name for field in fields if field.compare and field.name not in ("data", "baseline")]
        return {name: repr(getattr(self, name)) for name in kept}

    def fingerprint(self) -> str:
        """Returns a hex digest of the data's content; a stage is reused only where it is equal."""
        text = " ".join(self.examples(split).fingerprint for split in ("train", "val", "test"))
        return hashlib.sha256(text.encode()).hexdigest()

    def given(self) -> str:
        """Returns a hex digest of the trained baseline that `build` reads; "" where the baseline is trained here."""
        return ""


class Artifact(abc.ABC):
    """Opens a file that runs on a target (or the Keras model itself, for the fake-quant row)."""

    name: str
    path: Path
    runtime: str
    """The runtime and its kernels: "litert xnnpack", "onnxruntime", "keras"."""
    threads: int
    notes: Mapping[str, Any] = MappingProxyType({})
    """Decisions made in the conversion (which layers stayed float), for its row of the report; JSON types."""

    @abc.abstractmethod
    def predict(self, batch: Arrays) -> Arrays:
        """Returns float32 outputs, dequantised, for raw inputs: uint8 pixels [b, h, w, 3], or float32 rows [b, n]."""

    @abc.abstractmethod
    def runner(self, example: Arrays, threads: int | None = None) -> Callable[[], None] | None:
        """Returns a function that runs one inference on `threads` (None: its own); None where it cannot run here so."""

    @abc.abstractmethod
    def weights(self) -> dict[str, np.ndarray]:
        """Returns kernels and biases of convolutions and dense layers as the file stores them (int8, float16, ...)."""

    @abc.abstractmethod
    def macs(self) -> int:
        """Returns the multiply-accumulates of one example, counted from the file's own graph."""

    @property
    def source(self) -> Artifact:
        """Returns the file that runs here: this one, or what a compiled file was made from."""
        return self


class Step:
    """Compresses by one method: Keras model in, Keras model out; concrete steps are frozen dataclasses."""

    promise: str | None = None
    """The promise that holds from then on ("70 % zeros"), or None where there is nothing to check again."""
    provides: str = ""
    """The promise in one word ("sparsity"), which later steps that preserve it name in `preserves`."""
    preserves: tuple[str, ...] = ()
    """The promises of earlier steps, in one word each, that this step does not undo."""
    replaces_model: bool = False
    """Whether the result is another network, to which no earlier promise applies."""

    @property
    def name(self) -> str:
        """Names stages and rows after the class: `QuantizeAware` becomes `quantize_aware`."""
        kind = type(self).__name__
        return "".join(f"_{c.lower()}" if c.isupper() and i else c.lower() for i, c in enumerate(kind))

    @property
    def files(self) -> tuple[Path, ...]:
        """Returns files, beside the settings, on whose content the result depends."""
        return ()

    def __call__(self, model: keras.Model, context: Context) -> keras.Model:
        """Returns a compressed copy; `model` and its weights stay as they were."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it does to a model.")

    def refuse_task(self, task: Task) -> None:
        """Raises BadInput where the task does not offer what the step needs; asked before anything is trained."""

    def refuse(self, model: keras.Model) -> None:
        """Raises BadInput where the step cannot work on a model of this structure; asked before anything is trained."""

    def idle(self, model: keras.Model) -> str:
        """Returns why the step would find nothing to do in a model of this structure, or "".

        The sentences end with what to type instead; a setting that asks for nothing, such as a sparsity of 0,
        is no reason.
        """
        return ""

    def outline(self, model: keras.Model) -> keras.Model:
        """Returns a model of the structure that the step leaves, whose weights do not count, for asking later steps."""
        return model

    def successor(self, task: Task) -> keras.Model:
        """Returns, untrained, the network that a step that replaces the model leaves, for asking later steps."""
        raise NotImplementedError(f"{type(self).__name__} does not say what takes the model's place.")

    def undoes(self, earlier: Step) -> bool:
        """Says whether this step would undo what `earlier`, before it in a recipe, promises."""
        return (
            self.replaces_model
            and bool(earlier.promise)
            or bool(earlier.provides)
            and earlier.provides not in self.preserves
        )

    def to_preserve(self, provided: Sequence[str]) -> str:
        """Returns what to type so that this step preserves what earlier ones provide; "" where it cannot."""
        try:
            kept = dataclasses.replace(self, preserve="+".join(dict.fromkeys(provided)))
        except (TypeError, BadInput):
            return ""
        return f'Use {type(self).__name__}(preserve="{kept.preserve}").'

    def check(self, model: keras.Model) -> None:
        """Raises BrokenPromise, which says what was promised and what is, when a later step undid this one."""

    def check_artifact(self, artifact: Artifact) -> None:
        """Raises BrokenPromise where the file that ships does not keep the promise."""

    def skipped_layers(self, model: keras.Model) -> Mapping[str, str]:
        """Returns, by name, the layers of its result that the step could not change, and why; for the report."""
        return {}

    def reload(self, model: keras.Model, weights: Path, context: Context) -> keras.Model:
        """Returns the finished stage, from the stage before (`model`) and the file that was saved (`weights`)."""
        raise NotImplementedError(f"{type(self).__name__} does not say how its stage is read back.")


class Target(abc.ABC):
    """Describes where a model will run by facts, each with its source; concrete targets are frozen dataclasses."""

    name: str

    def refuses(self, model: keras.Model) -> str | None:
        """Returns why this target cannot take the model (one sentence, shown in the report), or None."""
        return None

    def trial(self, frozen: Any, images: Arrays, folder: Path) -> None:  # noqa: B027 (nothing is known by default)
        """Raises BadInput where no graph of this structure can be converted, whatever its weights.

        It is asked before anything is trained, in a process of its own, for a converter may take its process down.

        Args:
            frozen: A conversion.freezing.Frozen, whose weights do not count.
            images: Raw inputs [n, ...] that mean nothing, for activation ranges.
            folder: An empty folder for files, which goes when the process ends.
        """

    @abc.abstractmethod
    def __call__(self, model: keras.Model, folder: Path, context: Context) -> Artifact:
        """Converts the model into `folder` (which exists) and opens the result; raises BadInput where it cannot."""


class Measure(abc.ABC):
    """Answers one question: artifact in, numbers out."""

    paired: tuple[str, ...] = ()
    """The numbers that compare a row with the reference example by example; they are measured against controls too."""
    timed: bool = False
    """Whether a busy machine disturbs it, so that it may be measured again."""
    has_section: bool = False
    """Whether a part of the report is about its numbers; those of other measures stand with the task's own ones."""

    @abc.abstractmethod
    def __call__(self, artifact: Artifact, reference: Artifact, context: Context) -> dict[str, Any]:
        """Returns keys of a report row; `reference` is the float row's artifact, for pairs and for timing in turns."""


@dataclasses.dataclass(frozen=True)
class Context:
    """Holds what a step, target or measure may look at besides the model it is given."""

    task: Task
    baseline: keras.Model
    targets: tuple[Target, ...]
    workdir: Path
    seed: int

    def calibration(self, count: int) -> Arrays:
        """Returns `count` raw inputs of train, never of val or test, sampled by the seed: the same ones every time."""
        examples = self.task.examples("train")
        generator = np.random.default_rng([self.seed, 0xCA11B])
        indices = np.sort(generator.permutation(len(examples))[:count])
        return examples.read(indices)[0]
