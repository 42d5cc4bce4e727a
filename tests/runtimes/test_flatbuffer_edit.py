"""A packed file holds equal lists of numbers once, and answers as the file that holds each of them."""

import flatbuffers
import numpy as np
import pytest

from tfmo_drive.base.keras2 import keras, tf
from tfmo_drive.runtimes.flatbuffer_edit import pack, unpack

CHANNELS = 96


@pytest.fixture(scope="module")
def int8():
    """A `.tflite` of the plain converter: four convolutions with a scale for each of their channels."""
    layers = [keras.layers.DepthwiseConv2D(3, padding="same") for _ in range(3)]
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(CHANNELS, 1), *layers])
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    random = np.random.default_rng(0)
    converter.representative_dataset = lambda: ([random.normal(size=(1, 8, 8, 3)).astype(np.float32)] for _ in range(4))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    return converter.convert()


def answers(content, resolver):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    place = interpreter.get_input_details()[0]["index"]
    interpreter.set_tensor(place, np.random.default_rng(1).normal(size=(1, 8, 8, 3)).astype(np.float32))
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def test_zero_points_stand_once_and_the_answers_are_the_same(int8):
    from ai_edge_litert.interpreter import OpResolverType

    packed = pack(unpack(int8))
    builder = flatbuffers.Builder(1024)
    builder.Finish(unpack(int8).Pack(builder), file_identifier=b"TFL3")
    kernels = 4 + 4  # with their biases
    assert len(builder.Output()) - len(packed) >= (kernels - 2) * CHANNELS * 8
    for resolver in (OpResolverType.AUTO, OpResolverType.BUILTIN_REF):
        np.testing.assert_array_equal(answers(packed, resolver), answers(int8, resolver))


def test_packing_again_changes_nothing(int8):
    packed = pack(unpack(int8))
    assert pack(unpack(packed)) == packed
    first, again = (unpack(content).subgraphs[0].tensors for content in (int8, packed))
    for one, other in zip(first, again, strict=True):
        assert (one.name, one.type, list(one.shape)) == (other.name, other.type, list(other.shape))
        assert np.array_equal(one.quantization.zeroPoint, other.quantization.zeroPoint)
        assert np.array_equal(one.quantization.scale, other.quantization.scale)
