"""The whole vocabulary: what a task, a step, a target, an artifact and a measure promise one another.

Floor 0 of DESIGN: this file imports nothing from the package, and every plug-in imports it.
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

if TYPE_CHECKING:
    import tf_keras as keras

# One array [n, ...], or several by name: outputs of a model, and what they should be.
Arrays = np.ndarray | Mapping[str, np.ndarray]
# Weights float64 [k, n] of examples (how often drawn; 0 or 1 for a slice) to scores float64 [k]; NaN of nothing.
Scores = Callable[[np.ndarray], np.ndarray]


def one_line(text: str) -> str:
    """`text` with the letters that do not print (line breaks, control characters, lone surrogates) as escapes."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class BadInput(ValueError):
    """The user's input cannot be used. One line: subject, rule, value got, what to type instead. Exit code 1.

    It is one line whatever it quotes: letters that do not print (of a file's name, of a cell) stand as escapes.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(one_line(str(message)))


class BrokenPromise(Exception):
    """A later step, or the conversion, undid what an earlier step guarantees."""


class Examples(abc.ABC):
    """One split of a task's data, read by index, so that memory does not grow with the data."""

    groups: np.ndarray
    """int64 [n]: examples of one group (frames of one track) are not independent; without groups, 0..n-1."""
    attributes: Mapping[str, np.ndarray] = MappingProxyType({})
    """What slices are made of: "weather" to a name for every example, str [n]."""

    @abc.abstractmethod
    def __len__(self) -> int: ...

    @abc.abstractmethod
    def read(self, indices: np.ndarray) -> tuple[np.ndarray, Arrays]:
        """Inputs as a board gets them (images: uint8 [b, height, width, 3], RGB 0..255; rows: float32 [b, columns]) and
        targets (classes: int64 [b]; numbers: float32 [b, 1]; masks: uint8 [b, height, width]; boxes: by name)."""

    @functools.cached_property
    def labels(self) -> np.ndarray:
        """The targets of all examples [n, ...], where they are one small array: class ids, numbers."""
        return np.concatenate([targets for _, targets in self._blocks()])

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hex digest of the content, inputs, targets and groups, wherever they lie; whoever knows it already says it
        in place of reading everything."""
        content = hashlib.sha256(np.ascontiguousarray(self.groups).tobytes())
        for inputs, targets in self._blocks():
            named = targets if isinstance(targets, Mapping) else {"": targets}
            for name, array in {"inputs": inputs, **{f"targets {name}": one for name, one in named.items()}}.items():
                content.update(f"{name} {array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).tobytes())
        return content.hexdigest()

    def _blocks(self) -> Iterator[tuple[np.ndarray, Arrays]]:
        for start in range(0, len(self), _BLOCK):
            yield self.read(np.arange(start, min(start + _BLOCK, len(self))))


_BLOCK = 256
"""Examples that are held at once where all are read."""


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """What turns raw inputs into what the Keras model was trained on: `x[..., channel_order] * scale + offset`.

    Affine per channel (of pixels) or column (of rows, of every reading of a sequence), so that every target can put it
    into its file and a board feeds raw inputs. What has `input_range` is folded into the graph and quantised with it.
    Columns without a range (101,325 Pa beside 0.01 rad/s) have no common 8-bit scale: a file standardises them in
    float32 before they are quantised.
    """

    name: str
    channel_order: tuple[int, ...] = (0, 1, 2)
    scale: tuple[float, ...] = (1.0, 1.0, 1.0)
    offset: tuple[float, ...] = (0.0, 0.0, 0.0)
    input: str = "image"  # what it is called in every file
    input_range: tuple[float, float] | None = (0.0, 255.0)  # lowest and highest raw input, 255 steps; None: any float32
    dtype: str = "uint8"  # of raw inputs; "float32" where they are no pixels

    def __post_init__(self):
        if self.dtype != "float32" and not self.input_range:
            raise ValueError(f"Raw {self.dtype} inputs have a range; inputs of any range are float32.")

    @property
    def is_identity(self) -> bool:
        """Tells whether raw inputs are what the Keras model takes."""
        count = len(self.channel_order)
        return (*self.channel_order, *self.scale, *self.offset) == (*range(count), *[1.0] * count, *[0.0] * count)

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The lowest and the highest value that a preprocessed input can have; None where the raw one has no limits."""
        changes = list(zip(self.scale, self.offset, strict=True))
        ends = [limit * scale + offset for limit in self.input_range or () for scale, offset in changes]
        return (min(ends), max(ends)) if ends else None

    def __call__(self, raw: np.ndarray) -> np.ndarray:
        """Raw inputs [..., channels] to float32 [..., channels]."""
        return np.asarray(raw, np.float32)[..., list(self.channel_order)] * np.float32(self.scale) + np.float32(
            self.offset
        )


