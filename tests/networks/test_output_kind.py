"""What outputs mean is told by the graph, or asked, and holds for the loss, the teacher, predict and every file."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from PIL import Image

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.base.outputs import names
from tfmo_drive.contracts import BadInput, Context
from tfmo_drive.data import batches
from tfmo_drive.networks import given_outputs, output_kind
from tfmo_drive.networks.output_kind import KINDS, LOGITS, PROBABILITIES, SIGMOIDS
from tfmo_drive.pack import example, verify
from tfmo_drive.pack.example import decoded
from tfmo_drive.training import teacher
from tfmo_drive.training.distillation import SoftLabels

layers = keras.layers


def row(count: int = 4):
    return keras.Input((count,))


def of(end, count: int = 4) -> keras.Model:
    """A model that ends in end(what a Dense layer of three units without an activation gives)."""
    inputs = row(count)
    return keras.Model(inputs, end(layers.Dense(3)(inputs)))


def nested(end):
    inner = row(3)
    return keras.Model(inner, end(inner), name="inside")


def ratio(x):
    return tf.exp(x) / tf.reduce_sum(tf.exp(x), -1, keepdims=True)


ENDS = {
    "nothing": (lambda x: x, LOGITS),
    "activation": (layers.Activation("softmax"), PROBABILITIES),
    "function": (layers.Activation(tf.nn.softmax), PROBABILITIES),
    "dense": (layers.Dense(3, activation=tf.nn.softmax), PROBABILITIES),
    "layer as activation": (layers.Dense(3, activation=layers.Softmax()), PROBABILITIES),
    "layer": (layers.Softmax(dtype="float32"), PROBABILITIES),
    "operator": (tf.nn.softmax, PROBABILITIES),
    "keras.activations": (keras.activations.softmax, PROBABILITIES),
    "keras.backend": (keras.backend.softmax, PROBABILITIES),
    "then identity": (lambda x: tf.identity(tf.cast(tf.nn.softmax(x), tf.float32)), PROBABILITIES),
    "then dropout": (lambda x: layers.Activation("linear")(layers.Dropout(0.2)(layers.Softmax()(x))), PROBABILITIES),
    "then reshape": (lambda x: layers.Reshape((3,))(tf.reshape(tf.nn.softmax(x), (-1, 3, 1))), PROBABILITIES),
    "in a model": (nested(tf.nn.softmax), PROBABILITIES),
    "before a model": (lambda x: nested(layers.Dropout(0.1))(tf.nn.softmax(x)), PROBABILITIES),
    "in a model in a model": (nested(nested(layers.Softmax())), PROBABILITIES),
    "the mean of two": (lambda x: layers.Average()([layers.Softmax()(x), tf.nn.softmax(2.0 * x)]), PROBABILITIES),
    "sigmoids": (layers.Activation("sigmoid"), SIGMOIDS),
    "sigmoids by operator": (lambda x: tf.identity(tf.sigmoid(x)), SIGMOIDS),
    "log softmax": (tf.nn.log_softmax, LOGITS),
    "scaled": (lambda x: layers.BatchNormalization()(x) / 4.0 + 1.0, LOGITS),
    "a sum": (lambda x: layers.Add()([x, layers.Dense(3)(x)]), LOGITS),
    "a quotient": (ratio, None),
    "per cent": (lambda x: 100.0 * tf.nn.softmax(x), None),
    "1 - sigmoid": (lambda x: 1 - tf.sigmoid(x), None),
    "tanh": (layers.Activation("tanh"), None),
    "relu": (layers.ReLU(), None),
}


@pytest.mark.parametrize("end", ENDS)
def test_the_graph_tells_what_an_output_means_or_nothing(end):
    make, wanted = ENDS[end]
    model = of(make)
    assert output_kind.found(model, model.output_names[0]) == wanted
    if wanted is None:
        with pytest.raises(BadInput, match="task.outputs=logits .*probabilities .*sigmoids"):
            output_kind.of(model, model.output_names[0], "", "task.outputs")
        assert output_kind.of(model, model.output_names[0], SIGMOIDS, "task.outputs") == SIGMOIDS


@pytest.mark.parametrize(("end", "wanted"), [("dense", PROBABILITIES), ("sigmoids", SIGMOIDS), ("nothing", LOGITS)])
def test_wrappers_of_pruning_and_of_quantisation_change_no_meaning(end, wanted):
    import tensorflow_model_optimization as tfmot

    model = of(ENDS[end][0])
    for wrap in (tfmot.quantization.keras.quantize_model, tfmot.sparsity.keras.prune_low_magnitude):
        wrapped = wrap(model)
        assert output_kind.found(wrapped, names(wrapped)[0]) == wanted


def test_whoever_reads_a_file_knows_every_kind():
    assert set(example.CLASSES) == set(verify.DECIDED) == set(KINDS)


def test_logits_and_losses_are_those_by_hand():
    logits, labels = np.float32([[2, -1, 0.5], [0, 3, -2]]), np.array([0, 2])
    softmax = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    sigmoids, wanted = 1 / (1 + np.exp(-logits)), np.eye(3)[labels]
    crossed = -np.log(softmax[[0, 1], labels])
    for outputs, kind, expected in (
        (logits, LOGITS, crossed),
        (softmax, PROBABILITIES, crossed),
        (sigmoids, SIGMOIDS, -(wanted * np.log(sigmoids) + (1 - wanted) * np.log(1 - sigmoids)).sum(-1)),
    ):
        found = output_kind.logits(tf.constant(outputs), kind).numpy()
        apart = (found - logits) - (found - logits).mean(-1, keepdims=True)  # a softmax says nothing of a constant
        np.testing.assert_allclose(apart if kind == PROBABILITIES else found - logits, 0, atol=1e-5)
        np.testing.assert_allclose(output_kind.losses(labels, tf.constant(outputs), kind), expected, rtol=1e-5)
        mean = output_kind.cross_entropy(kind)(tf.constant(labels), tf.constant(outputs))
        assert float(mean) == pytest.approx(expected.mean(), rel=1e-5)


def own(end, classes: int = 9) -> keras.Model:
    """A classifier of 32 px images, alive, that ends in end(its last feature map of 9 channels, averaged)."""
    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(classes, 5, 4, activation="tanh")(image))
    return keras.Model(image, end(layers.Dense(classes)(20.0 * x)))


def given(task, model, folder, **settings):
    """The task with a saved model as its baseline."""
    model.save(folder / "model.h5", include_optimizer=False)
    return dataclasses.replace(task, baseline=str(folder / "model.h5"), preprocessing_name="unit", **settings)


@pytest.mark.parametrize(
    ("end", "settings", "kind"),
    [
        (tf.nn.softmax, {}, "probabilities"),
        (lambda x: layers.Reshape((9,), name="logits")(layers.Softmax()(x)), {}, "probabilities"),
        (tf.sigmoid, {}, "sigmoids"),
        (ratio, {"outputs": "probabilities"}, "probabilities"),
        (lambda x: 2.0 * x, {}, "logits"),
    ],
)
def test_predict_says_of_a_given_model_what_the_model_says(end, settings, kind, tiny_task, tmp_path):
    model = own(end)
    task = given(tiny_task, model, tmp_path, **settings)
    baseline = task.build()
    pixels = task.examples("val").read(np.arange(4))[0]
    answers = baseline(task.preprocessing(pixels)).numpy()
    np.testing.assert_allclose(answers, model(pixels / np.float32(255)), rtol=1e-4, atol=1e-6)
    facts = task.metadata(baseline)
    assert facts["decode"]["kind"] == kind
    wanted = tf.nn.softmax(answers).numpy() if kind == "logits" else answers
    for said, one in zip(answers, wanted, strict=True):
        label, share = decoded({"logits": said}, facts)[0].values()
        assert label == task.class_names[one.argmax()] and share == pytest.approx(one.max(), rel=1e-5)


@pytest.mark.parametrize(
    ("end", "settings", "words"),
    [
        (ratio, {}, "does not tell the meaning of; on val, .* sum to 1 to 1. Say it: --set=task.outputs=probabilities"),
        (lambda x: 1 - tf.sigmoid(x), {}, "Say it: --set=task.outputs=sigmoids"),
        (lambda x: 100.0 * tf.nn.softmax(x), {}, "sum to 100 to 100. Say it: --set=task.outputs=logits, or"),
        (
            lambda x: 100.0 * tf.nn.softmax(x),
            {"outputs": "probabilities"},
            "is said to be probabilities: .* sum to 100",
        ),
        (lambda x: x, {"outputs": "probabilities"}, "is logits, as its last layers tell, and not probabilities. Drop"),
        (tf.nn.softmax, {"outputs": "logits"}, "is probabilities, as its last layers tell, and not logits. Drop"),
        (lambda x: tf.nn.softmax(tf.concat([x, x], 0), 0)[:, :9], {}, "not one over its last axis"),
    ],
)
def test_answers_that_contradict_what_they_are_taken_for_are_refused(end, settings, words, tiny_task, tmp_path):
    with pytest.raises(BadInput, match=words) as refused:
        given(tiny_task, own(end), tmp_path, **settings).build()
    assert str(refused.value).startswith("task.baseline: ") and "\n" not in str(refused.value)


@pytest.mark.parametrize("end", [tf.sigmoid, tf.nn.softmax])
def test_a_teachers_soft_labels_are_its_logits_whatever_it_ends_in(end, tiny_task, tmp_path):
    plain, ended = own(lambda x: x / 4.0), own(lambda x: end(x / 4.0))
    labels, said = SoftLabels(augmented_copies=1), []
    for model in (plain, ended):
        model.set_weights(plain.get_weights())
        place = Context(tiny_task, model, (), tmp_path, 0)
        said.append(teacher.attached(labels, place).read(0, np.arange(6)))
    apart = said[0] - said[1]
    pixels = next(batches.augmented_batches(place, 0))[:6]
    constant = apart.mean(-1, keepdims=True) if end is tf.nn.softmax else 0
    np.testing.assert_allclose(apart - constant, 0, atol=0.02)
    np.testing.assert_allclose(said[0], plain(pixels), rtol=1e-4, atol=1e-5)


def two(end):
    """A binary classifier's one output, by a Dense layer of one unit."""
    keras.utils.set_random_seed(1)
    image = keras.Input((32, 32, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 5, 4, activation="tanh")(image))
    return keras.Model(image, end(20.0 * x))


