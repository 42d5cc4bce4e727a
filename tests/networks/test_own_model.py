"""What a user's model must take and give, whatever the number of outputs."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.contracts import BadInput
from tfmo_drive.networks.own_model import Signature, read_model

layers = keras.layers


def detector(size=(32, 48), classes=3, names=("scores", "boxes"), channels=3):
    inputs = keras.Input((*size, channels))
    features = layers.Conv2D(4, 3, 4, padding="same", name="inside")(inputs)
    ends = [layers.Conv2D(count, 1, name=name)(features) for name, count in zip(names, (classes, 4), strict=True)]
    return keras.Model(inputs, ends)


def mask(size=(32, 48), classes=3, name="mask"):
    inputs = keras.Input((*size, 3))
    return keras.Model(inputs, layers.Conv2D(classes, 1, padding="same", name=name)(inputs))


WANTED = Signature.of(detector())


@pytest.fixture
def read(tmp_path):
    def saved(model, signature=WANTED):
        model.save(tmp_path / "mine.h5", include_optimizer=False)
        return read_model(tmp_path / "mine.h5", signature)

    return saved


def test_a_signature_is_what_a_model_takes_and_gives_under_its_own_names():
    assert WANTED == Signature((32, 48, 3), {"scores": (8, 12, 3), "boxes": (8, 12, 4)})
    assert Signature.of(detector(names=("quant_scores", "prune_low_magnitude_boxes"))) == WANTED
    assert Signature.of(mask()) == Signature((32, 48, 3), {"mask": (32, 48, 3)})


def test_a_model_that_fits_is_read_with_its_weights(read):
    model = detector()
    found = read(model)
    assert found.output_names == ["scores", "boxes"]
    for one, other in zip(found.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_order_of_several_outputs_is_theirs_and_a_single_one_may_be_called_anything(read):
    turned = detector()
    turned = keras.Model(turned.inputs, turned.outputs[::-1])
    assert read(turned).output_names == ["boxes", "scores"], "outputs go by their names"
    assert read(mask(name="anything"), Signature.of(mask())).output_names == ["anything"]


def test_separable_convolutions_are_read_as_the_two_that_they_are(read):
    """So that every step knows them: pruned, clustered and quantised like any other."""
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, layers.SeparableConv2D(4, 3, name="mask")(inputs))
    found = read(model, Signature.of(model))
    assert [type(layer).__name__ for layer in found.layers[1:]] == ["DepthwiseConv2D", "Conv2D"]
    assert found.output_names == ["mask"]


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (lambda: mask(), '1 inputs and 1 outputs; the task takes one input and gives 2 outputs: "scores", "boxes"'),
        (lambda: detector(names=("boxes", "scores")), "gives {'boxes': .* the task {'scores': .*Name and shape"),
        (lambda: detector(classes=5), r"gives {'scores': \(8, 12, 5\).* Name and shape its outputs so"),
        (lambda: detector((64, 96)), "images of 64x96x3, the task gives 32x48x3. Add --set=task.image_size=64,96."),
        (lambda: detector((32, 32)), "images of 32x32x3, the task gives 32x48x3. Add --set=task.image_size=32,32."),
        (
            lambda: detector(channels=1),
            "takes images of 32x48x1, the task gives 32x48x3. Say how its L was made, as .*=grey/255.",
        ),
    ],
)
def test_a_detector_that_does_not_fit_says_what_in_one_line(model, words, read):
    with pytest.raises(BadInput, match=words) as refused:
        read(model())
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (lambda: mask(classes=4), r"outputs of shape \(32, 48, 4\), the data has \(32, 48, 3\)"),
        (lambda: detector(), "has 1 inputs and 2 outputs; the task takes one input and gives one output"),
    ],
)
def test_a_mask_that_does_not_fit_says_what_in_one_line(model, words, read):
    with pytest.raises(BadInput, match=words) as refused:
        read(model(), Signature.of(mask()))
    assert "\n" not in str(refused.value)


def flat(model: keras.Model) -> keras.Model:
    """The model with its masks as one row of pixels, as in image-segmentation-keras."""
    return keras.Model(model.input, layers.Reshape((-1, model.output_shape[-1]))(model.output))


def ending(body, size=(32, 48)) -> keras.Model:
    image = keras.Input((*size, 3))
    return keras.Model(image, body(layers.Conv2D(3, 3, 2, "same", activation="softmax")(image)))


@pytest.mark.parametrize(
    "given",
    [
        lambda: ending(lambda x: x),
        lambda: flat(ending(lambda x: x)),
        lambda: flat(ending(lambda x: layers.UpSampling2D()(x))),
        lambda: ending(lambda x: layers.Cropping2D(2)(x)),
        lambda: ending(lambda x: layers.UpSampling2D(4)(x)),
    ],
    ids=["half", "half and flat", "flat", "cropped", "double"],
)
def test_masks_of_another_size_fit_once_they_are_saved_as_the_line_says(given, read, tmp_path, monkeypatch):
    model = given()
    with pytest.raises(BadInput) as refused:
        read(model, Signature.of(mask()))
    typed = re.search(r"Save it with .*: (keras\.Model\(.*\.save\('\w+\.h5'\))\.$", str(refused.value))
    monkeypatch.chdir(tmp_path)
    eval(typed[1], {"keras": keras, "model": model})
    (saved,) = (path for path in tmp_path.glob("*.h5") if path.name != "mine.h5")
    fitting = read_model(saved, Signature.of(mask()))
    assert fitting.output_shape == (None, 32, 48, 3)
    made = fitting(np.random.default_rng(0).random((2, 32, 48, 3), np.float32))
    np.testing.assert_allclose(tf.reduce_sum(made, -1), 1, atol=1e-5)  # they still are probabilities


def pilot(bins: tuple[int, int], names=("steering", "throttle"), mean=False) -> keras.Model:
    """A pilot that tells each number by the probabilities of bins, or by their mean, as the line says."""
    image = keras.Input((32, 48, 3))
    seen, ends = layers.GlobalAveragePooling2D()(image), []
    for name, count in zip(names, bins, strict=True):
        end = layers.Dense(count, "softmax", name="bins" * mean + name)(seen)
        if mean:
            layer = keras.layers.Dense(1, use_bias=False, name=name)
            end = layer(end)
            layer.set_weights([np.linspace(-1, 1, count)[:, None]])
        ends.append(end)
    return keras.Model(image, ends)


def test_a_number_told_by_bins_has_a_remedy(read):
    wanted = Signature.of(pilot((1, 1)))
    with pytest.raises(BadInput, match=r"Dense\(1, use_bias=False\).*\(-1, 1, 15\).* and .*\(-1, 1, 20\)"):
        read(pilot((15, 20)), wanted)
    assert read(pilot((15, 20), mean=True), wanted).output_names == ["steering", "throttle"]
    one = keras.Model((both := pilot((15, 20))).input, both.outputs[0])
    with pytest.raises(BadInput, match=r"one number to predict. If it answers probabilities of bins.*, 15\)"):
        read(one, Signature((32, 48, 3), {"steering": (1,)}))


def test_several_inputs_are_told_where_they_can_go(read):
    image, motion = keras.Input((32, 48, 3)), keras.Input((6,))
    seen = layers.Concatenate()([layers.Flatten()(image), motion])
    model = keras.Model([image, motion], [layers.Dense(1)(seen), layers.Dense(1)(seen)])
    with pytest.raises(BadInput, match="Several inputs are for td.compress, .* Join them, .*, a loss and a metric.$"):
        read(model, Signature((32, 48, 3), {"steering": (1,), "throttle": (1,)}))


@pytest.mark.parametrize(
    ("shape", "words"),
    [((4, 32, 48, 3), "It takes clips, and tasks give one image at a time"), ((9,), "Columns are for SensorRows")],
)
def test_what_takes_no_image_is_told_so(shape, words, read):
    inputs = keras.Input(shape)
    model = keras.Model(inputs, layers.Dense(3)(layers.Flatten()(inputs)))
    with pytest.raises(BadInput, match=words) as refused:
        read(model, Signature((32, 48, 3), {"logits": (3,)}))
    assert "keras.Input" not in str(refused.value)


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ([(96, 8)], "decodes scores .8, 12, 3., boxes .8, 12, 4. alone.*; or give td.compress the model with a loss"),
        ([(8, 12, 24), (16, 24, 24)], "decodes scores .*; or give td.compress .* with one output: keras.Model"),
    ],
    ids=["one tensor, as SSD7", "maps of boxes and classes together, as YOLO"],
)
def test_a_detector_of_another_kind_is_told_what_can_be_done(shapes, words, read):
    inputs = keras.Input((32, 48, 3))
    seen = layers.GlobalAveragePooling2D()(inputs)
    ends = [layers.Reshape(shape)(layers.Dense(int(np.prod(shape)))(seen)) for shape in shapes]
    with pytest.raises(BadInput, match=words) as refused:
        read(keras.Model(inputs, ends))
    assert "Name and shape" not in str(refused.value) and "\n" not in str(refused.value)
    if len(shapes) > 1:
        (code,) = re.findall("one output: (.*).$", str(refused.value))
        assert eval(code, {"keras": keras, "model": keras.Model(inputs, ends)}).output_shape == (None, 480, 24)


def test_a_square_tasks_size_is_one_number(read):
    with pytest.raises(BadInput, match="Add --set=task.image_size=64.$"):
        read(mask((64, 64)), Signature.of(mask((32, 32))))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16", "float64"])
@pytest.mark.parametrize("name", ["mine.h5", "mine.keras", "mine"])
def test_a_model_of_another_precision_is_read_as_float32(policy, name, tmp_path):
    """Nested models, operators and layers inside layers too."""
    keras.mixed_precision.set_global_policy(policy)
    try:
        inputs, inner = keras.Input((32, 48, 3), dtype="float32"), keras.Input((32, 48, 3))
        inside = keras.Model(inner, layers.TimeDistributed(layers.Dense(4, activation="relu"))(inner), name="inside")
        x = layers.BatchNormalization()(inside(inputs * 2.0) + 1.0)
        model = keras.Model(inputs, layers.Activation("softmax", dtype="float32", name="mask")(layers.Conv2D(3, 1)(x)))
        model.save(tmp_path / name)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    found = read_model(tmp_path / name, Signature.of(mask()))
    assert {layer.compute_dtype for layer in found.layers} == {"float32"} and found.output_names == ["mask"]
    images = np.random.default_rng(0).uniform(0, 1, (2, 32, 48, 3)).astype(np.float32)
    np.testing.assert_allclose(found(images), model(images), atol=2e-2)
    for one, other in zip(found.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other.astype(np.float32))


def test_layers_that_are_two_operators_are_split_and_metrics_of_training_dropped(read):
    inputs = keras.Input((32, 48, 3))
    x = layers.SeparableConv2D(8, 3, activation="swish", padding="same", name="apart")(inputs)
    model = keras.Model(inputs, layers.Conv2D(3, 1, activation="elu", name="mask")(x))
    model.add_metric(keras.backend.mean(x), name="mean")
    found = read(model, Signature.of(model))
    names = [layer.name for layer in found.layers[1:]]
    assert names == ["apart_depthwise", "apart", "apart_swish", "mask_linear", "mask"]
    images = np.random.default_rng(0).uniform(0, 1, (2, 32, 48, 3)).astype(np.float32)
    np.testing.assert_allclose(found(images), model(images), atol=1e-6)


def own_loss(wanted, said):
    """A loss that only its file's author has."""
    return tf.reduce_mean((wanted - said) ** 2)


