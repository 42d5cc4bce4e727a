"""Builds backbones and heads in Keras 2: ResNet50 in both topologies, MobileNetV2, a small convolutional student.

ResNet: He et al. 2015, "Deep Residual Learning" (v1: stride in the first 1x1), and the v1.5 of NVIDIA's and
torchvision's reference models (stride in the 3x3). Layer names are keras.applications', so that its weight files load.
MobileNetV2: Sandler et al. 2018. `DenseLayers` is for rows of numbers: its size is a count of columns.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tfmo_drive.base import finite
from tfmo_drive.base.given_file import reason
from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import BadInput
from tfmo_drive.networks.hdf5_file import refuse_endless

layers = keras.layers
LOGITS = "logits"
"""The name of the last layer of every network here, which has no softmax."""
NUMBER = "number"
"""The name of the last layer of a network whose one output is no class, but a number."""
BN_EPSILON = 1.001e-5  # keras.applications.resnet
Size = int | tuple[int, int]
"""The side of square images, or (height, width), in pixels."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Head:
    """Turns features into class logits, or into a number.

    Args:
        pooling: "gap" (average pooling + Dense) or "flatten" (Flatten + Dense(units) + Dense).
        units: The units of the hidden dense layer of "flatten".

    Example:
        >>> import tfmo_drive as td
        >>> td.Head(pooling="flatten", units=256).units
        256
    """

    pooling: str = "gap"
    units: int = 1024

    def __post_init__(self):
        if self.pooling not in ("gap", "flatten"):
            raise BadInput(f"Head.pooling must be gap or flatten, got {self.pooling!r}.")
        if self.units < 1:
            raise BadInput(f"Head.units must be at least 1, got {self.units}.")

    def __call__(self, features, outputs: int, name: str = LOGITS):
        """Applies the head to a feature map [b, h, w, c].

        Returns float32 [b, outputs] from a layer called `name`.
        """
        if self.pooling == "gap":
            features = layers.GlobalAveragePooling2D(name="avg_pool")(features)
        else:
            features = layers.Dense(self.units, activation="relu", name="hidden")(layers.Flatten()(features))
        return layers.Dense(outputs, name=name)(features)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResNet:
    """Describes a ResNet with bottleneck blocks; the defaults are ResNet50.

    Args:
        topology: "v1.5" (stride in the 3x3 convolution) or "v1" (stride in the first 1x1).
        head: What turns features into outputs.
        blocks: The number of blocks of each stage.
        width: The factor on every channel count.
        bn_momentum: The momentum of BatchNorm's moving averages.

    Example:
        >>> import tfmo_drive as td
        >>> td.ResNet(width=0.25).blocks
        (3, 4, 6, 3)
    """

    topology: str = "v1.5"
    head: Head = Head()
    blocks: tuple[int, ...] = (3, 4, 6, 3)
    width: float = 1.0
    bn_momentum: float = 0.9
    preprocessing = "caffe"

    def __post_init__(self):
        if self.topology not in ("v1", "v1.5"):
            raise BadInput(f"ResNet.topology must be v1 (stock tf.keras) or v1.5, got {self.topology!r}.")
        if not self.blocks or min(self.blocks) < 1 or len(self.blocks) > 4:
            raise BadInput(f"ResNet.blocks must be one to four counts of at least 1, got {self.blocks}.")
        if not 0 < self.width <= 4:
            raise BadInput(f"ResNet.width must be in (0, 4], got {self.width}.")
        if not 0 <= self.bn_momentum < 1:
            raise BadInput(f"ResNet.bn_momentum must be in [0, 1), got {self.bn_momentum}.")

    def _channels(self, count: int) -> int:
        return max(4, int(round(count * self.width)))

    def _convolution(self, x, filters, kernel, name, gamma="ones", **kwargs):
        x = layers.Conv2D(filters, kernel, name=f"{name}_conv", **kwargs)(x)
        return layers.BatchNormalization(
            epsilon=BN_EPSILON, momentum=self.bn_momentum, gamma_initializer=gamma, name=f"{name}_bn"
        )(x)

    def _block(self, x, filters: int, stride: int, project: bool, name: str):
        first, second = (stride, 1) if self.topology == "v1" else (1, stride)
        shortcut = self._convolution(x, 4 * filters, 1, f"{name}_0", strides=stride) if project else x
        x = self._convolution(x, filters, 1, f"{name}_1", strides=first)
        x = layers.ReLU(name=f"{name}_1_relu")(x)
        padding = "same"
        if second > 1:
            x, padding = layers.ZeroPadding2D(1, name=f"{name}_2_pad")(x), "valid"
        x = self._convolution(x, filters, 3, f"{name}_2", strides=second, padding=padding)
        x = layers.ReLU(name=f"{name}_2_relu")(x)
        # Every block starts as its shortcut, which is what makes few epochs enough (Goyal et al. 2017, section 5.1).
        x = self._convolution(x, 4 * filters, 1, f"{name}_3", gamma="zeros")
        x = layers.Add(name=f"{name}_add")([shortcut, x])
        return layers.ReLU(name=f"{name}_out")(x)

    def backbone(self, size: Size) -> keras.Model:
        """Returns a model from preprocessed pixels float32 [b, height, width, 3] to features.

        These are [b, height / 32, width / 32, 2048 * width].
        """
        inputs = x = image_input(size)
        x = layers.ZeroPadding2D(3, name="conv1_pad")(x)
        x = self._convolution(x, self._channels(64), 7, "conv1", strides=2)
        x = layers.ReLU(name="conv1_relu")(x)
        x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
        x = layers.MaxPooling2D(3, 2, name="pool1_pool")(x)
        for stage, count in enumerate(self.blocks):
            for block in range(count):
                stride = 2 if stage and not block else 1
                name = f"conv{stage + 2}_block{block + 1}"
                x = self._block(x, self._channels(64 * 2**stage), stride, not block, name)
        return keras.Model(inputs, x, name="resnet")


