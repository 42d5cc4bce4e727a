"""The networks for images: their parameters are the papers', keras.applications' weights load, and errors say why."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import BadInput
from tfmo_drive.networks import backbones, networks
from tfmo_drive.networks.backbones import FastSCNN, MobileNetV2, MobileNetV3, PilotNet, ResNet, SmallCNN, UNet
from tfmo_drive.networks.networks import Head
from tfmo_drive.tasks.segmentation.segmentation import Segmentation

SIZE = (64, 96)
SMALL = {
    "fast_scnn": FastSCNN(width=0.25),
    "mobile_net_v2": MobileNetV2(width=0.35),
    "mobile_net_v3": MobileNetV3(width=0.35),
    "mobile_net_v3_minimalistic": MobileNetV3(width=0.35, minimalistic=True),
    "pilot_net_elu": PilotNet(width=0.25),
    "pilot_net_relu": PilotNet(width=0.25, activation="relu"),
    "resnet": ResNet(blocks=(1, 1), width=0.125),
    "small_cnn": SmallCNN(filters=(4, 8), head=Head(units=8)),
    "u_net": UNet(filters=(4, 8, 16)),
}


def trained(model: keras.Model) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def test_every_network_of_the_package_is_among_those_tested():
    assert {type(network).__name__ for network in SMALL.values()} == set(backbones.__all__)
    assert {kind.__name__ for kind in networks.Network.__subclasses__()} >= set(backbones.__all__)


@pytest.mark.parametrize("name", SMALL)
def test_every_network_takes_any_shape_of_image_and_ends_in_an_output_of_the_given_name(name):
    backbone = SMALL[name].backbone(SIZE)
    assert backbone.input_shape == (None, *SIZE, 3) and len(backbone.output_shape) == 4
    outputs = SMALL[name].head(backbone.output, 1, "steering")
    assert keras.Model(backbone.input, outputs).output_names == ["steering"] and outputs.shape[1:] == (1,)


@pytest.mark.parametrize("activation", ["elu", "relu"])
def test_pilot_net_has_the_papers_parameters_and_maps(activation):
    """Figure 4 of arXiv:1604.07316: 250 thousand parameters, whose usual reading is this number."""
    model = networks.build(PilotNet(activation=activation), (66, 200), 1)
    assert model.count_params() == trained(model) == 252_219
    shapes = [layer.output_shape[1:] for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert shapes == [(31, 98, 24), (14, 47, 36), (5, 22, 48), (3, 20, 64), (1, 18, 64)]
    assert model.get_layer("flatten").output_shape == (None, 1152)


def test_u_net_has_the_parameters_of_the_papers_widths():
    """31,037,633 are those of github.com/milesial/Pytorch-UNet, which pads and has BatchNorm as well (one class)."""
    network = UNet(filters=(64, 128, 256, 512, 1024))
    backbone = network.backbone(SIZE)
    assert trained(keras.Model(backbone.input, keras.layers.Conv2D(1, 1)(backbone.output))) == 31_037_633
    assert backbone.output_shape == (None, *SIZE, 64)


def test_fast_scnn_has_the_parameters_that_the_paper_says():
    """Table 4 of arXiv:1902.04502: 1.11 million for Cityscapes' 19 classes; features of stride 8."""
    backbone = FastSCNN().backbone((192, 384))
    assert backbone.output_shape == (None, 24, 48, 128)
    count = trained(keras.Model(backbone.input, keras.layers.Conv2D(19, 1)(backbone.output)))
    assert count == pytest.approx(1.11e6, rel=0.03)


def test_fast_scnn_pools_small_maps_over_the_bins_that_they_have():
    assert sum("_mean" in layer.name for layer in FastSCNN(width=0.25).backbone((192, 192)).layers) == 4
    assert sum("_mean" in layer.name for layer in FastSCNN(width=0.25).backbone((96, 128)).layers) == 3
    assert sum("_mean" in layer.name for layer in FastSCNN(width=0.25).backbone((32, 32)).layers) == 1


