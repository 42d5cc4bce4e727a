"""What does this model file say of these images? From the file's own metadata, without TensorFlow.

python -m tfmo_drive.predict model.tflite image.jpg [more.jpg]
python -m tfmo_drive.predict --top=3 model.onnx *.png
"""

from __future__ import annotations

from typing import Any

import numpy as np
from absl import app, flags

from tfmo_drive.contracts import BadInput
from tfmo_drive.core import artifact_metadata, interpreters
from tfmo_drive.core.command_line import guarded
from tfmo_drive.core.images import Resize, decode

_TOP = flags.DEFINE_integer("top", 5, "How many classes to print for each image.", lower_bound=1)


def classify(outputs: np.ndarray, metadata: dict[str, Any], top: int) -> list[tuple[str, float]]:
    """The `top` labels with their probabilities, best first. outputs: float32 [classes], logits or probabilities."""
    values = outputs.astype(np.float64)
    if metadata["output"]["kind"] == "logits":
        values = np.exp(values - values.max())
        values /= values.sum()
    return [(metadata["labels"][i], float(values[i])) for i in np.argsort(-values, kind="stable")[:top]]


def _answer(model: str, files: list[str], top: int) -> None:
    metadata = artifact_metadata.read(model)
    if metadata.get("task") != "classification":
        raise BadInput(
            f"{model} does {metadata.get('task')}, and predict prints classes only. Give a classification model."
        )
    artifact, rule = interpreters.load(model), metadata["input"]
    size, resize = (rule["height"], rule["width"]), Resize.from_dict(rule["resize"])
    for file in files:
        outputs = artifact.predict(decode(file, size, resize)[None])[0]
        print(file)
        for label, probability in classify(outputs, metadata, top):
            print(f"  {probability:6.1%}  {label}")


def main(argv: list[str]) -> int:
    if len(argv) < 3:
        raise BadInput("Give a model and at least one image: python -m tfmo_drive.predict model.tflite image.jpg")
    _answer(argv[1], argv[2:], _TOP.value)
    return 0


if __name__ == "__main__":
    app.run(guarded(main))
