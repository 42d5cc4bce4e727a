"""What other tools read in a file: the schema's fields by name, found with nothing but `struct`."""

from __future__ import annotations

import struct

from tfmo_drive.runtimes import tflite_metadata

SCHEMA = {
    "ModelMetadata": {
        "name": str, "description": str, "version": str, "subgraph_metadata": ["SubGraphMetadata"], "author": str,
        "license": str, "associated_files": ["AssociatedFile"], "min_parser_version": str,
    },
    "SubGraphMetadata": {
        "name": str, "description": str, "input_tensor_metadata": ["TensorMetadata"],
        "output_tensor_metadata": ["TensorMetadata"],
    },
    "TensorMetadata": {
        "name": str, "description": str, "dimension_names": [str], "content": "Content",
        "process_units": ["ProcessUnit"], "stats": "Stats", "associated_files": ["AssociatedFile"],
    },
    "Content": {"content_properties_type": int, "content_properties": "ImageProperties"},
    "ImageProperties": {"color_space": int},
    "ProcessUnit": {"options_type": int, "options": "NormalizationOptions"},
    "NormalizationOptions": {"mean": [float], "std": [float]},
    "Stats": {"max": [float], "min": [float]},
    "AssociatedFile": {"name": str, "description": str, "type": int},
}  # fmt: skip
"""metadata_schema.fbs 1.1.0, tables and fields in its order, as far as they are used. A union is two fields there."""
IMAGE = {"colour_order": "RGB", "height": 4, "width": 6}


def end(name, *shape):
    return {"name": name, "shape": [1, *shape], "dtype": "int8"}


def number(content, form, place):
    return struct.unpack_from(form, content, place)[0]


def value(content, kind, place):
    """A flatbuffer's value as https://flatbuffers.dev/internals describes it."""
    if kind is int:
        return number(content, "<b", place)
    if kind is float:
        return number(content, "<f", place)
    place += number(content, "<I", place)
    if kind is str:
        return content[place + 4 : place + 4 + number(content, "<I", place)].decode()
    if isinstance(kind, list):
        return [value(content, kind[0], place + 4 + 4 * i) for i in range(number(content, "<I", place))]
    vtable, found = place - number(content, "<i", place), {}
    for slot, (field, inner) in enumerate(SCHEMA[kind].items()):
        within = 4 + 2 * slot < number(content, "<H", vtable)
        if within and (offset := number(content, "<H", vtable + 4 + 2 * slot)):
            found[field] = value(content, inner, place + offset)
    return found


def read(metadata, inputs, outputs):
    content = tflite_metadata.described(metadata, {"inputs": inputs, "outputs": outputs})
    assert content[4:8] == b"M001"
    return value(content, "ModelMetadata", 0)


def test_an_image_classifier_is_described_as_others_describe_theirs():
    facts = {"task": "signs", "labels": ["a", "b"], "input": IMAGE, "decode": {"kind": "logits"}}
    found = read(facts, [end("image", 4, 6, 3)], [end("logits", 2)])
    (graph,) = found["subgraph_metadata"]
    (image,), (logits,) = graph["input_tensor_metadata"], graph["output_tensor_metadata"]
    assert found["name"] == "signs" and found["min_parser_version"] == "1.0.0"
    assert found["associated_files"] == [{"name": "model.json", "type": 1}]
    assert image.pop("description").startswith("RGB pixels, 0..255")
    assert image == {
        "name": "image",
        "content": {"content_properties_type": 2, "content_properties": {"color_space": 1}},
        "process_units": [{"options_type": 1, "options": {"mean": [0.0], "std": [1.0]}}],
        "stats": {"max": [255.0], "min": [0.0]},
    }
    assert logits == {
        "name": "logits",
        "description": "logits",
        "content": {"content_properties_type": 1, "content_properties": {}},
        "associated_files": [{"name": "labels.txt", "type": 2}],
    }


def test_sides_of_boxes_are_no_classes():
    facts = {"labels": list("abcd"), "input": IMAGE, "decode": {"kind": "detections", "rule": "so"}}
    found = read(facts, [end("image", 4, 6, 3)], [end("boxes", 2, 3, 4), end("scores", 2, 3, 4)])
    boxes, scores = found["subgraph_metadata"][0]["output_tensor_metadata"]
    assert "associated_files" not in boxes and scores["associated_files"] == [{"name": "labels.txt", "type": 2}]
    assert scores["description"] == "detections: so"


def test_each_of_several_tasks_has_its_own_labels():
    lane = {"outputs": ["angle"], "decode": {"kind": "number"}}
    signs = {"outputs": ["logits"], "labels": ["a", "b"], "decode": {"kind": "logits"}}
    facts = {"labels": ["signs a", "signs b"], "input": IMAGE, "parts": {"lane": lane, "signs": signs}}
    assert tflite_metadata.label_files(facts) == {"labels.txt": facts["labels"], "labels_signs.txt": ["a", "b"]}
    found = read(facts, [end("image", 4, 6, 3)], [end("logits", 2), end("angle", 1)])
    logits, angle = found["subgraph_metadata"][0]["output_tensor_metadata"]
    assert logits["associated_files"] == [{"name": "labels_signs.txt", "type": 2}]
    assert "associated_files" not in angle and angle["description"] == "number"


def test_rows_are_features_and_no_pixels():
    found = read({"input": {"columns": ["x"], "feed": "raw"}}, [end("row", 1)], [end("number", 1)])
    (row,) = found["subgraph_metadata"][0]["input_tensor_metadata"]
    content = {"content_properties_type": 1, "content_properties": {}}
    assert row == {"name": "row", "description": "raw", "content": content}
