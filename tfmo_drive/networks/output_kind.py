"""Finds out what a classifier's outputs are: logits, probabilities, or a sigmoid for each class.

Probabilities are of which one class is true; a sigmoid is how sure the class is by itself. The graph tells it: from an
output back, through what only moves numbers about or averages them, to the layer or operator that made them. Where the
graph does not tell (an operator of one's own, a quotient), the task's setting `outputs` must; and either is checked
against answers on real data before anything is written.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.base.outputs import names
from tfmo_drive.contracts import BadInput

layers = keras.layers

LOGITS, PROBABILITIES, SIGMOIDS = "logits", "probabilities", "sigmoids"
KINDS = (LOGITS, PROBABILITIES, SIGMOIDS)
"""The kinds of an output [..., classes]: before a softmax, behind one, or behind sigmoids, which need not sum to 1."""

PASSES, BOUNDED, _LINEAR = "passes", "bounded", "linear"
"""The effects of a layer on its input's kind: it passes it on (averages too), clips it, by which numbers in 0..1 stay
what they are and logits do not, or is linear: logits stay logits."""
_FUNCTIONS = {"softmax": PROBABILITIES, "sigmoid": SIGMOIDS, "logsoftmax": LOGITS, "linear": PASSES}
_OPERATORS = (
    _FUNCTIONS
    | dict.fromkeys(
        "identity cast reshape squeeze expanddims transpose ensureshape stopgradient getitem reducemean "
        "mean dropout concat avgpool avgpool2d stridedslice slice checknumerics permutedimensions stack pack split "
        "unstack unpack tile repeat gather reverse depthtospace spacetodepth resizebilinear "
        "resizenearestneighbor".split(), PASSES
    )
    | dict.fromkeys(
        "add subtract sub multiply mul truediv realdiv divide biasadd negative resize reducesum addn reducemax".split(),
        _LINEAR,
    )
    | dict.fromkeys(("clipbyvalue", "clip"), BOUNDED)
    | dict.fromkeys(("matmul", "conv2d", "einsum", "tensordot"), LOGITS)
)  # fmt: skip
"""TensorFlow's functions and operations by their name in small letters, without underscores and namespaces."""
_PASSING = (
    layers.Reshape, layers.Flatten, layers.Permute, layers.Dropout, layers.SpatialDropout2D, layers.AlphaDropout,
    layers.GaussianDropout, layers.GaussianNoise, layers.ActivityRegularization, layers.Cropping2D,
    layers.GlobalAveragePooling2D, layers.AveragePooling2D, layers.GlobalAveragePooling1D, layers.AveragePooling1D,
    layers.Average, layers.Concatenate, layers.Cropping1D, layers.RepeatVector, layers.UpSampling1D,
)  # fmt: skip
_LINEAR_LAYERS = (
    layers.BatchNormalization, layers.LayerNormalization, layers.Rescaling, layers.Normalization, layers.Add,
    layers.Subtract, layers.GlobalMaxPooling2D, layers.MaxPooling2D, layers.ZeroPadding2D,
)  # fmt: skip
_AVERAGING = ("nearest", "bilinear", "area")
"""The rules of resizing whose results are among the numbers that they are made of."""
_MAKERS = (
    layers.Dense, layers.Conv1D, layers.Conv2D, layers.Conv1DTranspose, layers.Conv2DTranspose, layers.DepthwiseConv1D,
    layers.DepthwiseConv2D, layers.SeparableConv1D, layers.SeparableConv2D, layers.EinsumDense,
)  # fmt: skip


def refuse_unknown(setting: str, said: str) -> None:
    """Raises BadInput where a setting is no kind; "" means that nothing is stated."""
    if said and said not in KINDS:
        raise BadInput(f'{setting} must be "", {", ".join(KINDS[:-1])} or {KINDS[-1]}, got {said!r}.')


def found(model: keras.Model, output: str) -> str | None:
    """Returns which of KINDS the output of that name is, or None where the graph of `model` does not tell.

    The model may be float, pruned or fake-quantised.
    """
    (tensor,) = (one for name, one in zip(names(model), model.outputs, strict=True) if name == output)
    kind = _of(tensor, ())
    return kind if kind in KINDS else None