@dataclasses.dataclass(frozen=True, kw_only=True)
class MobileNetV2:
    """Describes keras.applications.MobileNetV2; `width` is its alpha.

    Example:
        >>> import tfmo_drive as td
        >>> td.MobileNetV2(width=0.35).width
        0.35
    """

    head: Head = Head()
    width: float = 1.0
    preprocessing = "tf"

    def __post_init__(self):
        if not 0 < self.width <= 4:
            raise BadInput(f"MobileNetV2.width must be in (0, 4], got {self.width}.")

    def backbone(self, size: Size) -> keras.Model:
        """Returns a model from preprocessed pixels float32 [b, height, width, 3] in [-1, 1] to features."""
        inputs = image_input(size)
        return keras.applications.MobileNetV2(include_top=False, weights=None, alpha=self.width, input_tensor=inputs)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SmallCNN:
    """Describes a small student: convolutions with pooling, a dense layer, logits.

    BatchNorm keeps it trainable on inputs of any range: as a student it sees what its teacher was trained on. The last
    pooling leaves at most 11x11 features at any image size, so that the dense layer does not outgrow its teacher.

    Args:
        head: What turns features into outputs.
        filters: The filters of each convolution.
        batch_normalization: Whether BatchNorm follows each convolution.

    Example:
        >>> import tfmo_drive as td
        >>> td.SmallCNN(filters=(16, 32)).filters
        (16, 32)
    """

    head: Head = Head(pooling="flatten", units=128)
    filters: tuple[int, ...] = (32, 64)
    batch_normalization: bool = True
    preprocessing = "caffe"

    def __post_init__(self):
        if not self.filters or min(self.filters) < 1:
            raise BadInput(f"SmallCNN.filters must be counts of at least 1, got {self.filters}.")

    def backbone(self, size: Size) -> keras.Model:
        """Returns a model from preprocessed pixels float32 [b, height, width, 3] to features."""
        inputs = x = image_input(size)
        for index, filters in enumerate(self.filters, start=1):
            x = layers.Conv2D(filters, 3, name=f"conv{index}", use_bias=not self.batch_normalization)(x)
            if self.batch_normalization:
                x = layers.BatchNormalization(momentum=0.9, name=f"conv{index}_bn")(x)
            x = layers.ReLU(name=f"conv{index}_relu")(x)
            last = index == len(self.filters)
            pool = max(2, -(-max(x.shape[1:3]) // 11)) if last else 2
            x = layers.MaxPooling2D(pool, name=f"conv{index}_pool")(x)
        return keras.Model(inputs, x, name="small_cnn")


Network = ResNet | MobileNetV2 | SmallCNN


@dataclasses.dataclass(frozen=True, kw_only=True)
class DenseLayers:
    """Describes a network for rows of numbers: dense layers of `units` with ReLU, then the outputs.

    Example:
        >>> import tfmo_drive as td
        >>> td.DenseLayers(units=(32, 16)).units
        (32, 16)
    """

    units: tuple[int, ...] = (50,)

    def __post_init__(self):
        if not self.units or min(self.units) < 1:
            raise BadInput(f"DenseLayers.units must be counts of at least 1, got {self.units}.")

    def head(self, features, outputs: int):
        """Applies the last layer to features [b, c].

        Returns class logits float32 [b, outputs], or one number [b, 1].
        """
        return layers.Dense(outputs, name=LOGITS if outputs > 1 else NUMBER)(features)

    def backbone(self, size: int) -> keras.Model:
        """Returns a model from standardised rows float32 [b, size] to features [b, units[-1]]."""
        inputs = x = keras.Input((size,), name="row")
        for index, units in enumerate(self.units, start=1):
            x = layers.Dense(units, activation="relu", name=f"dense{index}")(x)
        return keras.Model(inputs, x, name="dense_layers")


def image_input(size: Size):
    """Returns a Keras input for preprocessed pixels float32 [b, height, width, 3]."""
    height, width = (size, size) if isinstance(size, int) else size
    return keras.Input((height, width, 3), name="image")


def build(network: Network | DenseLayers, size: Size, outputs: int, weights: str = "none") -> keras.Model:
    """Returns the float model with logits float32 [b, outputs].

    Args:
        network: The backbone and its head.
        size: The side, or (height, width), of images in pixels; the number of columns of rows.
        outputs: The number of classes, or 1 for a number.
        weights: The weights to start from, as for `started`.
    """
    backbone = started(network, size, weights)
    return keras.Model(backbone.input, network.head(backbone.output, outputs), name=backbone.name)


def started(network: Network | DenseLayers, size: Size, weights: str = "none") -> keras.Model:
    """Returns the network's backbone with weights to start from.

    Args:
        network: The backbone.
        size: As for `build`.
        weights: "none", "imagenet" or the path of a "notop" .h5 file.

    Raises:
        BadInput: The file is missing or of another shape, or ImageNet weights cannot be downloaded.
    """
    backbone = network.backbone(size)
    if weights == "imagenet":
        weights = str(_imagenet(network))
    if weights != "none":
        load_weights(backbone, Path(weights), "task.weights")
    return backbone


def load_weights(model: keras.Model, path: Path, setting: str) -> None:
    """Reads a Keras 2 .h5 weight file into `model`, layer by layer in order.

    Raises BadInput that says what does not fit, or which layer's weights are not finite.
    """
    if not path.is_file():
        raise BadInput(f"{setting}: no file {path}. Give the path of a Keras 2 .h5 file.")
    refuse_endless(path, setting)
    try:
        model.load_weights(str(path))
    except Exception as error:  # h5py and Keras raise many kinds for what they do not find, or cannot read
        raise BadInput(
            f"{setting}: {path} does not fit {model.name} ({model.count_params():,} parameters, input "
            f"{model.input_shape[1:]}): {reason(error)}. Check the topology, image_size and class count."
        ) from error
    finite.refuse_weights(model, f"{setting}: {path}")


_PUBLISHED_WIDTHS = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)


def _imagenet(network: Network) -> Path:
    """Returns the file of Keras's own download, kept in its cache; offline, BadInput says which file to put where."""
    if isinstance(network, MobileNetV2) and network.width in _PUBLISHED_WIDTHS:
        name = f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{float(network.width)}_224_no_top.h5"
        origin = "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v2/" + name
    elif network == ResNet(topology="v1", head=network.head):
        name = "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
        origin = "https://storage.googleapis.com/tensorflow/keras-applications/resnet/" + name
    else:
        raise BadInput(
            "task.weights=imagenet: Keras publishes ResNet50 of topology v1, and MobileNetV2 of width "
            f"{', '.join(map(str, _PUBLISHED_WIDTHS))} only, got {network}. Set task.network so, or use "
            "--set=task.weights=path/to/a_notop_file.h5."
        )
    folder = Path.home() / ".keras" / "models"
    try:
        return Path(keras.utils.get_file(name, origin, cache_subdir="models"))
    except Exception as error:  # urllib raises many kinds; all mean that the file is not to be had here
        raise BadInput(
            f"task.weights=imagenet: {name} could not be downloaded. On a machine that can, fetch {origin} and put it "
            f"into {folder}; or use --set=task.weights=path/to/{name}."
        ) from error
