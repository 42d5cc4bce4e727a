"""Says what can be done about a given model whose inputs or outputs have other shapes than its task's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from tfmo_drive.data.detections import BOXES, SCORES

Shape = tuple[int, ...]


def on_input(taken: tuple[int | None, ...], wanted: Shape) -> str:
    """Returns a sentence for a model that takes no images of one size, where the task gives images `wanted`."""
    if len(taken) == 4:
        return (
            "It takes clips, and tasks give one image at a time: give a model of one image, such as the one that its "
            "TimeDistributed layers repeat."
        )
    if len(taken) < 3:
        return "Columns are for SensorRows, and these and sequences of numbers for td.compress, in Python."
    return f"Build it with keras.Input({wanted})."


def on_inputs(given: Sequence[Shape]) -> str:
    """Returns a sentence for a model of several inputs, and of outputs `given`, where the task gives one image."""
    more = "" if len(given) == 1 else f" {joined(given)}"
    return f"Several inputs are for td.compress, in Python, as arrays by their names.{more}"


def joined(given: Sequence[Shape]) -> str:
    """Returns a sentence for a model of several outputs where examples have one target each."""
    if not (code := _joining(given)):
        return "Write a Task for more (CONTRIBUTING.md)."
    return f"Join them, {code}, and give targets of that shape, a loss and a metric."


def _joining(given: Sequence[Shape]) -> str:
    """Returns the code that makes one output of several; "" where their numbers are of unlike kinds."""
    join, ends = "Concatenate(name='joined')", "model.outputs"
    if len({shape[:-1] for shape in given}) > 1:
        if len({shape[-1] for shape in given}) > 1:
            return ""
        join = "Concatenate(1, name='joined')"
        row = f"keras.layers.Reshape((-1, {given[0][-1]}), name=f'rows_{{place}}')"
        ends = f"[{row}(one) for place, one in enumerate(model.outputs)]"
    return f"keras.Model(model.inputs, keras.layers.{join}({ends}))"


def on_output(given: Shape, wanted: Shape) -> str:
    """Returns a sentence for a model of one output, with what to type where layers behind it make the shape."""
    if wanted[-1] > 1 and given[:-1] == wanted[:-1] and given[-1] > wanted[-1]:
        return f"If it knows {given[-1]} classes, name all of them in its order with --set=task.classes=classes.txt."
    if math.prod(given) == math.prod(wanted):
        reshaped = f"keras.layers.Reshape({wanted})(model.output)"
        return f"Save it with their shape: keras.Model(model.input, {reshaped}).save('reshaped.h5')."
    if small := _map(given, wanted):
        shaped = "model.output" if small == given else f"keras.layers.Reshape({small})(model.output)"
        times = wanted[0] // small[0], wanted[1] // small[1]
        whole = wanted[0] % small[0] == wanted[1] % small[1] == 0
        layer = f"UpSampling2D({times})" if whole else f"Resizing{wanted[:2]}"
        return (
            f"Save it with maps of the data's size: keras.Model(model.input, keras.layers.{layer}({shaped}))"
            ".save('whole.h5')."
        )
    if wanted == (1,):
        return _of_bins(given[-1]) if len(given) == 1 else "Give the data the model was trained on."
    return "Give the data the model was trained on."


def on_outputs(given: Mapping[str, Shape], wanted: Mapping[str, Shape]) -> str:
    """Returns a sentence for a model of other outputs than the several of its task."""
    if {*wanted} == {SCORES, BOXES} != {*given}:
        last = "give td.compress the model with a loss and a metric of your own, in Python"
        if len(given) > 1:
            code = _joining(list(given.values()))
            last = f"{last}, with one output: {code}" if code else "write a Task of its outputs (CONTRIBUTING.md)"
        ends = ", ".join(f"{name} {shape}" for name, shape in wanted.items())
        return (
            f"Detection decodes {ends} alone, scores as logits, and no other detector's outputs: put such outputs on "
            f"its backbone and train it anew; or {last}."
        )
    binned = {name: given[name] for name in given if len(given[name]) == 1 and given[name][0] > 1}
    if binned and {*given} == {*wanted} and all(wanted[name] == (1,) for name in binned):
        return _of_bins(*(shape[0] for shape in binned.values()))
    return "Name and shape its outputs so."


def _map(given: Shape, wanted: Shape) -> Shape | None:
    """Returns the shape (height, width, classes) of smaller or larger maps of the wanted sides' proportion, or None."""
    if len(wanted) != 3 or given[-1] not in (wanted[-1], wanted[-1] - 1 if wanted[-1] == 2 else wanted[-1]):
        return None
    if len(given) == 3:
        return given
    if len(given) != 2:
        return None
    height = round(math.sqrt(given[0] * wanted[0] / wanted[1]))
    width = given[0] // max(height, 1)
    proportional = height * width == given[0] and height * wanted[1] == width * wanted[0]
    return (height, width, given[-1]) if proportional else None


def _of_bins(*counts: int) -> str:
    """Returns what to add where probabilities of so many bins tell a number: their mean is one Dense layer."""
    middles = " and ".join(f"np.linspace(-1, 1, {count})[:, None]" for count in counts)
    return (
        "If it answers probabilities of bins, save it with their mean: behind them keras.layers.Dense(1, "
        f"use_bias=False), and set_weights([middles]) of it, the bins' own, such as {middles}."
    )
