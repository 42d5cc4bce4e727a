"""Prints what the model answers for an image, rows of numbers or arrays, from model.json and nothing else.

    python example.py image.jpg
    python example.py rows.csv
    python example.py arrays.npy
    python example.py image=image.jpg speed=12.5

Which of them the model takes stands in model.json's `input`, or of several inputs by name in `inputs`, and how its
outputs are read in `decode`. Needs numpy, Pillow and ai-edge-litert.
"""
# ruff: noqa: E402

import sys

if __name__ == "__main__":  # Python looks beside a script first, where a numpy.py would run
    if not sys.flags.isolated and not getattr(sys.flags, "safe_path", False):
        del sys.path[:1]
    import os

    _here = os.path.dirname(os.path.realpath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry or os.curdir) != _here]

import csv
import json
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
CLASSES = ("logits", "probabilities", "sigmoids")
"""The kinds of output that are one value for each class; before a mask of them stands "segmentation "."""
EACH = ("detections", "labels")
"""The kinds of output all of whose answers are told."""
TOP = 5
"""The number of classes that are printed."""


def parts(facts):
    """Returns the facts of each task that the model does, by its name; the only task of a model has none."""
    return facts.get("parts") or {"": facts}


def decoded(outputs, facts):
    """Returns the answers in a model's outputs by a task's `decode`, the surest, largest or only one first.

    Each is a dictionary: {"label", "score"} for classes, and for labels, where those below the threshold are left out;
    {"label", "share"} of its pixels for a mask; {"label", "score", "box"} for a detector, x0, y0, x1, y1 in pixels of
    the model's input; {"value", "unit"} for a number, and for each of others.

    Args:
        outputs: Real numbers of one example, by name.
        facts: The task's part of model.json.

    Raises:
        ValueError: The outputs are not what `decode` says.
    """
    decode, labels = facts["decode"], facts.get("labels", [])
    kind, values = decode["kind"], next(iter(outputs.values()))
    if kind == "number":
        return [{"value": float(np.ravel(values)[0]) * decode["scale"] + decode["offset"], "unit": decode["unit"]}]
    if kind == "other":
        return [{"value": float(value), "unit": ""} for value in np.ravel(values)]
    if kind == "detections":
        return [{"label": labels[label], "score": score, "box": box.tolist()}
                for score, label, box in detections(outputs, decode, facts["input"])]  # fmt: skip
    masked = kind.startswith("segmentation ")
    if kind.removeprefix("segmentation ") not in (*CLASSES, "labels"):
        raise ValueError(f"its metadata tells of {kind}, which nothing here reads")
    if values.shape[-1:] != (len(labels),) or values.ndim != (3 if masked else 1):
        raise ValueError(f"its metadata tells of {kind} of {len(labels)} classes, and its outputs are {values.shape}")
    if masked:
        shares = np.bincount(values.argmax(-1).ravel(), minlength=len(labels)) / values[..., 0].size
        return [{"label": labels[i], "share": float(shares[i])} for i in np.argsort(-shares, kind="stable")]
    values = values.astype(np.float64)
    if kind == "logits":
        values = np.exp(values - values.max())
        values /= values.sum()
    least = decode["threshold"] if kind == "labels" else -np.inf
    return [{"label": labels[i], "score": float(values[i])} for i in np.argsort(-values, kind="stable")
            if values[i] >= least]  # fmt: skip