STOCK = {
    "MobileNetV2": (MobileNetV2(width=0.35), {"alpha": 0.35}),
    "MobileNetV3Small": (MobileNetV3(width=0.75), {"alpha": 0.75, "include_preprocessing": False}),
}


@pytest.mark.parametrize("name", STOCK)
def test_weights_of_keras_applications_load_and_give_its_outputs(name, tmp_path):
    network, settings = STOCK[name]
    stock = getattr(keras.applications, name)(include_top=False, weights=None, input_shape=(*SIZE, 3), **settings)
    generator = np.random.default_rng(0)
    for layer in stock.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([generator.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    stock.save_weights(tmp_path / "weights.h5")
    ours = networks.started(network, SIZE, str(tmp_path / "weights.h5"))
    images = generator.uniform(-1, 1, (2, *SIZE, 3)).astype(np.float32)
    expected = stock(images, training=False).numpy()
    assert expected.std() > 1e-3
    np.testing.assert_allclose(ours(images, training=False), expected, atol=1e-5 * np.abs(expected).max())
    momenta = {layer.momentum for layer in ours.layers if isinstance(layer, keras.layers.BatchNormalization)}
    assert momenta == {network.bn_momentum}


@pytest.mark.parametrize(
    ("network", "file"),
    [
        (ResNet(topology="v1"), "resnet/resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"),
        (ResNet(), ""),
        (MobileNetV2(), "mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"),
        (MobileNetV3(), "mobilenet_v3/weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5"),
        (
            MobileNetV3(variant="large", minimalistic=True),
            "mobilenet_v3/weights_mobilenet_v3_large_minimalistic_224_1.0_float_no_top_v2.h5",
        ),
        (MobileNetV3(minimalistic=True, width=0.75), ""),
        (UNet(), ""),
    ],
    ids=repr,
)
def test_the_file_of_published_weights_is_the_one_that_keras_names(network, file):
    """As tf_keras.src.applications names them."""
    assert network.published_file() == file


@pytest.mark.parametrize("name", [name for name, network in SMALL.items() if network.decodes])
def test_a_segmenter_reads_a_fine_map_as_it_is(name):
    task = Segmentation(network=SMALL[name], image_size=SIZE)
    model = task.build()
    assert model.output_names == ["mask"] and model.output_shape == (None, *SIZE, len(task.class_names))
    assert not [layer.name for layer in model.layers if layer.name.startswith("segmentation_")], "no pyramid"


@pytest.mark.parametrize(
    ("network", "size", "said"),
    [
        (PilotNet(), (60, 200), "at least 61 pixels each way for PilotNet.*got 60 x 200. The paper's is 66,200"),
        (UNet(), (100, 96), "multiples of 8 for a UNet of 4 levels, got 100 x 96"),
        (FastSCNN(), (96, 100), "multiples of 32 for FastSCNN, got 96 x 100"),
        (MobileNetV2(), (31, 64), "at least 32 pixels each way for MobileNetV2, got 31 x 64"),
        (MobileNetV3(), (64, 16), "at least 32 pixels each way for MobileNetV3, got 64 x 16"),
    ],
    ids=repr,
)
def test_a_size_that_a_network_cannot_take_is_refused_in_a_line(network, size, said):
    with pytest.raises(BadInput, match=f"^task.image_size must be {said}") as refused:
        network.backbone(size)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (PilotNet, "activation", "swish"), (PilotNet, "width", 0.0), (PilotNet, "units", (100, 0)),
        (PilotNet, "units", ()), (UNet, "filters", (16,)), (UNet, "filters", (16, 0)), (FastSCNN, "width", 5.0),
        (MobileNetV2, "width", -1.0), (MobileNetV2, "bn_momentum", 1.0), (MobileNetV3, "variant", "medium"),
        (MobileNetV3, "width", 0.0), (MobileNetV3, "bn_momentum", -0.1),
    ],
)  # fmt: skip
def test_a_setting_out_of_range_is_refused_by_name(kind, field, value):
    with pytest.raises(BadInput, match=rf"^{kind.__name__}\.{field} must be .* got") as refused:
        dataclasses.replace(kind(), **{field: value})
    assert "\n" not in str(refused.value)