def with_metric(model, inside):
    model.add_metric(keras.backend.mean(inside), name="mean")


def with_loss(model, inside):
    model.add_loss(0.01 * keras.backend.sum(keras.backend.square(inside)))


def with_optimizer_state(model, inside):
    model.compile("adam", own_loss, metrics=["mae", own_loss])


@pytest.mark.parametrize("file", ["mine.h5", "mine.keras", "mine"])
@pytest.mark.parametrize("of_training", [with_metric, with_loss, with_optimizer_state])
def test_what_training_left_in_a_file_changes_no_answer(of_training, file, tmp_path):
    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(4, 3, activation="relu", kernel_regularizer="l2", activity_regularizer="l1")(image)
    model = keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))
    of_training(model, x)
    if not model.optimizer:
        model.compile("adam", "mse")
    images = np.random.default_rng(0).normal(size=(8, 16, 16, 3)).astype(np.float32)
    model.fit(images, np.zeros((8, 3), np.float32), epochs=2, verbose=0)
    model.save(tmp_path / file)
    found = read_model(tmp_path / file, Signature.of(model))
    np.testing.assert_array_equal(found(images), model(images, training=False))
    kinds = {type(layer) for layer in found.layers}
    assert kinds == {layers.InputLayer, layers.Conv2D, layers.GlobalAveragePooling2D, layers.Dense}
