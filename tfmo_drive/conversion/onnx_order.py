"""Gives equal ONNX graphs one order and one set of names.

Those of tf2onnx come from Python sets, and differ from run to run.
"""

from __future__ import annotations

import re
from typing import Any

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""The nodes that keep their layer's name; tf2onnx merges equal others, and constants, under the name it met first."""


def canonical(model: Any) -> Any:
    """Changes an onnx.ModelProto in place and returns it: nodes depth first from the outputs, numbered in this order.

    A constant is called after the first node that reads it, and the place at which it does. Nodes and constants that no
    output needs go.
    """
    graph = model.graph
    makers = {output: node for node in graph.node for output in node.output}
    constants = {constant.name: constant for constant in graph.initializer}
    kept = {value.name for value in (*graph.input, *graph.output)} | {""}
    nodes, used, names = [], [], {}
    pending = [(value.name, False) for value in reversed(graph.output)]
    seen: set[str] = set()
    while pending:
        name, done = pending.pop()
        if done:
            nodes.append(makers[name])
        elif name in makers and makers[name].output[0] not in seen:
            seen.add(makers[name].output[0])
            pending.append((name, True))
            pending.extend((source, False) for source in reversed(makers[name].input))
    for number, node in enumerate(nodes):
        base = _lasting(node.name) if node.op_type in WEIGHTED else node.op_type
        node.name = f"{base}__{number}"
        for place, name in enumerate(node.input):
            if name in constants and name not in names:
                used.append(constants[name])
                names[name] = f"{node.name}/{place}"
        node.input[:] = [names.get(name, name) for name in node.input]
        names |= {name: f"{node.name}:{place}" for place, name in enumerate(node.output) if name not in kept}
        node.output[:] = [names.get(name, name) for name in node.output]
    for constant in used:
        constant.name = names[constant.name]
    # Copies, because what a field held is not valid once it is cleared.
    nodes, used = (
        [type(node).FromString(node.SerializeToString()) for node in nodes],
        [type(constant).FromString(constant.SerializeToString()) for constant in used],
    )
    for field, values in (("node", nodes), ("initializer", used), ("value_info", [])):
        graph.ClearField(field)
        getattr(graph, field).extend(values)
    return model


def _lasting(name: str) -> str:
    """Returns a name without tf2onnx's running numbers."""
    return re.sub(r"__[0-9]+", "", name)
