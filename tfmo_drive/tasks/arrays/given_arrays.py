"""Reads somebody's own examples: numpy arrays as they lie in memory, a tf.data.Dataset once, into the cache.

What the targets are is told by their type: whole numbers, texts and one-hot rows name classes, floating-point numbers
are numbers to predict, and anything else needs a loss and a metric of its user's own.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tfmo_drive.base import outputs
from tfmo_drive.contracts import Arrays, BadInput, Examples
from tfmo_drive.data.class_names import refuse_unfit
from tfmo_drive.data.image_cache import PackedExamples
from tfmo_drive.data.repeated import say_repeated
from tfmo_drive.data.splitting import SPLITS
from tfmo_drive.tasks.arrays import given_dataset, given_inputs
from tfmo_drive.tasks.arrays.given_dataset import PackedInputs
from tfmo_drive.tasks.arrays.given_inputs import GivenInput, Likes

CLASS, NUMBER, OTHER = "class", "number", "other"
"""The kinds of targets: the id of a class, one number, or what only a user's own loss and metric know."""
ONE_HOT, COLUMN = "one-hot", "column"
"""The forms in which classes are given beside plain ids [n]: rows of one 1 [n, classes], and ids [n, 1]."""
_STRETCH = 1 << 12
"""The number of examples that are looked at together."""


class GivenExamples(Examples):
    """Holds one split: inputs [n, ...] from memory or from the cache, targets [n, ...] and groups int64 [n]."""

    def __init__(self, inputs: Arrays | PackedExamples | PackedInputs, targets: np.ndarray, groups: np.ndarray) -> None:
        self._inputs, self.labels, self.groups = inputs, targets, groups

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, indices: np.ndarray) -> tuple[Arrays, np.ndarray]:
        """Returns inputs uint8 or float32 [b, ...] and targets (ids int64 [b], numbers float32 [b, 1], or others)."""
        return self.inputs(indices), self.labels[indices]

    def inputs(self, indices: np.ndarray) -> Arrays:
        """Returns inputs uint8 or float32 [b, ...], by name where there are several."""
        if isinstance(self._inputs, PackedInputs):
            return self._inputs.read(indices)
        if isinstance(self._inputs, PackedExamples):
            return self._inputs.read(indices)[0]
        return outputs.each(lambda one: np.ascontiguousarray(one[indices]), self._inputs)

    def stretches(self) -> Iterator[Arrays]:
        """Yields all inputs in order, so many together that memory holds them."""
        for start in range(0, len(self), _STRETCH):
            yield self.inputs(np.arange(start, min(start + _STRETCH, len(self))))

    @functools.cached_property
    def digests(self) -> np.ndarray:
        """Returns a number for each input, uint64 [n], equal for equal inputs."""
        if isinstance(self._inputs, PackedExamples | PackedInputs):
            return self._inputs.digests
        return given_dataset.digests_of(outputs.flat(self._inputs))

    def called(self, names: Mapping[str, str]) -> GivenExamples:
        """Returns the same examples, whose several inputs have other names: `names` says them by those they have."""
        if isinstance(self._inputs, PackedInputs):
            inputs = self._inputs.called(names)
        else:
            inputs = {names[name]: one for name, one in self._inputs.items()}
        return GivenExamples(inputs, self.labels, self.groups)