@dataclasses.dataclass(frozen=True)
class Trivial:
    """What a task can be answered without a look at the inputs: the same for every example, chosen from train alone."""

    says: str
    """In words, after "answering": 'always "stop"'."""
    outputs: Arrays
    """[n, ...], in a form that the task's `judge` takes."""


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What a task says of some outputs."""

    values: np.ndarray
    """float64 [n] in [0, 1], one per example: how well it did, for ranking them."""
    decisions: Arrays
    """[n, ...]: what a user would act on (the arg max class); two rows agree as far as these are equal."""
    per_class: Mapping[str, Mapping[str, float]]
    """{"stop": {"score": 0.9, "examples": 30}, ...}; classes without examples are left out."""
    more: Mapping[str, float] = dataclasses.field(default_factory=dict)  # for the row, such as score_macro
    scores: Scores | None = None
    """Of any choice of the examples, where that is not the weighted mean of their `values` (mAP, mean IoU)."""
    captions: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)  # {"truth": [n], "says": [n]}
    parts: Mapping[str, Evaluation] = dataclasses.field(default_factory=dict)
    """Of several tasks judged together, that of each by its name."""
    constant: bool = False
    """Whether every example is answered alike, which needs no model, whatever it scores."""

    def __post_init__(self):
        if self.scores is None:
            object.__setattr__(self, "scores", lambda weights: weights @ self.values / weights.sum(axis=1))

    @property
    def score(self) -> float:
        """Of all the examples."""
        return float(self.scores(np.ones((1, len(self.values))))[0])


class Task(abc.ABC):
    """Data + float model + loss + metrics + decoding of one perception job. Concrete tasks are frozen dataclasses.

    What every task must say is abstract here; what only some can do is one of tfmo_drive.protocols, for which whoever
    needs it asks with `offers`. Everything else has a default that does nothing.
    """

    name: str
    preprocessing: Preprocessing
    randoms: int = 0  # numbers that an example's `augment` is given
    allow_code: bool = False  # whether code inside a given model's file, such as a Lambda layer's, may run

    def offers(self, protocol: type) -> bool:
        """Whether the task does what Distillable, LocatesObjects, OverTime or Rendered asks for."""
        return isinstance(self, protocol)

    @abc.abstractmethod
    def examples(self, split: str) -> Examples:
        """`split` is train, val or test."""

    @abc.abstractmethod
    def build(self, network: Any = None) -> keras.Model:
        """The float model, untrained or from `weights=`; with `network`, that one untrained in place of the task's own.
        Its input is preprocessed, float32 [b, h, w, 3] or [b, n]; outputs are called after their layers."""

    def augment(self, inputs: Any, targets: Any, randoms: Any) -> tuple[Any, Any]:
        """TensorFlow graph code: inputs (raw, as float32) and the targets that change with them. randoms: float32
        [b, self.randoms] in [0, 1), keyed by (seed, epoch, index): equal examples in equal epochs are changed alike."""
        return inputs, targets

    def order(self, seed: int, epoch: int) -> np.ndarray | None:
        """int64 [train examples]: which of them an epoch shows, one after the other; None: each once, shuffled."""
        return None

    def encode(self, targets: Any) -> Any:
        """TensorFlow graph code: what `loss` takes, in place of targets as they are read."""
        return targets

    @abc.abstractmethod
    def loss(self, model: keras.Model) -> Callable[[Any, Any], Any]:
        """What training lowers: (encoded targets, outputs by name or the only one) to a scalar, in TensorFlow."""

    def logits(self, model: keras.Model) -> Callable[[Any], Any]:
        """What turns the model's outputs into what `distillation_loss` takes, in TensorFlow: of class probabilities,
        their logarithms; where a model gives logits or numbers, those themselves."""
        return lambda outputs: outputs

    def converted(self, model: keras.Model, subject: str) -> keras.Model:
        """A given `model` of the user's own with outputs in the task's units; `subject` says in errors what it is.
        Raises BadInput where their meaning is not known."""
        return model

    def check_answers(self, model: keras.Model, outputs: Arrays, targets: Arrays, subject: str) -> None:
        """Raise BadInput where what a given `model` answers on real data cannot mean what the task takes it for."""
        return None

    @abc.abstractmethod
    def evaluate(self, outputs: Arrays, targets: Arrays) -> Evaluation: ...

    def score(self, outputs: Arrays, targets: Arrays) -> float:
        """`judge(...).score`, where nothing else is asked; a task may know a shorter way."""
        return self.evaluate(outputs, targets).score

    def selection_score(self, outputs: Arrays, targets: Arrays) -> float:
        """Of an epoch in training, which keeps the best one: `score`, unless that rewards what nobody wants."""
        return self.score(outputs, targets)

    def trivial(self, count: int) -> Trivial | None:
        """The answer to beat, `count` times: a model that is no better than it has learnt nothing. None: the task knows
        no such answer, and nothing is said of its models' worth."""
        return None

    @abc.abstractmethod
    def metadata(self, model: keras.Model) -> dict[str, Any]:
        """Everything a board must know beside the graph: labels, colour order, resize rule, and in `decode` how the
        outputs are read (JSON types)."""

    def identity(self) -> dict[str, Any]:
        """The settings that a trained model depends on besides the data's content: no paths, JSON types. By default
        every setting as text but `data` and `baseline`."""
        fields = dataclasses.fields(self) if dataclasses.is_dataclass(self) else ()
        kept = [field.name for field in fields if field.compare and field.name not in ("data", "baseline")]
        return {name: repr(getattr(self, name)) for name in kept}

    def fingerprint(self) -> str:
        """Hex digest of the data's content; a stage is reused only where it is equal."""
        text = " ".join(self.examples(split).fingerprint for split in ("train", "val", "test"))
        return hashlib.sha256(text.encode()).hexdigest()

    def given(self) -> str:
        """Returns a hex digest of the trained baseline that `build` reads; "" where the baseline is trained here."""
        return ""


