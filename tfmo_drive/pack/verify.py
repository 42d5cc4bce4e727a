"""Does this pack say here what it said where it was made?

    python verify.py

Needs numpy and ai-edge-litert (or, on a microcontroller's developer machine, tflite-micro beside them), nothing else.
Prints one line for everything that is wrong; exit code 1 if anything is.
"""

import hashlib
import json
import sys
import zipfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
SUMS = "SHA256SUMS"


def sums():
    """Every file is as it was packed, none is missing, none is new. (`sha256sum -c SHA256SUMS` says the first two.)"""
    listed = dict(reversed(line.split("  ", 1)) for line in (HERE / SUMS).read_text().splitlines())
    there = {path.name for path in HERE.iterdir() if path.is_file() and path.name != SUMS}
    yield from (f"{name} is missing" for name in sorted(set(listed) - there))
    yield from (f"{name} was not packed" for name in sorted(there - set(listed)))
    for name in sorted(there & set(listed)):
        if hashlib.sha256((HERE / name).read_bytes()).hexdigest() != listed[name]:
            yield f"{name} was changed: its SHA-256 is another"


def opened(kernels):
    """An interpreter on LiteRT's "reference" kernels, whose integers are the same everywhere, or on "xnnpack"."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    resolver = OpResolverType.BUILTIN_REF if kernels == "reference" else OpResolverType.AUTO
    interpreter = Interpreter(str(HERE / "model.tflite"), num_threads=1, experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    return interpreter


def ends(facts, interpreter):
    """Inputs and outputs are called, shaped and scaled as model.json says."""
    for kind, details in (("inputs", interpreter.get_input_details()), ("outputs", interpreter.get_output_details())):
        wanted = facts["tensors"][kind]
        if len(details) != len(wanted):
            yield f"model.tflite has {len(details)} {kind}, model.json says {len(wanted)}"
            continue
        for told, found in zip(wanted, details, strict=True):
            for what, has in described(found).items():
                if what in told and told[what] != has:
                    yield f"{kind[:-1]} {told['name']}: {what} is {has}, model.json says {told[what]}"
    ((_, signature),) = interpreter.get_signature_list().items()
    for kind in ("inputs", "outputs"):
        names = sorted(told["name"] for told in facts["tensors"][kind])
        if sorted(signature[kind]) != names:
            yield f"the signature's {kind} are {sorted(signature[kind])}, model.json says {names}"


def described(detail):
    """A tensor as model.json describes it."""
    scale, zero_point = detail["quantization"]
    found = {"name": detail["name"], "shape": detail["shape"].tolist(), "dtype": np.dtype(detail["dtype"]).name}
    return found | ({"scale": float(scale), "zero_point": int(zero_point)} if scale else {})


def labels(facts):
    """The same classes in model.json, in labels.txt and inside the model, and one output for each."""
    told = facts.get("labels")
    if told is None:
        return
    if (HERE / "labels.txt").read_text().splitlines() != told:
        yield "labels.txt and model.json do not name the same classes"
    with zipfile.ZipFile(HERE / "model.tflite") as archive:
        if archive.read("labels.txt").decode().splitlines() != told:
            yield "the labels inside model.tflite are not those of model.json"
    sizes = {end["name"]: end["shape"][-1] for end in facts["tensors"]["outputs"]}
    for part in (facts.get("parts") or {"": facts}).values():
        if part["output"].get("kind") in ("logits", "probabilities", "segmentation logits"):
            name = part.get("outputs", list(sizes))[0]
            if sizes[name] != len(part["labels"]):
                yield f"model.json names {len(part['labels'])} classes, {name} has {sizes[name]}"


def fed(facts, raw):
    """Raw golden inputs (images: uint8 RGB [n, h, w, 3]) as the file's first input takes them."""
    end, image = facts["tensors"]["inputs"][0], facts["input"]
    if "colour_order" in image:
        raw = raw[..., ["RGB".index(channel) for channel in image["colour_order"]]]
        raw = np.moveaxis(raw, -1, 1) if image["layout"] == "NCHW" else raw
    if "scale" not in end:
        return raw.astype(end["dtype"])
    limits = np.iinfo(end["dtype"])
    stored = np.round(raw / np.float32(end["scale"])) + end["zero_point"]
    return np.clip(stored, limits.min, limits.max).astype(end["dtype"])


def golden(facts, interpreter, kernels):
    """The golden inputs give the golden outputs: exactly, or within model.json's bound with the same decisions."""
    kept, bound = np.load(HERE / "golden.npz"), facts["golden"]["bound_lsb"][kernels]
    entry, exits = interpreter.get_input_details()[0], interpreter.get_output_details()
    inputs = fed(facts, kept["inputs"])
    if list(inputs.shape[1:]) != entry["shape"][1:].tolist():
        yield f"golden inputs are {inputs.shape[1:]} as model.json has them made, the model takes {entry['shape'][1:]}"
        return
    found = {end["name"]: [] for end in exits}
    for one in inputs:
        interpreter.set_tensor(entry["index"], one[None])
        interpreter.invoke()
        for end in exits:
            found[end["name"]].append(interpreter.get_tensor(end["index"])[0])
    for name, answers in found.items():
        if name not in kept:
            yield f"there is no golden output for {name}"
            continue
        ours, theirs = np.stack(answers), kept[name]
        apart = np.abs(ours.astype(np.float64) - theirs).max()
        if apart > bound:
            yield f"{kernels}: {name} is up to {apart:g} steps from the golden outputs, {bound:g} are allowed"
        if facts["golden"]["decided"] and not np.array_equal(ours.argmax(-1), theirs.argmax(-1)):
            yield f"{kernels}: {name} decides otherwise than the golden outputs"


def faults():
    """One line for each."""
    yield from sums()
    try:
        facts = json.loads((HERE / "model.json").read_text())
        yield from labels(facts)
        for kernels in ("reference", "xnnpack"):
            interpreter = opened(kernels)
            if kernels == "reference":
                yield from ends(facts, interpreter)
            yield from golden(facts, interpreter, kernels)
    except Exception as error:  # whatever a broken file does to its reader, it is a fault of the pack
        yield f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def main():
    found = list(faults())
    print("\n".join(found) or "Everything is as it was packed, and says what it said.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