def detections(outputs, facts, image):
    """Returns (score, label, box), best first, as model.json's `rule` says.

    A box is x0, y0, x1, y1 in pixels of the model's input.
    """
    stride, width, height = facts["stride"], image["width"], image["height"]
    rows, columns = -(-height // stride), -(-width // stride)  # the last cells may be cut
    if "scores" in outputs:
        scores, sides = 1 / (1 + np.exp(-outputs["scores"])), np.exp(outputs["boxes"]) * np.array([-1, -1, 1, 1])
        y, x = np.meshgrid((np.arange(rows) + 0.5) * stride, (np.arange(columns) + 0.5) * stride, indexing="ij")
        boxes = np.stack([x, y, x, y], axis=-1) + sides
    else:  # decoded inside the model: boxes in pixels and scores side by side
        joined = next(iter(outputs.values())).reshape(rows, columns, -1)
        boxes, scores = joined[..., :4], joined[..., 4:]
    boxes = np.clip(boxes, 0, [width, height, width, height])
    padded = np.pad(scores, ((1, 1), (1, 1), (0, 0)))
    peaks = np.max([padded[i : i + rows, j : j + columns] for i in range(3) for j in range(3)], axis=0)
    found = [(float(scores[y, x, label]), int(label), boxes[y, x]) for y, x, label in
             zip(*np.nonzero((scores == peaks) & (scores >= facts["threshold"])), strict=True)]  # fmt: skip
    kept = []
    for one in sorted(found, key=lambda one: -one[0])[: facts["candidates"]]:
        if all(other[1] != one[1] or overlap(other[2], one[2]) <= facts["iou"] for other in kept):
            kept.append(one)
    return kept[: facts["limit"]]


def overlap(a, b):
    """Returns the intersection over union of two boxes."""
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    both = np.prod(np.maximum(high - low, 0))
    return both / max(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - both, 1e-9)


def line(answer, facts):
    """Returns one of `decoded`'s answers for a person."""
    if "value" in answer:
        side = facts["decode"].get("positive")
        number = f"{answer['value']:{'+' if side else ''}.4g}"
        return " ".join(filter(None, (number, answer["unit"], f"(positive {side})" if side else "")))
    text = f"{answer.get('score', answer.get('share')):6.1%}  {answer['label']}"
    return text + ("  at " + ", ".join(f"{edge:.0f}" for edge in answer["box"]) if "box" in answer else "")


def lines(outputs, facts, decode=decoded, top=TOP):
    """Yields the answers of one example for a person: at most `top` classes of each task, or all that it detects.

    A task's name, where it has one, stands before its answers. Outputs are by name.
    """
    for name, own in parts(facts).items():
        found = decode({end: outputs[end] for end in own.get("outputs", outputs)}, own)
        told = found if own["decode"]["kind"] in EACH else found[:top]
        for text in [line(answer, own) for answer in told] or ["nothing"]:
            yield f"{name}: {text}" if name else text


def rows(path, columns):
    """Returns float32 [n, columns] from a CSV file whose first line names them, among others perhaps.

    Raises ValueError where a column is missing or a cell is no number.
    """
    with open(path, encoding="utf-8-sig", newline="") as file:
        table = [{key.strip(): cell for key, cell in row.items() if key} for row in csv.DictReader(file)]
    missing = [name for name in columns if not table or name not in table[0]]
    if missing:
        raise ValueError(f"it has no column {missing[0]!r} in a first line and rows below; the model takes {columns}")
    try:
        return np.array([[float(row[name]) for name in columns] for row in table], np.float32)
    except TypeError:
        raise ValueError("one of its rows is shorter than the first line") from None


def arrays(path, facts):
    """Returns one example or several, [n, ...], from a .npy file; raises ValueError where the model takes others."""
    found, shape = np.load(path, allow_pickle=False), tuple(facts["shape"])
    if found.dtype.name != facts["dtype"] or found.shape not in (shape, (len(found), *shape)):
        raise ValueError(f"it holds {found.dtype.name} {found.shape}; the model takes {facts['dtype']} {shape}")
    return found.reshape(-1, *shape)


def resized(image, facts):
    """Resizes an image by the rule that the model was trained with: another one costs score."""
    from PIL import Image

    rules = {"bilinear_antialias": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC,
             "nearest": Image.Resampling.NEAREST}  # fmt: skip
    if image.mode == "RGBA":  # every channel by itself: Pillow would weight colours by alpha
        return Image.merge("RGBA", [resized(band, facts) for band in image.split()])
    rule, width, height = facts["resize"], facts["width"], facts["height"]
    if rule["rule"] not in rules:
        raise SystemExit(f"Resize as {rule['rule']} (cv2.INTER_LINEAR); Pillow cannot.")
    ratios = width / image.width, height / image.height
    if rule["fit"] == "stretch":
        return image.resize((width, height), rules[rule["rule"]])
    if rule["fit"] == "center_crop":
        ratio = max(ratios)
        part = width / ratio, height / ratio
        left, top = (image.width - part[0]) / 2, (image.height - part[1]) / 2
        return image.resize((width, height), rules[rule["rule"]], (left, top, left + part[0], top + part[1]))
    inner = max(1, round(min(ratios) * image.width)), max(1, round(min(ratios) * image.height))
    padded = Image.new(image.mode, (width, height), (rule["pad"],) * len(image.getbands()))
    padded.paste(image.resize(inner, rules[rule["rule"]]), ((width - inner[0]) // 2, (height - inner[1]) // 2))
    return padded


def read(path, facts):
    """Returns the raw inputs of a file: an image, uint8 [1, h, w, channels], rows, float32 [n, columns], or arrays."""
    if "columns" in facts:
        return rows(path, facts["columns"])
    if "shape" in facts:
        return arrays(path, facts)
    from PIL import Image, ImageOps

    image, mode = ImageOps.exif_transpose(Image.open(path)), facts["colour_order"]  # Pillow's "L" is grey
    if image.mode.startswith("I"):  # 16-bit grey, which Pillow would clip at 255
        image = Image.fromarray((np.asarray(image, np.int64).clip(0, 65535) >> 8).astype(np.uint8))
    if mode == "RGBA" and not image.has_transparency_data:
        raise ValueError("it has no fourth channel (alpha), which the model takes")
    return np.asarray(resized(image.convert(mode), facts)).reshape(1, facts["height"], facts["width"], len(mode))


def several(words, told, reader=read):
    """Returns the raw inputs [n, ...] by name of words such as `image=image.jpg` and `speed=12.5`.

    Behind a name stands a file, or where the input is columns, numbers with commas between. One example of an input
    goes with all of another.

    Raises:
        ValueError: They are not the inputs that `told`, model.json's `inputs`, names.
    """
    given = dict(word.split("=", 1) if "=" in word else (word, "") for word in words)
    if given.keys() != told.keys() or len(given) != len(words):
        wanted = " ".join(f"{name}={'NUMBER' if 'columns' in one else 'FILE'}" for name, one in told.items())
        raise ValueError(f"the model takes {wanted}, each once")
    found = {name: numbers(given[name], told[name]) for name in told}
    found |= {name: reader(given[name], told[name]) for name, one in found.items() if one is None}
    count = max(map(len, found.values()))
    if any(len(one) not in (1, count) for one in found.values()):
        raise ValueError(f"its inputs hold {', '.join(f'{len(one)} {name}' for name, one in found.items())}")
    return {name: np.repeat(one, count, axis=0) if len(one) == 1 else one for name, one in found.items()}


def numbers(text, facts):
    """Returns one row, float32 [1, columns], of numbers with commas between; None where they are others."""
    try:
        row = [float(number) for number in text.split(",")]
    except ValueError:
        return None
    return np.float32([row]) if len(row) == len(facts.get("columns", ())) else None


def stored(raw, end):
    """Returns a raw input as the file's own input holds it."""
    if "scale" not in end:
        return raw.astype(end["dtype"])[None]
    limits = np.iinfo(end["dtype"])
    scaled = np.round(raw / np.float32(end["scale"])) + end["zero_point"]
    return np.clip(scaled, limits.min, limits.max).astype(end["dtype"])[None]


def answers(interpreter, raw, ends):
    """Returns the outputs of one raw input, or of several by name, as real numbers by name."""
    for detail, end in zip(interpreter.get_input_details(), ends["inputs"], strict=True):
        one = raw[end["name"]] if isinstance(raw, dict) else raw
        interpreter.set_tensor(detail["index"], stored(one, end))
    interpreter.invoke()
    found = {}
    for detail, end in zip(interpreter.get_output_details(), ends["outputs"], strict=True):
        values = interpreter.get_tensor(detail["index"])[0].astype(np.float32)
        found[end["name"]] = (values - end["zero_point"]) * end["scale"] if "scale" in end else values
        if not np.isfinite(values).all():
            raise SystemExit(f"{end['name']} holds numbers that are not finite, which is no answer.")
    return found


def main():
    """Prints the answers for the image or the rows that the command line names."""
    facts = json.loads((HERE / "model.json").read_text(encoding="utf-8"))
    kinds = {"columns": ("rows of numbers", "rows.csv"), "shape": ("arrays of numbers", "arrays.npy")}
    kind = next((kind for kind in kinds if kind in facts.get("input", ())), None)
    wanted, name = kinds.get(kind, ("an image", "image.jpg"))
    if "inputs" in facts:
        kind, wanted, name = "inputs", "the model's inputs", "NAME=FILE NAME=NUMBER"
    if len(sys.argv) != 2 and "inputs" not in facts:
        raise SystemExit(f"Type: python example.py {name}")
    try:
        made = several(sys.argv[1:], facts["inputs"]) if "inputs" in facts else read(sys.argv[1], facts["input"])
    except (OSError, ValueError) as error:
        said = " ".join(sys.argv[1:]) or "Nothing"
        raise SystemExit(f"{said} cannot be read as {wanted}: {' '.join(str(error).split())}") from None
    if isinstance(made, dict):
        made = [dict(zip(made, one, strict=True)) for one in zip(*made.values(), strict=True)]
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(HERE / "model.tflite"))
    interpreter.allocate_tensors()
    for number, raw in enumerate(made, start=1):
        said = lines(answers(interpreter, raw, facts["tensors"]), facts)
        print("\n".join([f"{'row' if kind == 'columns' else 'example'} {number}", *said] if kind else said))


if __name__ == "__main__":
    main()