class Artifact(abc.ABC):
    """A file that runs on a target (or the Keras model itself, for the fake-quant row)."""

    name: str
    path: Path
    runtime: str
    """With its kernels: "litert xnnpack", "onnxruntime", "keras"."""
    threads: int
    notes: Mapping[str, Any] = MappingProxyType({})
    """What was decided while it was made (which layers stayed float), for its row of the report; JSON types."""

    @abc.abstractmethod
    def predict(self, batch: np.ndarray) -> Arrays:
        """Raw inputs (uint8 RGB pixels [b, h, w, 3]; or float32 rows [b, n]) to float32 outputs, dequantised."""

    @abc.abstractmethod
    def runner(self, example: np.ndarray, threads: int | None = None) -> Callable[[], None] | None:
        """One inference of one raw input and nothing else, which latency times, on `threads` (None: its own); None
        where nothing here can run it so."""

    @abc.abstractmethod
    def weights(self) -> dict[str, np.ndarray]:
        """Constants of convolutions and dense layers as stored in the file (int8, float16, ...), biases included."""

    @abc.abstractmethod
    def macs(self) -> int:
        """Multiply-accumulates of one example, counted from the file's own graph."""

    @property
    def source(self) -> Artifact:
        """The file that runs here: this one, or what a compiled file was made from."""
        return self


