"""Forecasts what int8 costs a float model from the ranges of its activations: where one scale serves unlike values.

An int8 file has one scale for each activation tensor, its kernels one for each output channel
(https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/quantization_spec), so that what suffers is a
channel far below the largest of its tensor (Nagel et al. 2019, arXiv:1906.04721, section 3.1; Krishnamoorthi 2018,
arXiv:1806.08342, section 3) and a tensor that must share the scale of a larger one. Costs are effective bits: the
logarithm to base 2 of how much coarser rounding is than with a scale of one's own; 6 dB each.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from tfmo_drive.base.keras2 import keras
from tfmo_drive.commands.lint.stored_tensors import HANDING_ON, Layer, Meeting, Stored, StoredTensors, span
from tfmo_drive.networks import folding
from tfmo_drive.networks.folding import LOST
from tfmo_drive.networks.layers import input_axis
from tfmo_drive.surgery.channel_scales import ChannelScales

layers = keras.layers

DROWNED = 6.0
"""The same bits for an addend: it may be small where a sum may not, because what is lost is small beside the sum too.
With two bits left it is as good as gone. A ResNet50's worst loses 0.5."""
DEAD = 0.5
"""The share of a ReLU's channels that are never active from which it is reported. A ResNet50's worst layer has 0.23."""
ONE_SCALE = (layers.Concatenate, layers.AveragePooling2D, layers.UpSampling2D, layers.Resizing)
"""The layers whose inputs and output have the same scale, by the specification."""

EQUALIZE = "Equalize before LiteRTInt8"
FOLD = "FoldBatchNorm, then Equalize, before LiteRTInt8"
KEEP_FLOAT = "LiteRTMixed, which keeps the layers around it in float, or QuantizeAware"
OWN_OUTPUTS = "give the heads outputs of their own"


@dataclasses.dataclass(frozen=True)
class Finding:
    """Describes one trouble to come."""

    kind: str
    """"outlier channel", "shared scale", "drowned addend", "dead ReLU", "gains far apart", "no file" of a target that
    cannot take the model; of a calibration set: `calibration_set`."""
    layer: str
    """The name of the layer where it is, or of the target."""
    message: str
    """One sentence with the numbers."""
    bits_lost: float | None
    """The bits lost of the 8 that int8 has; None where no rounding is to blame."""
    mend: str
    """The step, target or setting that helps."""


def faults(stored: StoredTensors, ranges: dict[str, np.ndarray]) -> list[Finding]:
    """Returns the findings, those of each kind in graph order.

    Args:
        stored: The tensors that an int8 file of the model stores.
        ranges: By id, [2, c], their ranges on train images (`StoredTensors.ranges`).
    """
    free = {stored.origin[str(id(tensor))] for tensor, _ in ChannelScales(stored.model).tensors}
    found = []
    for key, one in stored.tensors.items():
        if not isinstance(one.layer, HANDING_ON):  # their channels were looked at before
            mend = EQUALIZE if key in free else KEEP_FLOAT
            found += [*_outlier(one, ranges[key], mend), *_dead(one, ranges[key])]
    spans = {key: span(ranges[key]) for key in stored.tensors}
    found += _constants(stored.model)
    for meeting in stored.meetings:
        if isinstance(meeting.layer, (*ONE_SCALE, layers.Add)):
            found += _shared(meeting, stored, spans, free)
    return found


def _constants(model: keras.Model) -> Iterator[Finding]:
    """Yields a finding for each BatchNorm or its like, an operator of its own in the file, with gains far apart."""
    for one in folding.far_apart(model):
        message = f"its gains {one.said}: one scale for all costs what it multiplies {_of_8(one.bits)}."
        yield Finding("gains far apart", one.layer.name, message, one.bits, FOLD if one.foldable else KEEP_FLOAT)


def lost_bits(kernel: np.ndarray | None, own: np.ndarray) -> float:
    """Returns how many bits a reader of a tensor loses because the tensor's channels share one scale.

    It is the mean over the outputs of half the logarithm of noise with the tensor's scale over noise with a scale for
    each channel; channels that a kernel hardly weights lose nothing.

    Args:
        kernel: Squared taps, float [c, c_out], by which the noise of every channel and its signal reach each output;
            None where every channel is read by itself.
        own: float [c], the span of each active channel.
    """
    if kernel is None:
        return float(np.mean(np.log2(own.max() / own)))
    shared, apart = own.max() ** 2 * kernel.sum(axis=0), own**2 @ kernel
    heard = apart > 0
    return float(np.mean(np.log2(shared[heard] / apart[heard])) / 2) if heard.any() else 0.0