def of(model: keras.Model, output: str, said: str, setting: str) -> str:
    """Returns which of KINDS an output is: as the graph tells, else as `said`.

    Raises BadInput that names `setting` without either.
    """
    kind = found(model, output) or said
    if not kind:
        raise BadInput(
            f'{setting}: the graph does not tell what the output "{output}" of the given model is. Say it: '
            f"{typed(setting, LOGITS)} (any numbers; the largest wins), probabilities (of each row, they sum to 1) or "
            "sigmoids (each class by itself, in 0..1)."
        )
    return kind


def logits(outputs: Any, kind: str) -> Any:
    """Returns logits of outputs [b, ..., classes] of a kind (TensorFlow graph code).

    A sigmoid's is the logarithm of its odds.
    """
    if kind == PROBABILITIES:
        return tf.math.log(tf.maximum(outputs, _LEAST))
    if kind == SIGMOIDS:
        inside = tf.clip_by_value(outputs, _LEAST, 1 - _LEAST)
        return tf.math.log(inside) - tf.math.log1p(-inside)
    return outputs


_LEAST = 1e-7
"""The smallest probability whose logarithm is taken, as in Keras's losses."""


def losses(labels: Any, outputs: Any, kind: str) -> Any:
    """Returns cross-entropies [b, ...] of class ids int [b, ...] and outputs [b, ..., classes] (TensorFlow graph code).

    For sigmoids they are summed over the classes, each against all the others.
    """
    found = logits(outputs, kind)
    if kind == SIGMOIDS:
        wanted = tf.one_hot(labels, found.shape[-1])
        return tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(wanted, found), axis=-1)
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, found)


def cross_entropy(kind: str):
    """Returns the loss of a classifier whose outputs are of a kind.

    It is a function of class ids int [b] and outputs [b, classes] to a scalar.
    """
    if kind == SIGMOIDS:
        return lambda labels, outputs: tf.reduce_mean(losses(labels, outputs, kind))
    return keras.losses.SparseCategoricalCrossentropy(from_logits=kind == LOGITS)


def decode(kind: str) -> dict[str, str]:
    """Returns what an artifact's metadata says of how a classifier's output of a kind is read, in JSON types."""
    if kind == SIGMOIDS:
        return {"kind": kind, "rule": "how sure each class is by itself, in 0..1; they need not sum to 1"}
    return {"kind": kind}


@dataclasses.dataclass(frozen=True)
class Asked:
    """Holds a given model's output, and what its user states about it."""

    model: keras.Model
    output: str
    said: str
    setting: str
    """The setting's name ("task.outputs")."""
    subject: str
    """The setting that gives the model, and its file; errors begin with it."""


def refuse_other_kind(asked: Asked, answers: np.ndarray) -> None:
    """Raises BadInput where a given model's answers, its graph and its user contradict one another.

    Args:
        asked: The output and what is stated about it.
        answers: The model's answers on val, float [n, ..., classes].
    """
    said, setting, told = asked.said, asked.setting, found(asked.model, asked.output)
    seen, subject = f"on val, its {_described(answers)}", f'{asked.subject}: its output "{asked.output}"'
    if told is None and not said:
        likely = _likely(answers)
        raise BadInput(
            f"{subject} ends in something that its graph does not tell the meaning of; {seen}. Say it: "
            f"{typed(setting, likely)}, or {' or '.join(kind for kind in KINDS if kind != likely)}."
        )
    if told and said and told != said and LOGITS in (told, said):
        raise BadInput(f"{subject} is {told}, as its last layers tell, and not {said}. Drop {setting}.")
    kind = told or said
    inside, ones = _in_range(answers), _sums_to_one(answers)
    if (kind == PROBABILITIES and not (inside and ones)) or (kind == SIGMOIDS and not inside):
        why = (
            "ends in a softmax, but not one over its last axis, the classes"
            if told == kind
            else f"is said to be {kind}"
        )
        other = typed(setting, _likely(answers))
        advice = "Give it a softmax over the last axis." if told == kind else f"Say {other}."
        raise BadInput(f"{subject} {why}: {seen}. {advice}")
    if kind == LOGITS and not said and inside and ones:
        raise BadInput(
            f"{subject} ends in a linear layer, but {seen}. Say {typed(setting, LOGITS)} if they are logits, or "
            "give it a softmax."
        )