@pytest.fixture(scope="module")
def pair(tiny_task, tmp_path_factory):
    """A task of two classes on random pictures."""
    folder, generator = tmp_path_factory.mktemp("pair"), np.random.default_rng(0)
    for split, label in np.ndindex(3, 2):
        place = folder / ("train", "val", "test")[split] / ("disc", "square")[label]
        place.mkdir(parents=True)
        for index in range(8):
            pixels = generator.integers(0, 255, (32, 32, 3), np.uint8) // (1 + 2 * (index % 3))
            Image.fromarray(pixels).save(place / f"{index}.png")
    (folder / "classes.txt").write_text("disc\nsquare\n")
    return dataclasses.replace(tiny_task, data=str(folder))


@pytest.mark.parametrize(
    "end",
    [
        layers.Dense(1, "sigmoid"),
        lambda x: layers.Dropout(0.2)(layers.Activation("sigmoid")(layers.Dense(1, use_bias=False)(x))),
        lambda x: tf.identity(tf.sigmoid(layers.Dense(1)(x))),
        keras.Sequential([layers.Dense(3), layers.Dense(1), layers.Activation("sigmoid")]),
    ],
)
def test_one_sigmoid_becomes_two_classes_with_the_same_probabilities(end, pair, tmp_path):
    model = two(end)
    task = given(pair, model, tmp_path)
    baseline = task.build()
    pixels = task.examples("test").read(np.arange(8))[0]
    sure = model(pixels / np.float32(255)).numpy()[:, 0]
    found = baseline(task.preprocessing(pixels)).numpy()
    np.testing.assert_allclose(found, np.stack([1 - sure, sure], -1), atol=1e-5)
    assert np.ptp(sure) > 0.05 and task.metadata(baseline)["decode"]["kind"] == "probabilities"


