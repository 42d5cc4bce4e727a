"""Leads a backbone's feature maps back to a fine grid: the feature pyramid under detection and segmentation heads.

Lin et al. 2017, "Feature pyramid networks for object detection": 1x1 convolutions bring every map to one width, and the
coarse ones are added to the finer ones. Up-sampling inside repeats pixels (nearest), which int8 does without any error.
"""

from __future__ import annotations

from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import BadInput
from tfmo_drive.data.detections import STRIDE
from tfmo_drive.networks.networks import BN_EPSILON, Network

layers = keras.layers


def feature_maps(backbone: keras.Model) -> dict[int, object]:
    """Returns the maps of a backbone at which its stages end, by stride from 4 on, fine to coarse.

    Of each stride it is the last of the widest maps, [b, h / stride, w / stride, c]: the v1.5 ResNet begins the next
    stage at the old stride, with fewer channels. Raises BadInput where image sides are not multiples of the coarsest
    stride, or no map has stride 4.
    """
    height, width = backbone.input_shape[1:3]
    found = {}
    for layer in backbone.layers:
        if isinstance(layer, (layers.InputLayer, layers.ZeroPadding2D)) or len(layer.output_shape) != 4:
            continue
        rows, columns = layer.output_shape[1:3]
        stride = height // rows
        even = height % rows == 0 and width % columns == 0 and stride == width // columns
        if even and (stride not in found or layer.output_shape[-1] >= found[stride].shape[-1]):
            found[stride] = layer.output
    coarsest = backbone.output.shape[1:3]
    maps = {stride: found[stride] for stride in sorted(found) if stride >= STRIDE}
    if STRIDE not in maps or tuple(maps[max(maps)].shape[1:3]) != tuple(coarsest):
        raise BadInput(
            f"task.image_size must be multiples of what {backbone.name} divides it by, and its maps must reach stride "
            f"{STRIDE} (ResNet's and MobileNet's do, at multiples of 32), got {height} x {width} pixels."
        )
    return maps


def fine_map(network: Network, backbone: keras.Model, channels: int, name: str):
    """Returns the fine map of a network that decodes by itself, or else that of a pyramid on its backbone."""
    return backbone.output if network.decodes else pyramid(backbone, channels, name)


def pyramid(backbone: keras.Model, channels: int, name: str):
    """Returns one map [b, h / 4, w / 4, channels] that all maps of the backbone contribute to.

    Its layers are called `name`_...
    """
    merged = None
    for stride, features in reversed(feature_maps(backbone).items()):
        lateral = _convolution(features, channels, 1, f"{name}_lateral{stride}")
        if merged is not None:
            factor = lateral.shape[1] // merged.shape[1]
            merged = layers.UpSampling2D(factor, name=f"{name}_up{stride}")(merged)
            lateral = layers.Add(name=f"{name}_add{stride}")([lateral, merged])
        merged = layers.ReLU(name=f"{name}_relu{stride}")(lateral)
    return smooth(merged, channels, f"{name}_smooth")


def smooth(features, channels: int, name: str):
    """Applies a 3x3 convolution with BatchNorm and ReLU."""
    return layers.ReLU(name=f"{name}_relu")(_convolution(features, channels, 3, name))


def _convolution(features, channels: int, kernel: int, name: str):
    features = layers.Conv2D(channels, kernel, padding="same", use_bias=False, name=f"{name}_conv")(features)
    return layers.BatchNormalization(epsilon=BN_EPSILON, momentum=0.9, name=f"{name}_bn")(features)