class Step:
    """One compression method: Keras model in, Keras model out. Concrete steps are frozen dataclasses."""

    promise: str | None = None
    """What it guarantees from then on ("70 % zeros"); None = nothing to re-check."""
    provides: str = ""
    """The promise in one word ("sparsity"), for later steps to say in `preserves` that they leave it alone."""
    preserves: tuple[str, ...] = ()
    replaces_model: bool = False
    """Whether the result is another network, to which no earlier promise applies."""

    @property
    def name(self) -> str:
        """`QuantizeAware` -> `quantize_aware`: names stages and rows."""
        kind = type(self).__name__
        return "".join(f"_{c.lower()}" if c.isupper() and i else c.lower() for i, c in enumerate(kind))

    @property
    def files(self) -> tuple[Path, ...]:
        """Files that the result depends on beside the settings: where their content changed, a stage is made again."""
        return ()

    def __call__(self, model: keras.Model, context: Context) -> keras.Model:
        """A compressed copy; `model` and its weights stay as they were."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it does to a model.")

    def refuse_task(self, task: Task) -> None:
        """Raise BadInput where the step needs of a task what that does not offer; asked before anything is trained."""

    def refuse(self, model: keras.Model) -> None:
        """Raise BadInput where the step cannot work on a model of this structure; asked before anything is trained."""

    def outline(self, model: keras.Model) -> keras.Model:
        """A model of the structure that the step leaves, about which later ones are asked before anything is trained.
        Its weights do not count."""
        return model

    def undoes(self, earlier: Step) -> bool:
        """Whether this step would undo what `earlier`, before it in a recipe, guarantees."""
        return (
            self.replaces_model
            and bool(earlier.promise)
            or bool(earlier.provides)
            and earlier.provides not in self.preserves
        )

    def to_keep(self, guarantees: Sequence[str]) -> str:
        """What to type so that this step keeps what earlier ones guarantee; "" where it cannot."""
        try:
            kept = dataclasses.replace(self, preserve="+".join(dict.fromkeys(guarantees)))
        except (TypeError, BadInput):
            return ""
        return f'Use {type(self).__name__}(preserve="{kept.preserve}").'

    def check(self, model: keras.Model) -> None:
        """Raise BrokenPromise, which says what was promised and what is, when a later step undid this one."""

    def check_artifact(self, artifact: Artifact) -> None:
        """The same promise in the file that ships."""

    def skipped_layers(self, model: keras.Model) -> Mapping[str, str]:
        """By name, the layers of its result that the step could not change, and why; for the report."""
        return {}

    def reload(self, model: keras.Model, weights: Path, context: Context) -> keras.Model:
        """The finished stage again: `model` is the stage before, `weights` what was saved after this step."""
        raise NotImplementedError(f"{type(self).__name__} does not say how its stage is read back.")


class Target(abc.ABC):
    """Facts about where a model will run, each with its source. Concrete targets are frozen dataclasses."""

    name: str

    def refuses(self, model: keras.Model) -> str | None:
        """Why this target cannot take the model (one sentence, shown in the report), or None."""
        return None

    @abc.abstractmethod
    def __call__(self, model: keras.Model, folder: Path, context: Context) -> Artifact:
        """Convert into `folder` (which exists) and open the result."""


class Measure(abc.ABC):
    """One question: artifact in, numbers out."""

    paired: tuple[str, ...] = ()
    """Those of its numbers that compare a row with the reference example by example: asked again of controls."""
    timed: bool = False
    """Whether a busy machine disturbs it, so that it may be asked again."""

    @abc.abstractmethod
    def __call__(self, artifact: Artifact, reference: Artifact, context: Context) -> dict[str, Any]:
        """Keys of a report row. `reference` is the float row's artifact, for paired deltas and interleaved timing."""


@dataclasses.dataclass(frozen=True)
class Context:
    """What a step, target or measure may look at besides the model it is given."""

    task: Task
    baseline: keras.Model
    targets: tuple[Target, ...]
    workdir: Path
    seed: int

    def calibration(self, count: int) -> np.ndarray:
        """A seeded slice of **train**, never of val or test: `count` raw inputs, the same ones every time."""
        examples = self.task.examples("train")
        generator = np.random.default_rng([self.seed, 0xCA11B])
        indices = np.sort(generator.permutation(len(examples))[:count])
        return examples.read(indices)[0]


def refuse(recipe: Sequence[Step], model: keras.Model) -> None:
    """BadInput where a step cannot work on `model`'s structure, as earlier ones leave it; steps behind one that makes
    another network are asked when that is there."""
    for step in recipe:
        step.refuse(model)
        if step.replaces_model:
            return
        model = step.outline(model)


def compress(model: keras.Model, recipe: tuple[Step, ...], context: Context, done: int = 0) -> Iterator:
    """Apply the steps after the first `done`, re-checking every earlier promise; yields (count, step, model)."""
    for count, step in enumerate(recipe, start=1):
        if count <= done:
            continue
        if count == done + 1 or recipe[count - 2].replaces_model:
            refuse(recipe[count - 1 :], model)
        folder = context.workdir / f"{count}_{step.name}"
        model = step(model, dataclasses.replace(context, workdir=folder))
        step.check(model)
        for kept in recipe[: count - 1]:
            _check_again(kept, step, model, [earlier.provides for earlier in recipe[: count - 1]])
        yield count, step, model


def _check_again(kept: Step, step: Step, model: keras.Model, guaranteed: list[str]) -> None:
    """`kept.check`, which names the step that broke the promise and what to do about it."""
    try:
        kept.check(model)
    except BrokenPromise as broken:
        name = type(step).__name__
        if kept.provides and kept.provides in step.preserves:
            advice = f"It was to keep that: a fault of {name}, which is worth a report with the recipe."
        else:
            wanted = [one for one in guaranteed if one]
            advice = step.to_keep(wanted) or f"Put {name} before {type(kept).__name__}."
        raise BrokenPromise(f"{broken} {name}, which ran after it, undid it. {advice}") from broken
