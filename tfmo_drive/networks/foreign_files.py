"""Says of files of models that are not read here what they are, and by which way their model comes in."""

from __future__ import annotations

from pathlib import Path

from tfmo_drive.contracts import BadInput

_FROM_TORCH = (
    "Build the network in PyTorch with these weights, and export it with the package litert-torch: turned = "
    "litert_torch.to_channel_last_io(model.eval(), args=[0]); litert_torch.convert(turned, (example,))"
    ".export('model.tflite')."
)
_FROM_ONNX = (
    "Convert it, as `onnx2tf -i {name}` of the package onnx2tf does, and give the float32 .tflite that it writes."
)
_AS_KERAS = "Load it into the network that it belongs to, and save the whole model: model.save('model.keras')."
_ORIGINAL = "Give the model that it was made from, as a Keras file or a .tflite."
_KINDS = {
    (".onnx",): ("an ONNX model, which can be written here and not read", _FROM_ONNX),
    (".pt", ".pth", ".pt2"): ("a PyTorch file", _FROM_TORCH),
    (".safetensors",): ("a file of weights alone, without the network that they belong to", _FROM_TORCH),
    (".pkl", ".pickle", ".joblib", ".dill"): (
        "a Python pickle, which runs code when it is read and is never read here",
        "Load it where you trust it, and save the model: model.save('model.keras') of Keras, or a .tflite.",
    ),
    (".pb",): (
        "a TensorFlow graph",
        "Of a SavedModel give the folder; convert a frozen graph, as tf.compat.v1.lite.TFLiteConverter"
        ".from_frozen_graph('{name}', [input], [output]) does, and give the .tflite.",
    ),
    (".ckpt", ".index", ".meta"): ("a checkpoint, which holds weights without their network", _AS_KERAS),
    (".npz", ".npy", ".mat"): ("a file of arrays, without the network that they belong to", _AS_KERAS),
    (".bin",): ("a file of weights without their network, or of another runtime", _ORIGINAL),
    (".json", ".yaml", ".yml"): ("a text, which has no weights", "Save the whole model: model.save('model.keras')."),
    (".mlmodel", ".mlpackage"): ("a Core ML model, from which nothing converts back", _ORIGINAL),
    (".engine", ".plan", ".trt"): ("a TensorRT engine, built for one kind of GPU; nothing converts it back", _ORIGINAL),
    (".rknn", ".hef", ".dlc", ".om", ".xml"): ("a model of another runtime, which is not read here", _ORIGINAL),
}  # fmt: skip
"""(what it is, what to do) by the ends of files' names, in small letters."""


def refuse(path: Path, setting: str) -> None:
    """Raises BadInput, which names what a file is and what to do, where its name ends as other libraries' files do.

    Nothing of the file is read.

    Args:
        path: The file, or folder.
        setting: The setting that names it, with which the line begins.
    """
    for ends, (kind, advice) in _KINDS.items():
        if path.suffix.lower() in ends:
            raise BadInput(f"{setting}: {path} is {kind}. {advice.format(name=path.name)}")