def pixels(end):
    """A binary segmenter's one output, by a convolution of one filter on 16 x 16 pixels."""
    keras.utils.set_random_seed(1)
    image = keras.Input((16, 16, 3))
    return keras.Model(image, end(layers.Conv2D(4, 3, padding="same", activation="tanh")(image)))


@pytest.mark.parametrize(
    "end",
    [
        layers.Conv2D(1, 1, activation="sigmoid"),
        lambda x: tf.sigmoid(layers.Conv2D(1, 1, use_bias=False)(x)),
        lambda x: layers.Activation("sigmoid")(
            layers.UpSampling2D(2, interpolation="bilinear")(layers.Conv2D(1, 1)(x))
        ),
        lambda x: layers.UpSampling2D(2, interpolation="bilinear")(layers.Conv2D(1, 3, activation="sigmoid")(x)),
        lambda x: layers.Activation("sigmoid")(layers.GlobalAveragePooling2D()(layers.Conv2D(1, 1)(x))),
    ],
)
def test_one_sigmoid_of_each_pixel_becomes_two_classes(end):
    model = pixels(end)
    images = np.random.default_rng(0).normal([[[[0]]], [[[3]]]], size=(2, 16, 16, 3)).astype(np.float32)
    sure = model(images).numpy()
    made = given_outputs.of_one_sigmoid(model, "mine")
    np.testing.assert_allclose(made(images), np.concatenate([1 - sure, sure], -1), atol=1e-5)
    assert np.ptp(sure) > 0.05 and output_kind.found(made, made.output_names[0]) == PROBABILITIES


