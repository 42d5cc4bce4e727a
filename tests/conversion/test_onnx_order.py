"""Equal graphs, whatever their nodes' order and running numbers, become equal bytes."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tfmo_drive.conversion.onnx_order import canonical


def _graph(order, numbers, constants=("a", "b")):
    """y = (x * a) + (x * b), nodes in some order under some counters, constants under some names."""
    a, b = (f"{name}__{number}" for name, number in zip(constants, numbers[::2], strict=True))
    nodes = [
        helper.make_node("Mul", ["x", a], [f"left__{numbers[1]}"], name=f"left__{numbers[1]}"),
        helper.make_node("Mul", ["x", b], [f"right__{numbers[3]}"], name=f"right__{numbers[3]}"),
        helper.make_node("Add", [f"left__{numbers[1]}", f"right__{numbers[3]}"], ["y"], name="sum"),
    ]
    values = [numpy_helper.from_array(np.float32(value), name) for name, value in ((a, [1.0, 2.0]), (b, [3.0, 4.0]))]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "xy"]
    graph = helper.make_graph([nodes[i] for i in order], "g", ends[:1], ends[1:], [values[i] for i in order[:2]])
    return helper.make_model(graph)


def test_order_and_counters_do_not_reach_the_bytes():
    one = canonical(_graph([0, 1, 2], [1, 2, 3, 4]))
    other = canonical(_graph([1, 0, 2], [9, 8, 77, 6]))
    onnx.checker.check_model(one)
    assert one.SerializeToString(deterministic=True) == other.SerializeToString(deterministic=True)
    assert [value.name for value in (*one.graph.input, *one.graph.output)] == ["x", "y"]
    assert [node.op_type for node in one.graph.node] == ["Mul", "Mul", "Add"]


def test_a_constant_is_called_after_who_reads_it_because_tf2onnx_merges_equal_ones_under_any_name():
    one = canonical(_graph([0, 1, 2], [1, 2, 3, 4], ("first/bias", "kernel")))
    other = canonical(_graph([0, 1, 2], [1, 2, 3, 4], ("second/bias", "kernel")))
    assert one.SerializeToString(deterministic=True) == other.SerializeToString(deterministic=True)
    assert [constant.name for constant in one.graph.initializer] == ["Mul__0/1", "Mul__1/1"]
