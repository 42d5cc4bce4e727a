"""Puts a named entry into a `.tflite` file without writing the model anew.

Offsets in a flatbuffer are relative and point forwards, so a new root in front of the untouched file reaches everything
in it: no time is spent, and what was aligned to 16 bytes stays so. Format, and slots as they are numbered here:
https://github.com/tensorflow/tensorflow/blob/master/tensorflow/compiler/mlir/lite/schema/schema.fbs
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

import flatbuffers
from flatbuffers import number_types
from flatbuffers.table import Table

_IDENTIFIER = b"TFL3"
_ALIGNED = 16
"""The alignment of a buffer's data in bytes, as the schema has it."""
_SUBGRAPHS, _BUFFERS, _ENTRIES = 2, 4, 6
"""The slots of the root that are read; slot 0 is the format's version, all others are offsets."""


def put(model: bytes, name: str, content: bytes) -> bytes:
    """Returns the file's bytes with the entry in them; an entry of the same name is replaced, all others stay.

    A file that keeps its buffers behind the flatbuffer, as those beyond 2 GB do, is returned as it is: its offsets are
    absolute.

    Args:
        model: The bytes of a `.tflite` file, with no archive behind them.
        name: The entry's name.
        content: The entry's bytes.
    """
    model = _untouched(model, name)
    buffers, entries = _tables(model, _BUFFERS), _tables(model, _ENTRIES)
    if any(buffer.Offset(_place(1)) for buffer in buffers):
        return model
    builder = flatbuffers.Builder(1024)
    builder.Prep(_ALIGNED, len(content))
    data = builder.CreateByteVector(content)
    builder.StartObject(1)
    builder.PrependUOffsetTRelativeSlot(0, data, 0)
    buffer = builder.EndObject()
    entry = _entry(builder, name, len(buffers))
    others = [table for table in entries if _name(table) != name]
    # A builder counts places from its end, which is where the model begins: the model's own places are negative.
    vectors = {
        _BUFFERS: offsets(builder, [*(-table.Pos for table in buffers), buffer]),
        _ENTRIES: offsets(builder, [*(-table.Pos for table in others), entry]),
    }
    builder.Finish(_root_with(builder, model, vectors), _IDENTIFIER)
    return bytes(builder.Output()) + model


def offsets(builder: flatbuffers.Builder, places: Sequence[int]) -> int:
    """Writes a vector of offsets to places that the builder counts from the end, and returns where the vector is."""
    builder.StartVector(4, len(places), 4)
    for place in reversed(places):
        builder.PrependUOffsetTRelative(place)
    return builder.EndVector()


def _entry(builder: flatbuffers.Builder, name: str, buffer: int) -> int:
    text = builder.CreateString(name)
    builder.StartObject(2)
    builder.PrependUOffsetTRelativeSlot(0, text, 0)
    builder.PrependUint32Slot(1, buffer, 0)
    return builder.EndObject()


def _root_with(builder: flatbuffers.Builder, model: bytes, vectors: Mapping[int, int]) -> int:
    """Writes the root once more with other `vectors`; it keeps whatever else it has, known here or not."""
    root = _root(model)
    vtable = root.Pos - root.Get(number_types.SOffsetTFlags, root.Pos)
    slots = (root.Get(number_types.VOffsetTFlags, vtable) - _place(0)) // 2
    builder.StartObject(max(slots, _ENTRIES + 1))
    builder.PrependUint32Slot(0, root.GetSlot(_place(0), 0, number_types.Uint32Flags), 0)
    for slot in range(1, slots):
        if slot not in vectors and root.Offset(_place(slot)):
            builder.PrependUOffsetTRelativeSlot(slot, -_target(root, slot), 0)
    for slot, vector in vectors.items():
        builder.PrependUOffsetTRelativeSlot(slot, vector, 0)
    return builder.EndObject()


def _untouched(model: bytes, name: str) -> bytes:
    """Returns the file without a front that `put` made for this entry.

    Behind such a front, another root refers to the same subgraphs.
    """
    start = model.find(_IDENTIFIER, 8) - 4
    try:
        in_front = start > 0 and _target(_root(model, start), _SUBGRAPHS) == _target(_root(model), _SUBGRAPHS)
    except (struct.error, TypeError):  # four bytes of a weight that look like an identifier
        in_front = False
    return model[start:] if in_front and _name(_tables(model, _ENTRIES)[-1]) == name else model


def _name(entry: Table) -> str:
    return entry.String(entry.Pos + entry.Offset(_place(0))).decode()


def _root(model: bytes, start: int = 0) -> Table:
    return Table(model, start + struct.unpack_from("<I", model, start)[0])


def _tables(model: bytes, slot: int) -> list[Table]:
    root = _root(model)
    if not root.Offset(_place(slot)):
        return []
    first = _target(root, slot) + 4
    count = root.VectorLen(root.Offset(_place(slot)))
    return [Table(model, root.Indirect(first + 4 * i)) for i in range(count)]


def _target(table: Table, slot: int) -> int:
    """Returns where in the file the content of a slot is."""
    return table.Indirect(table.Pos + table.Offset(_place(slot)))


def _place(slot: int) -> int:
    """Returns a slot's place in a vtable, in bytes: two sizes come first."""
    return 4 + 2 * slot