def _outlier(one: Stored, range_: np.ndarray, mend: str) -> Iterator[Finding]:
    own = range_[1] - range_[0]
    active = own > 0
    if active.sum() < 2:
        return
    # One wide channel may be so on the negative side; the scale spans both ends, whichever channel has them.
    widest, typical = int(np.argmax(own)), float(np.median(own[active]))
    costs = {layer.name: lost_bits(_heard(layer, active), own[active]) for layer in one.readers}
    if not costs:  # a sum, or the user, reads all channels alike
        costs = {"": lost_bits(np.ones([active.sum(), 1]), own[active])}
    reader, bits = max(costs.items(), key=lambda item: item[1])
    if bits > LOST:
        heard = f"what {reader} reads" if reader else "its values"
        message = (
            f"channel {widest} spans {own[widest]:.3g} and half of the {active.sum()} active ones less than "
            f"{typical:.3g}: one scale for all costs {heard} {_of_8(bits)}."
        )
        yield Finding("outlier channel", one.layer.name, message, bits, mend)


def _heard(layer: Layer, active: np.ndarray) -> np.ndarray | None:
    """Returns the squared taps [active channels, c_out] of a reader, or None where it is unknown what it mixes.

    That is a depthwise kernel, which mixes none, and one of groups or behind a Reshape.
    """
    if isinstance(layer, layers.DepthwiseConv2D) or getattr(layer, "groups", 1) > 1:
        return None
    kernel = np.square(layer.get_weights()[0], dtype=np.float64)
    kernel = np.moveaxis(kernel, input_axis(layer), -2)
    if kernel.shape[-2] % len(active):
        return None
    taps = kernel.reshape(-1, len(active), kernel.shape[-1])  # behind a Flatten, a channel is read at many places
    return taps.sum(axis=0)[active]


def _dead(one: Stored, range_: np.ndarray) -> Iterator[Finding]:
    share = float(np.mean(range_[1] <= 0))
    if one.rectified and share > DEAD:
        count = f"{int((range_[1] <= 0).sum())} of {range_.shape[1]} channels"
        if share < 1:
            yield Finding("dead ReLU", one.layer.name, f"{count} are zero on every image.", None,
                          "ChannelPruning, which removes them for nothing")  # fmt: skip
        else:
            yield Finding("dead ReLU", one.layer.name, f"{count} are zero on every image: nothing gets through.", None,
                          "train again with a lower training.learning_rate")  # fmt: skip


def _shared(meeting: Meeting, stored: StoredTensors, spans: dict[str, float], free: set[str]) -> Iterator[Finding]:
    """Yields a finding where the narrowest of what a layer reads and makes loses much beside the widest."""
    inputs = [key for key in dict.fromkeys(meeting.inputs) if key in spans]
    known = [key for key in (*inputs, meeting.output) if spans.get(key)]
    if len(known) < 2:
        return
    widest = max(known, key=spans.get)
    sums = isinstance(meeting.layer, layers.Add)
    for key in sorted(known, key=spans.get):
        bits, addend = float(np.log2(spans[widest] / spans[key])), sums and key != meeting.output
        if bits > (DROWNED if addend else LOST):
            narrow, wide = (stored.tensors[one].layer.name for one in (key, widest))
            message = (
                f"{narrow} spans {spans[key]:.3g} and {wide} {spans[widest]:.3g}: it costs {narrow} {_of_8(bits)}."
            )
            outside = meeting.output in stored.shown and not sums
            mend = OWN_OUTPUTS if outside else EQUALIZE if stored.origin[key] in free else KEEP_FLOAT
            yield Finding("drowned addend" if addend else "shared scale", meeting.layer.name, message, bits, mend)
            return


def _of_8(bits: float) -> str:
    return f"{bits:.1f} of 8 bits" if bits < 8 else "all 8 bits"
