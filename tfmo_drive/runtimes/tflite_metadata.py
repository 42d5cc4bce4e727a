"""Writes TensorFlow Lite Metadata, as MediaPipe, Android Studio and others read it: tensors, normalisation, labels.

A flatbuffer of its own inside the model, as the entry TFLITE_METADATA. Slots are fields' places in their tables here:
https://github.com/tensorflow/tflite-support/blob/master/tensorflow_lite_support/metadata/metadata_schema.fbs It is
written by hand because the packages that write it are large (mediapipe) or given up (tflite-support). Both read it:
their ImageClassifier gives a float32 file's own answers, by name; int8 inputs it takes from nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import flatbuffers

from tfmo_drive.runtimes.tflite_entry import offsets

NAME = "TFLITE_METADATA"
_IDENTIFIER = b"M001"
_PARSER = "1.0.0"
"""The version of the schema: its first has all that is used here."""
_FEATURE, _IMAGE, _NORMALISATION, _DESCRIPTIONS, _AXIS_LABELS = 1, 2, 1, 1, 2
_COLOURS = {"RGB": (1, "RGB pixels"), "L": (2, "Grey pixels"), "RGBA": (0, "RGBA pixels")}
"""The schema's ColorSpaceType (0: none that it knows) and words for the modes of images."""
"""The members of the schema's unions and enumerations that are used here."""

Facts = Mapping[str, Any]
Table = dict[int, Any]


def described(metadata: Facts, ends: Mapping[str, Sequence[Facts]]) -> bytes:
    """Returns the entry's content; equal arguments give equal bytes.

    Args:
        metadata: The metadata of artifact_metadata.
        ends: The file's "inputs" and "outputs", as tflite_file.signature gives them.
    """
    graph = {
        2: [
            _input(end, metadata.get("inputs", {}).get(end["name"]) or metadata.get("input", {}))
            for end in ends["inputs"]
        ],
        3: [_output(end, metadata) for end in ends["outputs"]],
    }
    model = {
        0: metadata.get("task", "model"),
        1: f"{metadata.get('target', 'Made')} by tfmo_drive. model.json has all that a board must know.",
        3: [graph],
        6: [{0: "model.json", 2: _DESCRIPTIONS}],
        7: _PARSER,
    }
    builder = flatbuffers.Builder(1024)
    builder.Finish(_stored(builder, model), _IDENTIFIER)
    return bytes(builder.Output())


def label_files(metadata: Facts) -> dict[str, list[str]]:
    """Returns the names of the classes by their file in the archive: the whole's, and those of each part."""
    whole = {"labels.txt": metadata} | {_part_file(name): part for name, part in metadata.get("parts", {}).items()}
    return {name: facts["labels"] for name, facts in whole.items() if "labels" in facts}


def axis_labels(end: Facts, metadata: Facts) -> tuple[str, list[str]]:
    """Returns the file that names the classes of an output's last axis, and the names; ("", []) without classes."""
    file, facts = _facts_of(end, metadata)
    labels = facts.get("labels", [])
    # A detector's boxes have four sides, whatever the number of classes.
    return (file, labels) if end["name"] != "boxes" and end["shape"][-1] == len(labels) else ("", [])


def _facts_of(end: Facts, metadata: Facts) -> tuple[str, Facts]:
    """Returns an output's file of labels, and its facts: with several tasks, those of its own task."""
    parts = metadata.get("parts", {}).items()
    return next(((_part_file(name), part) for name, part in parts if end["name"] in part["outputs"]),
                ("labels.txt", metadata))  # fmt: skip


def _part_file(part: str) -> str:
    return f"labels_{part}.txt"


def _input(end: Facts, facts: Facts) -> Table:
    """Returns a TensorMetadata.

    Preprocessing is inside every file of this project, so pixels and rows go in as they are.
    """
    if "colour_order" not in facts:
        return {0: end["name"], 1: facts.get("feed", ""), 3: {0: _FEATURE, 1: {}}}
    return {
        0: end["name"],
        1: f"{_COLOURS[facts['colour_order']][1]}, 0..255. Preprocessing is inside the model.",
        3: {0: _IMAGE, 1: {0: _COLOURS[facts["colour_order"]][0]}},
        4: [{0: _NORMALISATION, 1: {0: [0.0], 1: [1.0]}}],
        5: {0: [255.0], 1: [0.0]},
    }


def _output(end: Facts, metadata: Facts) -> Table:
    """Returns a TensorMetadata, with the labels of its last axis where that is of classes."""
    file, labels = axis_labels(end, metadata)
    said = _facts_of(end, metadata)[1].get("decode", {})
    kind = ": ".join(said[key] for key in ("kind", "rule") if key in said)
    return {0: end["name"], 1: kind, 3: {0: _FEATURE, 1: {}}} | ({6: [{0: file, 2: _AXIS_LABELS}]} if labels else {})


def _stored(builder: flatbuffers.Builder, value: Any) -> int:
    """Stores a text, floats, tables, or a table {slot: value}, and returns where.

    Integers are bytes, as all that are used here.
    """
    if isinstance(value, str):
        return builder.CreateString(value)
    if isinstance(value, list) and isinstance(value[0], dict):
        return offsets(builder, [_stored(builder, one) for one in value])
    if isinstance(value, list):
        builder.StartVector(4, len(value), 4)
        for number in reversed(value):
            builder.PrependFloat32(number)
        return builder.EndVector()
    places = {slot: _stored(builder, one) for slot, one in value.items() if not isinstance(one, int)}
    builder.StartObject(max(value, default=-1) + 1)
    for slot, one in value.items():
        if slot in places:
            builder.PrependUOffsetTRelativeSlot(slot, places[slot], 0)
        else:
            builder.PrependUint8Slot(slot, one, 0)
    return builder.EndObject()