@pytest.mark.parametrize(
    "between",
    [
        lambda x: layers.Activation("sigmoid")(layers.Rescaling(5.0)(layers.Conv2D(1, 1)(x))),
        lambda x: layers.Activation("sigmoid")(layers.BatchNormalization()(layers.Conv2D(1, 1)(x))),
        lambda x: layers.Activation("sigmoid")(layers.Conv2D(1, 1, activation="tanh")(x)),
        lambda x: layers.Activation("sigmoid")(layers.SeparableConv2D(1, 1)(x)),
    ],
)
def test_what_lies_between_one_channel_and_its_sigmoid_is_never_dropped(between):
    with pytest.raises(BadInput, match="not right behind a Dense layer or a convolution"):
        given_outputs.of_one_sigmoid(pixels(between), "mine")


def test_one_number_that_is_no_sigmoid_of_a_dense_layer_says_how_to_save_it(pair, tmp_path):
    """And what is said works."""
    model = two(layers.Dense(1))
    with pytest.raises(BadInput, match=r"does not end in a sigmoid. .*Activation\('sigmoid'\)\(model.output\)"):
        given(pair, model, tmp_path).build()
    given(pair, keras.Model(model.input, layers.Activation("sigmoid")(model.output)), tmp_path).build()
    model = two(lambda x: tf.sigmoid(tf.reduce_sum(layers.Dense(2)(x), -1, keepdims=True)))
    with pytest.raises(BadInput, match=r"Concatenate\(\)\(\[1 - model.output, model.output\]\).*outputs=probabilities"):
        given(pair, model, tmp_path).build()
    both = keras.Model(model.input, layers.Concatenate()([1 - model.output, model.output]))
    given(pair, both, tmp_path, outputs="probabilities").build()
