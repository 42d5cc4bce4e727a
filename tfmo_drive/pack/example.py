"""What does the model say of an image? From model.json and nothing else.

    python example.py image.jpg

Needs numpy, Pillow and ai-edge-litert.
"""
# ruff: noqa: E402

import sys

if __name__ == "__main__":  # Python looks beside a script first, where a numpy.py would run
    if not sys.flags.isolated and not getattr(sys.flags, "safe_path", False):
        del sys.path[:1]
    import os

    _here = os.path.dirname(os.path.realpath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry or os.curdir) != _here]

import json
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

HERE = Path(__file__).resolve().parent
FACTS = json.loads((HERE / "model.json").read_text(encoding="utf-8"))
RULES = {"bilinear_antialias": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC,
         "nearest": Image.Resampling.NEAREST}  # fmt: skip


def resized(image):
    """By the rule that the model was trained with: another one costs score."""
    facts = FACTS["input"]
    rule, width, height = facts["resize"], facts["width"], facts["height"]
    if rule["rule"] not in RULES:
        raise SystemExit(f"Resize as {rule['rule']} (cv2.INTER_LINEAR); Pillow cannot.")
    ratios = width / image.width, height / image.height
    if rule["fit"] == "stretch":
        return image.resize((width, height), RULES[rule["rule"]])
    if rule["fit"] == "center_crop":
        ratio = max(ratios)
        part = width / ratio, height / ratio
        left, top = (image.width - part[0]) / 2, (image.height - part[1]) / 2
        return image.resize((width, height), RULES[rule["rule"]], (left, top, left + part[0], top + part[1]))
    inner = max(1, round(min(ratios) * image.width)), max(1, round(min(ratios) * image.height))
    padded = Image.new("RGB", (width, height), (rule["pad"],) * 3)
    padded.paste(image.resize(inner, RULES[rule["rule"]]), ((width - inner[0]) // 2, (height - inner[1]) // 2))
    return padded


def stored(pixels):
    """Pixels 0..255 as the file's input holds them."""
    end = FACTS["tensors"]["inputs"][0]
    if "scale" not in end:
        return pixels.astype(end["dtype"])[None]
    limits = np.iinfo(end["dtype"])
    scaled = np.round(pixels / np.float32(end["scale"])) + end["zero_point"]
    return np.clip(scaled, limits.min, limits.max).astype(end["dtype"])[None]


def answers(pixels):
    """Outputs by name, as real numbers."""
    interpreter = Interpreter(str(HERE / "model.tflite"))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], stored(pixels))
    interpreter.invoke()
    found = {}
    for detail, end in zip(interpreter.get_output_details(), FACTS["tensors"]["outputs"], strict=True):
        values = interpreter.get_tensor(detail["index"])[0].astype(np.float32)
        found[end["name"]] = (values - end["zero_point"]) * end["scale"] if "scale" in end else values
        if not np.isfinite(values).all():
            raise SystemExit(f"{end['name']} holds numbers that are not finite, which is no answer.")
    return found


def said(outputs, facts):
    """Lines for a person."""
    output, names = facts["output"], facts.get("labels")
    only = next(iter(outputs.values()))
    if output["kind"] in ("logits", "probabilities", "sigmoids"):
        return [f"{names[i]}  ({only[i]:.2f})" for i in np.argsort(-only)[:3]]
    if output["kind"].startswith("segmentation"):
        counts = np.bincount(only.argmax(-1).ravel(), minlength=len(names))
        return [f"{names[i]}: {counts[i] / counts.sum():.0%} of the pixels" for i in np.argsort(-counts)[:5]]
    if output["kind"] == "detections":
        return [f"{names[label]} {score:.0%} at {np.round(box).astype(int).tolist()}"
                for score, label, box in detections(outputs, output)]  # fmt: skip
    return [f"{output['decode']}: {float(only[0]) * output.get('degrees', 1.0):+.1f}"]


def detections(outputs, facts):
    """(score, label, box x0, y0, x1, y1 in pixels of the model's input), best first, as model.json's `decode` says."""
    scores, sides, stride = 1 / (1 + np.exp(-outputs["scores"])), np.exp(outputs["boxes"]), facts["stride"]
    rows, columns, _ = scores.shape
    padded = np.pad(scores, ((1, 1), (1, 1), (0, 0)))
    peaks = np.max([padded[i : i + rows, j : j + columns] for i in range(3) for j in range(3)], axis=0)
    found = []
    for y, x, label in zip(*np.nonzero((scores == peaks) & (scores >= facts["threshold"])), strict=True):
        left, top, right, bottom = sides[y, x]
        across, down = (x + 0.5) * stride, (y + 0.5) * stride
        box = np.array([across - left, down - top, across + right, down + bottom])
        found.append((float(scores[y, x, label]), int(label), box))
    kept = []
    for one in sorted(found, key=lambda one: -one[0])[: facts["candidates"]]:
        if all(other[1] != one[1] or overlap(other[2], one[2]) <= facts["iou"] for other in kept):
            kept.append(one)
    return kept[: facts["limit"]]


def overlap(a, b):
    """Intersection over union."""
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    both = np.prod(np.maximum(high - low, 0))
    return both / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - both)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("Type: python example.py image.jpg")
    try:
        image = Image.open(sys.argv[1]).convert("RGB")
    except (OSError, ValueError) as error:
        raise SystemExit(f"{sys.argv[1]} cannot be read as an image: {' '.join(str(error).split())}") from None
    made = np.asarray(resized(image))
    found = answers(made)
    parts = FACTS.get("parts") or {"": FACTS}
    for part, facts in parts.items():
        own = {name: found[name] for name in facts.get("outputs", found)}
        print("\n".join(f"{part} {line}".strip() for line in said(own, facts)) or "nothing")
