"""Writes everything that a board must know beside the graph into the model file itself, and reads it back.

`.tflite`: TensorFlow Lite Metadata (https://ai.google.dev/edge/litert/conversion/tensorflow/metadata), and where that
keeps associated files, a zip archive after the flatbuffer (model.json, labels.txt): `unzip -p model.tflite model.json`.
`.onnx`: one entry in metadata_props. Both end with the SHA-256 of all that is before it (the archive's comment, or the
last entry of metadata_props): a damaged file is refused, not run, because interpreters answer one with wrong numbers,
or take the process down with it.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import tfmo_drive
from tfmo_drive.base import atomic, environment
from tfmo_drive.base.given_file import reading
from tfmo_drive.contracts import BadInput
from tfmo_drive.runtimes import tflite_entry, tflite_file, tflite_metadata

_KEY = "tfmo_drive"
_JSON = "model.json"
_SUM = "sha256"
_DIGITS = 64


def describe(task: dict[str, Any], target: str, tensors: dict[str, Any], quantize_aware: bool) -> dict[str, Any]:
    """Returns a task's metadata with the target's name, the file's inputs and outputs and the versions that made it.

    Args:
        task: The task's own metadata, in JSON types.
        target: The target's name.
        tensors: The file's inputs and outputs, as `signature` of its format gives them.
        quantize_aware: Whether integer ranges are those that the model was trained with, rather than calibrated
            afterwards.
    """
    installed = {name: version for name, version in environment.versions().items() if version}
    made_by = {"tfmo-drive": tfmo_drive.__version__, **installed}
    return {**task, "target": target, "tensors": tensors, "quantize_aware": quantize_aware, "made_by": made_by}


def save(path: Path, model: bytes, metadata: dict[str, Any]) -> None:
    """Writes `model` (a `.tflite` or `.onnx` file's bytes) with `metadata` (JSON types) inside, atomically.

    Equal arguments give equal bytes. Older metadata in `model` is replaced.
    """
    attach = _attach_onnx if Path(path).suffix == ".onnx" else _attach_tflite
    atomic.write_bytes(path, attach(model, metadata))


def write(path: Path, metadata: dict[str, Any]) -> None:
    """Puts `metadata` into the existing file."""
    save(path, Path(path).read_bytes(), metadata)


def read(path: Path) -> dict[str, Any]:
    """Returns the metadata of a file.

    Raises BadInput where it is missing, carries none, or was changed since it was written.
    """
    path = Path(path)
    if not path.exists():
        raise BadInput(f"{path} does not exist. Give the path of a .tflite or .onnx file.")
    with reading(path, f"a {'ONNX' if path.suffix == '.onnx' else 'TensorFlow Lite'} model"):
        data = path.read_bytes()
        text = _read_onnx(data) if path.suffix == ".onnx" else _read_tflite(data)
        if text is None:
            raise BadInput(
                f"{path} carries no tfmo_drive metadata; only files written by tfmo_drive can be read alone. "
                "Make one with tfmo-drive run --experiment=post_training."
            )
        _refuse_damaged(path, data)
        return json.loads(text)


def inputs(metadata: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns what a file's metadata says of each of its inputs, by their names in the file.

    A file of one input says it in `input`, one of several in `inputs`.
    """
    ends = metadata.get("tensors", {}).get("inputs", [])
    return metadata.get("inputs") or {end["name"]: metadata.get("input", {}) for end in ends}


def refuse_damaged(path: Path) -> None:
    """Raises BadInput where a `.tflite` was changed since it was written here; a file without a SHA-256 passes."""
    with reading(path, "a TensorFlow Lite model"):
        data = Path(path).read_bytes()
        if data[:-_DIGITS].endswith(f"{_SUM} ".encode()):
            _refuse_damaged(path, data)


def _refuse_damaged(path: Path, data: bytes) -> None:
    if not data.endswith(_summed(data[:-_DIGITS])):
        raise BadInput(f"{path} is damaged: its SHA-256 is not the one that it was written with. Get it again.")


def _summed(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode()


def flatbuffer(data: bytes) -> bytes:
    """Returns the bytes of a `.tflite` without the archive behind it, where it has one."""
    if not zipfile.is_zipfile(stream := io.BytesIO(data)):
        return data
    with zipfile.ZipFile(stream) as archive:
        return data[: min(entry.header_offset for entry in archive.infolist())]


def _attach_tflite(model: bytes, metadata: dict[str, Any]) -> bytes:
    model = flatbuffer(model)
    entry = tflite_metadata.described(metadata, tflite_file.signature(model))
    stream = io.BytesIO(tflite_entry.put(model, tflite_metadata.NAME, entry))
    with zipfile.ZipFile(stream, "a") as archive:
        files = {_JSON: json.dumps(metadata, indent=1, sort_keys=True) + "\n"}
        for name, labels in tflite_metadata.label_files(metadata).items():
            files[name] = "".join(f"{label}\n" for label in labels)
        for name, text in files.items():
            entry = zipfile.ZipInfo(name)  # its date is 1980-01-01: equal input, equal bytes
            entry.compress_type, entry.create_system = zipfile.ZIP_STORED, 3  # MediaPipe refuses what is deflated
            archive.writestr(entry, text)
        archive.comment = f"{_SUM} {'0' * _DIGITS}".encode()
    data = stream.getvalue()[:-_DIGITS]
    return data + _summed(data)


def _read_tflite(data: bytes) -> str | None:
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return None
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.read(_JSON).decode() if _JSON in archive.namelist() else None


def _attach_onnx(model: bytes, metadata: dict[str, Any]) -> bytes:
    import onnx

    proto = onnx.load_from_string(model)
    kept = [entry for entry in proto.metadata_props if entry.key not in (_KEY, f"{_KEY}.{_SUM}")]
    del proto.metadata_props[:]
    proto.metadata_props.extend(kept)
    proto.metadata_props.add(key=_KEY, value=json.dumps(metadata, sort_keys=True))
    data = proto.SerializeToString(deterministic=True)
    # Messages that stand one behind the other are one message, so the last bytes are the last entry's.
    last = onnx.ModelProto()
    last.metadata_props.add(key=f"{_KEY}.{_SUM}", value="0" * _DIGITS)
    data += last.SerializeToString()[:-_DIGITS]
    return data + _summed(data)


def _read_onnx(data: bytes) -> str | None:
    import onnx

    proto = onnx.load_from_string(data)
    return next((entry.value for entry in proto.metadata_props if entry.key == _KEY), None)