@dataclasses.dataclass(frozen=True, eq=False)
class ArrayData:
    """Holds three splits of somebody's own examples: what `tfmo_drive.arrays` returns."""

    splits: Mapping[str, GivenExamples] = dataclasses.field(repr=False)
    inputs: Mapping[str, GivenInput]
    """What the inputs are, by the names of the model's; the only one is called ""."""
    targets: str
    """The kind of targets: "class", "number" or "other"."""
    form: str = ""
    """How classes were given: "" (ids [n]), "one-hot" or "column"; a user's own loss and metric get them so again."""
    class_names: tuple[str, ...] = ()
    """The names by id; () where nobody named them."""

    @property
    def shape(self) -> Any:
        """Returns the shape of one example; where it has several inputs, their shapes by name."""
        return outputs.by_name([*self.inputs], [one.shape for one in self.inputs.values()])

    @property
    def dtype(self) -> Any:
        """Returns the type of inputs, "uint8" or "float32"; where there are several, their types by name."""
        return outputs.by_name([*self.inputs], [one.dtype for one in self.inputs.values()])

    def called(self, names: Sequence[str]) -> ArrayData:
        """Returns the data with its inputs called as `names` says, in their order."""
        other = dict(zip(self.inputs, names, strict=True))
        splits = {split: examples.called(other) for split, examples in self.splits.items()}
        inputs = {other[name]: one for name, one in self.inputs.items()}
        return dataclasses.replace(self, splits=splits, inputs=inputs)

    def moments(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Returns mean and standard deviation of an input of the train split, float64 [channels or columns] each."""
        width = self.inputs[name].shape[-1]

        def rows() -> Iterator[np.ndarray]:
            for part in self.splits["train"].stretches():
                yield (part[name] if isinstance(part, Mapping) else part).reshape(-1, width)

        count, total = 0, np.zeros(width)
        for part in rows():
            count, total = count + len(part), total + part.sum(0, dtype=np.float64)
        mean, squares = total / count, np.zeros(width)
        for part in rows():
            squares += ((part - mean) ** 2).sum(0)
        deviation = np.sqrt(squares / count)
        return mean, np.where(deviation < np.finfo(np.float32).eps * np.abs(mean), 0.0, deviation)


def read(
    given: Mapping[str, Any],
    groups: Mapping[str, Sequence],
    input_range: Sequence[float] | Mapping[str, Sequence[float]] | None,
    class_names: Sequence[str] | None,
    preprocessing: str | Mapping[str, str],
) -> ArrayData:
    """Returns the examples of three splits; raises BadInput where something does not fit.

    Args:
        given: (inputs, targets), or a tf.data.Dataset of them, by split; several inputs are by name.
        groups: The group of each example, by split; a split that is left out has none.
        input_range: The lowest and the highest input, or None; of several inputs, by name.
        class_names: The classes' names, or None.
        preprocessing: What the model was fed; of several inputs, by name.
    """
    pairs = {split: _pair(split, one) for split, one in given.items()}
    inputs = given_inputs.described(
        {split: _likes(one) for split, (one, _) in pairs.items()}, input_range, preprocessing
    )
    kind, form, names, targets = _targets({split: target for split, (_, target) in pairs.items()}, class_names)
    numbered = _groups(groups, {split: len(one) for split, one in targets.items()})
    splits = {split: GivenExamples(pairs[split][0], targets[split], numbered[split]) for split in SPLITS}
    for split, examples in splits.items():
        given_inputs.refuse_outside(split, examples.stretches(), inputs)
    if kind == CLASS:
        counted = tuple(str(label) for label in range(1 + max(int(one.max()) for one in targets.values())))
        say_repeated("arrays", splits, names or counted)
    return ArrayData(splits, inputs, kind, form, names)


def _pair(split: str, given: Any) -> tuple[Arrays | PackedExamples | PackedInputs, np.ndarray]:
    """Returns where the inputs of a split are, and its targets [n, ...]."""
    if hasattr(given, "element_spec"):
        return given_dataset.packed(split, given)
    if not isinstance(given, (tuple, list)) or len(given) != 2:
        got = f"{len(given)} things" if isinstance(given, (tuple, list)) else type(given).__name__
        raise BadInput(f"arrays: {split} must be (inputs, targets) or a tf.data.Dataset of them, got {got}.")
    inputs, targets = given_inputs.of_split(split, given[0]), np.asarray(given[1])
    for count in map(len, outputs.flat(inputs)):
        if not count or count != (len(targets) if targets.ndim else -1):
            raise BadInput(
                f"arrays: {split} must have as many targets as inputs, and at least one, got {count:,} inputs and "
                f"{len(targets) if targets.ndim else 0:,} targets."
            )
    return inputs, targets


def _likes(inputs: Arrays | PackedExamples | PackedInputs) -> Likes:
    if isinstance(inputs, PackedExamples):
        return {"": (inputs.shape, inputs.dtype.name)}
    if isinstance(inputs, PackedInputs):
        inputs = inputs.read(np.zeros(1, np.int64))
    named = inputs if isinstance(inputs, Mapping) else {"": inputs}
    return {name: (one.shape[1:], one.dtype.name) for name, one in named.items()}


def _targets(given: Mapping[str, np.ndarray], class_names: Sequence[str] | None) -> tuple:
    """Returns what the targets are, in which form, the classes' names if any are known, and the targets by split."""
    given = {split: _texts(one) for split, one in given.items()}
    kinds = {split: _kind(one) for split, one in given.items()}
    if len(set(kinds.values())) > 1:
        said = ", ".join(f"{split}: {kind}" for split, (kind, _) in kinds.items())
        raise BadInput(f"arrays: the targets of all splits must be alike, got {said}.")
    kind, form = kinds["train"]
    names = tuple(map(str, class_names or ()))
    if kind != CLASS:
        if names:
            raise BadInput(
                f"arrays: class_names is for targets that are classes, and train has {given['train'].dtype}."
            )
        ready = {split: _numbers(split, one) if kind == NUMBER else one for split, one in given.items()}
        return kind, form, (), ready
    if names:
        refuse_unfit("arrays: class_names", names, said=True)
    if given["train"].dtype.kind == "U":
        names = names or tuple(np.unique(given["train"]).tolist())
        given = {split: _ids(split, one, names) for split, one in given.items()}
    elif form == ONE_HOT:
        names = _counted(names, given["train"].shape[-1])
        given = {split: one.argmax(-1) for split, one in given.items()}
    ids = {split: one.reshape(-1).astype(np.int64) for split, one in given.items()}
    for split, one in ids.items():
        if one.min() < 0 or (names and one.max() >= len(names)):
            raise BadInput(
                f"arrays: {split} has the class {one.min() if one.min() < 0 else one.max()}: ids must be 0 to "
                f"{len(names) - 1 if names else 'the number of classes less 1'}."
            )
    return kind, form, names, ids


def _counted(names: tuple[str, ...], count: int) -> tuple[str, ...]:
    if names and len(names) != count:
        raise BadInput(f"arrays: class_names has {len(names)} names, and one-hot targets are of {count} classes.")
    return names


def _texts(targets: np.ndarray) -> np.ndarray:
    """Returns bytes and objects that are texts as texts."""
    if targets.dtype.kind == "S":
        return np.char.decode(targets, "utf-8")
    if targets.dtype.kind == "O" and all(isinstance(one, str | bytes) for one in targets.ravel()):
        return np.array([one.decode() if isinstance(one, bytes) else one for one in targets.ravel()]).reshape(
            targets.shape
        )
    return targets


def _kind(targets: np.ndarray) -> tuple[str, str]:
    flat = targets.ndim == 1 or targets.ndim == 2 and targets.shape[1] == 1
    form = COLUMN if targets.ndim == 2 else ""
    if targets.dtype.kind not in "uifbU":
        raise BadInput(f"arrays: targets must be numbers or texts, got {targets.dtype}.")
    if flat:
        return (NUMBER, "") if targets.dtype.kind == "f" else (CLASS, form)
    one_hot = targets.ndim == 2 and targets.dtype.kind != "U" and bool(
        np.isin(targets, (0, 1)).all() and (targets.sum(1) == 1).all()
    )  # fmt: skip
    return (CLASS, ONE_HOT) if one_hot else (OTHER, "")


def _ids(split: str, texts: np.ndarray, names: Sequence[str]) -> np.ndarray:
    unknown = sorted(set(texts.ravel().tolist()) - set(names))
    if unknown:
        raise BadInput(f"arrays: {split} has the class {unknown[0]!r}, which is none of {', '.join(names[:10])}.")
    return np.array([names.index(one) for one in texts.ravel().tolist()])


def _numbers(split: str, targets: np.ndarray) -> np.ndarray:
    numbers = np.asarray(targets, np.float32).reshape(-1, 1)
    if not np.isfinite(numbers).all():
        place = int(np.flatnonzero(~np.isfinite(numbers))[0])
        raise BadInput(f"arrays: target {place} of {split} is {targets.ravel()[place]}. Leave that example out.")
    return numbers


def _groups(given: Mapping[str, Sequence], counts: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Returns the group of each example by split, int64 [n]; 0..n-1 of a split without groups.

    Raises BadInput where there is not one for each example, and where a group is in two splits.
    """
    if not isinstance(given, Mapping) or not set(given) <= set(SPLITS):
        got = ", ".join(map(str, given)) if isinstance(given, Mapping) else type(given).__name__
        raise BadInput(f'arrays: groups must be by split, as {{"test": recordings}}, got {got}.')
    found, split_of = {split: np.arange(count) for split, count in counts.items()}, {}
    for split, one in given.items():
        groups = _texts(np.asarray(one))
        if groups.shape != (counts[split],) or groups.dtype.kind not in "uibU":
            raise BadInput(
                f"arrays: groups of {split} must be a whole number or a text for each example, [{counts[split]}], got "
                f"{groups.dtype} {list(groups.shape)}."
            )
        names, found[split] = np.unique(groups, return_inverse=True)
        for name in names.tolist():
            if split_of.setdefault(name, split) != split:
                raise BadInput(
                    f"arrays: the group {name!r} is in {split_of[name]} and in {split}: its examples are alike, so a "
                    "score on them says nothing of new ones. Keep it in one split; if it is two, name them apart."
                )
    return found