def typed(setting: str, kind: str) -> str:
    """Returns what to type: a setting of a task by its path, or an argument of tfmo_drive.compress, which has none."""
    return f"--set={setting}={kind}" if "." in setting else f'{setting}="{kind}"'


def _likely(answers: np.ndarray) -> str:
    if not _in_range(answers):
        return LOGITS
    return PROBABILITIES if _sums_to_one(answers) else SIGMOIDS


def _in_range(answers: np.ndarray) -> bool:
    return bool(np.all((answers >= -1e-3) & (answers <= 1 + 1e-3)))


def _sums_to_one(answers: np.ndarray) -> bool:
    """Says whether answers sum to 1 along the last axis; half precision rounds each probability by up to 0.0005."""
    return bool(np.all(np.abs(answers.sum(-1, dtype=np.float64) - 1) < 2e-3 * max(5, answers.shape[-1] / 4)))


def _described(answers: np.ndarray) -> str:
    sums = answers.sum(-1, dtype=np.float64)
    return (
        f"numbers are {answers.min():.3g} to {answers.max():.3g}, and those of one example sum to {sums.min():.3g} to "
        f"{sums.max():.3g}"
    )


def _of(tensor: Any, outside: tuple) -> str | None:
    """Returns the kind of a Keras tensor, or None. `outside` holds the calls of the models that it is inside of."""
    layer, call, place = tensor._keras_history
    node = layer.inbound_nodes[call]
    if isinstance(layer, keras.Model):
        return _of(layer.outputs[place], (node, layer, *outside))
    if isinstance(layer, layers.InputLayer):
        if not outside:
            return None
        (above, model), rest = outside[:2], outside[2:]
        (index,) = (i for i, one in enumerate(model.inputs) if one is tensor)
        return _of(above.keras_inputs[index], rest)
    told = effect(layer, node)
    if told in KINDS or told is None:
        return told
    below = {_of(one, outside) for one in node.keras_inputs}
    kept = {PASSES: below, BOUNDED: below - {LOGITS}, _LINEAR: below & {LOGITS}}[told]
    return below.pop() if len(below) == 1 and kept else None


def effect(layer: Any, node: Any) -> str | None:
    """Returns a kind where the layer makes numbers of it, PASSES, "linear", or None where nothing is known.

    Args:
        layer: The layer.
        node: Its call, one of its `inbound_nodes`.
    """
    if isinstance(layer, layers.Wrapper) and not isinstance(layer, layers.Bidirectional):
        return effect(layer.layer, node)  # tfmot's wrappers, TimeDistributed
    operator = getattr(layer, "symbol", None) or getattr(getattr(layer, "node_def", None), "op", None)
    if operator:
        if operator == "image.resize":
            method = node.call_kwargs.get("method", (*node.call_args, "bilinear")[2])
            return PASSES if method in _AVERAGING else _LINEAR
        return _OPERATORS.get(_plain(operator.split(".")[-1]))
    if isinstance(layer, layers.Softmax):
        return PROBABILITIES
    if isinstance(layer, (layers.UpSampling2D, layers.Resizing)):
        return PASSES if layer.interpolation in _AVERAGING else _LINEAR
    if isinstance(layer, _PASSING) or "QuantizeLayer" in type(layer).__name__ or type(layer).__name__ == "Identity":
        return PASSES
    if isinstance(layer, _LINEAR_LAYERS):
        return _LINEAR
    if not isinstance(layer, (layers.Activation, *_MAKERS)):
        return None
    activation = getattr(layer.activation, "activation", layer.activation)  # tfmot wraps it while it quantises
    if isinstance(activation, layers.Layer):
        told = effect(activation, node)
    else:
        told = _FUNCTIONS.get(_plain(getattr(activation, "__name__", "linear" if activation is None else "")))
    return LOGITS if told == PASSES and isinstance(layer, _MAKERS) else told


def _plain(name: str) -> str:
    return name.replace("_", "").lower().removesuffix("v2")
