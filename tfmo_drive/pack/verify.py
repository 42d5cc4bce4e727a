"""Checks that this pack answers here what it answered where it was made.

    python verify.py

Needs numpy and ai-edge-litert, nothing else. Prints one line for everything that is wrong; exit code 1 if anything is.
It finds accidents and careless hands; whoever can write here can write another verify.py too: to be sure of a sender,
compare the digest of SHA256SUMS with theirs.
"""
# ruff: noqa: E402

import sys

if __name__ == "__main__":  # Python looks beside a script first, where a numpy.py would run and say what it likes
    if not sys.flags.isolated and not getattr(sys.flags, "safe_path", False):
        del sys.path[:1]
    import os

    _here = os.path.dirname(os.path.realpath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry or os.curdir) != _here]

import contextlib
import hashlib
import json
import math
import os
import re
import stat
import zipfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
SUMS = "SHA256SUMS"
DECIDED = ("logits", "probabilities", "sigmoids")
"""The kinds of output whose arg max is the decision."""
MAPS = tuple(f"segmentation {kind}" for kind in DECIDED)
KINDS = {**dict.fromkeys(DECIDED, "kClasses"), **dict.fromkeys(MAPS, "kMask"), "labels": "kLabels",
         "detections": "kDetections", "number": "kNumber", "other": "kOther"}  # fmt: skip
"""The kinds of `decode`, and their names in model_facts.h."""
NEEDED = {"number": ("scale", "offset", "unit"), "labels": ("threshold",),
          "detections": ("stride", "threshold", "candidates", "iou", "limit")}  # fmt: skip
"""The keys that `decode` must have beside its kind."""
MOST_STEPS = 127
"""The largest bound: half of int8's steps, or more, would let anything pass."""


def others():
    """Yields what is no file at all: links, folders, pipes, devices; nothing here is read before there are none."""
    for entry in sorted(os.scandir(HERE), key=lambda entry: entry.name):
        mode = entry.stat(follow_symlinks=False).st_mode
        if not stat.S_ISREG(mode):
            kind = "a link" if stat.S_ISLNK(mode) else "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
            yield f"{entry.name} is {kind}, and was not packed"


def sums():
    """Checks that every file is as it was packed, none is missing and none is new.

    `sha256sum -c SHA256SUMS` checks the first two.
    """
    listed, folded = {}, {}
    for number, line in enumerate((HERE / SUMS).read_text(encoding="utf-8").split("\n"), start=1):
        found = re.fullmatch(r"([0-9a-f]{64})  ([^/\\]+)", line)
        if not found:
            if line or number == 1:
                yield f"{SUMS}, line {number} is not a digest, two spaces and the name of a file here"
            continue
        digest, name = found.groups()
        if name.casefold() in folded:
            yield f"{SUMS} names {name} twice (as {folded[name.casefold()]})"
        listed[name] = digest
        folded[name.casefold()] = name
    there = {name for name in os.listdir(HERE) if name != SUMS}
    yield from (f"{name} is missing" for name in sorted(set(listed) - there))
    yield from (f"{name} was not packed" for name in sorted(there - set(listed)))
    for name in sorted(there & set(listed)):
        if digest_of(name) != listed[name]:
            yield f"{name} was changed: its SHA-256 is another"


def files(facts):
    """Checks the digests in model.json, which a forger of SHA256SUMS may forget."""
    told = facts["files"]
    there = set(os.listdir(HERE)) - {SUMS, "model.json"}
    yield from (f"{name} is not among model.json's files" for name in sorted(there - set(told)))
    yield from (f"{name} is among model.json's files, and not here" for name in sorted(set(told) - there))
    yield from (f"{name} is not the file that model.json tells of" for name in sorted(there & set(told))
                if digest_of(name) != told[name])  # fmt: skip
    if digest_of("model.tflite") != facts["sha256"]:
        yield "model.tflite is not the file whose sha256 model.json has"


def digest_of(name):
    """Returns the SHA-256 of a file of the pack."""
    return hashlib.sha256((HERE / name).read_bytes()).hexdigest()


def opened(kernels):
    """Returns an interpreter on LiteRT's "reference" or "xnnpack" kernels.

    The integers of the reference kernels are the same everywhere.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    resolver = OpResolverType.BUILTIN_REF if kernels == "reference" else OpResolverType.AUTO
    with silent():
        interpreter = Interpreter(str(HERE / "model.tflite"), num_threads=1, experimental_op_resolver_type=resolver)
        interpreter.allocate_tensors()
    return interpreter


@contextlib.contextmanager
def silent():
    """Keeps what native code says when it starts from the terminal; what goes wrong is raised."""
    terminal, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)
        os.close(nowhere)


def ends(facts, interpreter):
    """Checks that inputs and outputs are called, shaped and scaled as model.json says."""
    for kind, details in (("inputs", interpreter.get_input_details()), ("outputs", interpreter.get_output_details())):
        wanted = facts["tensors"][kind]
        if len(details) != len(wanted):
            yield f"model.tflite has {len(details)} {kind}, model.json says {len(wanted)}"
            continue
        for told, found in zip(wanted, details, strict=True):
            has = described(found)
            for what in ("name", "shape", "dtype", "scale", "zero_point"):
                if told.get(what) != has.get(what):
                    yield f"{kind[:-1]} {told.get('name')}: {what} is {has.get(what)}, model.json says {told.get(what)}"
    ((_, signature),) = interpreter.get_signature_list().items()
    for kind in ("inputs", "outputs"):
        names = sorted(told["name"] for told in facts["tensors"][kind])
        if sorted(signature[kind]) != names:
            yield f"the signature's {kind} are {sorted(signature[kind])}, model.json says {names}"


def described(detail):
    """Returns a tensor as model.json describes it."""
    scale, zero_point = detail["quantization"]
    found = {"name": detail["name"], "shape": detail["shape"].tolist(), "dtype": np.dtype(detail["dtype"]).name}
    return found | ({"scale": float(scale), "zero_point": int(zero_point)} if scale else {})


def parts(facts):
    """Returns (name of its first output, its facts) for each task that the model does."""
    first = facts["tensors"]["outputs"][0]["name"]
    return [(part.get("outputs", [first])[0], part) for part in (facts.get("parts") or {"": facts}).values()]


def labels(facts):
    """Checks that model.json, labels.txt and the model name the same classes, and that each has one output."""
    told = facts.get("labels")
    if told is None:
        return
    text = "".join(f"{label}\n" for label in told)
    if (HERE / "labels.txt").read_bytes().decode() != text:
        yield "labels.txt and model.json do not name the same classes"
    with zipfile.ZipFile(HERE / "model.tflite") as archive:
        if archive.read("labels.txt").decode() != text:
            yield "the labels inside model.tflite are not those of model.json"
    sizes = {end["name"]: end["shape"][-1] for end in facts["tensors"]["outputs"]}
    for name, part in parts(facts):
        if part["decode"].get("kind") in (*DECIDED, *MAPS, "labels") and sizes[name] != len(part["labels"]):
            yield f"model.json names {len(part['labels'])} classes, {name} has {sizes[name]}"


def decodes(facts):
    """Checks that each task's `decode` has all that reading its outputs takes."""
    for name, part in parts(facts):
        decode = part.get("decode", {})
        kind = decode.get("kind")
        if kind not in KINDS:
            yield f"model.json says that {name} is of {kind}, which nothing here reads"
        yield from (f"model.json does not say the {key} of {name}" for key in NEEDED.get(kind, ()) if key not in decode)


def takes(facts):
    """Returns each input in the file's order: as the file has it, how a board makes it, its name in golden.npz."""
    several = facts.get("inputs")
    return [(end, several[end["name"]], f"inputs {end['name']}") if several else (end, facts["input"], "inputs")
            for end in facts["tensors"]["inputs"]]  # fmt: skip


def fed(end, image, raw):
    """Returns raw golden inputs (images: uint8 [n, h, w, channels]) as an input of the file takes them."""
    if "colour_order" in image:
        order = {1: "L", 3: "RGB", 4: "RGBA"}[raw.shape[-1]]
        raw = raw[..., [order.index(channel) for channel in image["colour_order"]]]
        raw = np.moveaxis(raw, -1, 1) if image["layout"] == "NCHW" else raw
    if "scale" not in end:
        return raw.astype(end["dtype"])
    limits = np.iinfo(end["dtype"])
    stored = np.round(raw / np.float32(end["scale"])) + end["zero_point"]
    return np.clip(stored, limits.min, limits.max).astype(end["dtype"])


def golden(facts, interpreter, kernels):
    """Checks that the golden inputs give the golden outputs.

    They must be equal, or within model.json's bound with the same decisions.
    """
    kept, bound = np.load(HERE / "golden.npz"), facts["golden"]["bound_lsb"][kernels]
    entries, exits = interpreter.get_input_details(), interpreter.get_output_details()
    given = [fed(end, image, kept[name]) for end, image, name in takes(facts)]
    for entry, inputs in zip(entries, given, strict=True):
        if list(inputs.shape[1:]) != entry["shape"][1:].tolist():
            yield (f"golden inputs are {inputs.shape[1:]} as model.json has them made, the model takes "
                   f"{entry['shape'][1:]}")  # fmt: skip
            return
    found = {end["name"]: [] for end in exits}
    for example in zip(*given, strict=True):
        for entry, one in zip(entries, example, strict=True):
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
        if not apart <= bound:
            yield f"{kernels}: {name} is up to {apart:g} steps from the golden outputs, {bound:g} are allowed"
        if facts["golden"]["decided"] and not np.array_equal(ours.argmax(-1), theirs.argmax(-1)):
            yield f"{kernels}: {name} decides otherwise than the golden outputs"


def clear(answers, bound):
    """Returns, bool [n], whether no answer within `bound` steps of these, integers [n, classes], decides otherwise."""
    best = np.sort(answers.astype(np.int64), axis=-1)
    return best[:, -1] - best[:, -2] > 2 * bound if best.shape[-1] > 1 else np.zeros(len(best), bool)


def meaning(facts):
    """Checks that the golden set is what model.json says: as large, as close, as clear, and of its kind."""
    kept, said, exits = dict(np.load(HERE / "golden.npz")), facts["golden"], facts["tensors"]["outputs"]
    wanted = {name: None for _, _, name in takes(facts)} | {end["name"]: end["dtype"] for end in exits}
    if kept.keys() != wanted.keys():
        yield f"golden.npz holds {sorted(kept)}, model.json's inputs and outputs are {sorted(wanted)}"
        return
    counts = {len(values) for values in kept.values()}
    if counts != {said["examples"]} or counts == {0}:
        yield f"golden.npz holds {sorted(counts)} examples, model.json says {said['examples']}"
        return
    yield from (f"golden {name} is {kept[name].dtype}, the output {dtype}" for name, dtype in wanted.items()
                if dtype and kept[name].dtype.name != dtype)  # fmt: skip
    exact, bound = (said["bound_lsb"].get(kernels) for kernels in ("reference", "xnnpack"))
    if type(exact) is not int or exact or type(bound) is not int or not 0 < bound <= MOST_STEPS:
        yield f"model.json allows {exact} and {bound} steps, and not 0 (reference) and 1 to {MOST_STEPS} (XNNPACK)"
        return
    alone = len(exits) == 1 and facts.get("decode", {}).get("kind") in DECIDED
    decided = alone and bool(clear(kept[exits[0]["name"]], bound).all())
    if said["decided"] is not decided:
        yield f"model.json says decided: {said['decided']}; the golden outputs and their bound say {decided}"
    for name, part in parts(facts):
        end = next(end for end in exits if end["name"] == name)
        yield from other_kind(str(part.get("decode", {}).get("kind")), end, kept[name])


def other_kind(kind, end, stored):
    """Checks that an output's golden answers can be of the kind that model.json gives, as far as one can tell."""
    if kind != "labels" and (end["shape"][-1] < 2 or not any(word in kind for word in DECIDED)):
        return
    scale, zero_point = end.get("scale", 1.0), end.get("zero_point", 0)
    real = (stored.astype(np.float64) - zero_point) * scale
    rounding = 1e-3 + (scale * end["shape"][-1] if "scale" in end else 0)
    if "sigmoids" in kind or kind == "labels":
        if not ((real >= -rounding) & (real <= 1 + rounding)).all():
            yield f"{end['name']} is of {kind} in model.json, and golden.npz has numbers outside of 0..1"
        return
    shares = bool((real >= 0).all() and (np.abs(real.sum(-1) - 1) <= rounding).all())
    if shares != ("probabilities" in kind):
        yield f"{end['name']} is of {kind} in model.json, and golden.npz has {'' if shares else 'no '}probabilities"


def header(facts):
    """Checks that model_facts.h says what model.json says."""
    if not (HERE / "model_facts.h").exists():
        return
    found = (HERE / "model_facts.h").read_text(encoding="utf-8").split("\n")
    wanted = facts_header(facts).split("\n")
    if found != wanted:
        apart = next((pair for pair in zip(found, wanted, strict=False) if pair[0] != pair[1]), ("more or less", ""))
        yield f"model_facts.h does not say what model.json says: {apart[0].strip()[:80]}"


def facts_header(facts):
    """Returns model_facts.h: the content of model.json for C++, which has no reader of JSON."""
    first = '// Generated by tfmo_drive from model.json. Do not edit.\n#pragma once\n\n#include "facts.h"\n'
    lines = "\n".join(declarations(facts))
    return f"{first}\nnamespace model_facts {{\n\n{lines}\n\n}}  // namespace model_facts\n"


def declarations(facts):
    """Yields the lines of model_facts.h that have values."""
    ends, parts = facts["tensors"], facts.get("parts") or {"": facts}
    told = [one for _, one, _ in takes(facts)]
    pixels = ["columns" not in one and one.get("dtype", "uint8") == "uint8" for one in told]
    for image in [one for one in told if "height" in one][:1]:
        sides, order = (int(image["height"]), int(image["width"])), image["colour_order"]
        yield (f"constexpr int kHeight = {sides[0]}, kWidth = {sides[1]}, kChannels = {len(order)};"
               f"  // of the image that goes in, {c_comment(order)}")  # fmt: skip
    for kind, flags in (("Inputs", pixels), ("Outputs", [False] * len(ends["outputs"]))):
        yield f"constexpr Tensor k{kind}[] = {{  // in the file's order"
        yield from (f"    {tensor(end, flag)}," for end, flag in zip(ends[kind.lower()], flags, strict=True))
        yield "};"
    sizes = [math.prod(end["shape"][1:]) * (1 if flag else 4) for end, flag in zip(ends["inputs"], pixels, strict=True)]
    yield f"constexpr int kRawBytes = {sum(sizes)};  // of all that goes in"
    for number, part in enumerate(parts.values()):
        if names := part.get("labels"):
            yield f"constexpr const char* kLabels{number}[] = {{{', '.join(map(c_text, names))}}};"
    yield "constexpr Answer kAnswers[] = {"
    yield from (f"    {answer(number, name, part, facts)}," for number, (name, part) in enumerate(parts.items()))
    yield "};"
    if arena := facts.get("arena"):
        counted = c_comment(arena["counted"])
        yield f"constexpr unsigned kArenaBytes = {int(arena['bytes'])};  // RAM for the interpreter: {counted}"


def answer(number, name, part, facts):
    """Returns an Answer of model_facts.h, with the lists of labels that stand there under the same number."""
    decode, count, ends = part["decode"], len(part.get("labels", ())), [e["name"] for e in facts["tensors"]["outputs"]]
    own = part.get("outputs") or ends
    kind = KINDS[decode["kind"]]
    main = ends.index("scores" if kind == "kDetections" and "scores" in own else own[0])
    boxes = ends.index("boxes") if kind == "kDetections" and "boxes" in own else -1
    whole = [int(part.get("input", {}).get(key, 0)) for key in ("height", "width")]
    whole += [int(decode.get(key, 0)) for key in ("stride", "candidates", "limit")]
    shares = [float(decode.get(key, 0)) for key in ("scale", "offset", "threshold", "iou")]
    texts = [c_text(str(decode.get(key, ""))) for key in ("unit", "positive")]
    logits = "true" if decode["kind"] == "logits" else "false"
    return (f"{{{c_text(name)}, Kind::{kind}, {logits}, {main}, {boxes}, {f'kLabels{number}' if count else 'nullptr'}, "
            f"{count}, {shares[0]!r}, {shares[1]!r}, {', '.join(texts)}, {', '.join(map(str, whole))}, {shares[2]!r}, "
            f"{shares[3]!r}}}")  # fmt: skip


def tensor(end, pixels):
    """Returns a Tensor of model_facts.h."""
    size, scale, zero_point = math.prod(end["shape"][1:]), float(end.get("scale", 0)), int(end.get("zero_point", 0))
    goes_in = "true" if pixels else "false"
    return f"{{{c_text(end['name'])}, {c_text(end['dtype'])}, {size}, {scale!r}f, {zero_point}, {goes_in}}}"


def c_text(text):
    """Returns a C string of the text's UTF-8 bytes.

    Octal escapes end after three digits, whatever follows; a question mark is escaped too, since two of them begin a
    trigraph before C++17, and "??/" is a backslash.
    """
    plain = (chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?' else f"\\{byte:03o}" for byte in text.encode())
    return f'"{"".join(plain)}"'


def c_comment(text):
    """Returns the text within a line of comment, which a backslash at its end would continue."""
    return re.sub(r"[^ -~]|[\\?]", "_", str(text))


def linked(facts):
    """Checks that model.cc holds the bytes of the file that is linked, and no others."""
    if not (HERE / "model.cc").exists():
        return
    text, content = (HERE / "model.cc").read_text(encoding="utf-8"), (HERE / facts["linked"]).read_bytes()
    found = re.fullmatch(r"([^{}]*)\{([0-9a-fx,\s]*)\}([^{}]*)", text)
    if not found or bytes.fromhex(re.sub(r"0x|[,\s]", "", found[2])) != content:
        yield f"model.cc does not hold the bytes of {facts['linked']}"
    elif f"model_data_size = {len(content)};" not in found[3]:
        yield f"model.cc gives another size than {len(content)}"


def faults():
    """Yields one line for each fault."""
    kept = list(others())
    yield from kept
    if kept:
        return
    yield from tried(sums)
    try:
        facts = json.loads((HERE / "model.json").read_text(encoding="utf-8"))
    except Exception as error:
        yield told(error)
        return
    for check in (files, labels, decodes, header, linked, meaning):
        yield from tried(check, facts)
    for kernels in ("reference", "xnnpack"):
        yield from tried(run, facts, kernels)


def run(facts, kernels):
    """Checks everything that the model itself must answer, on one kind of kernels."""
    interpreter = opened(kernels)
    if kernels == "reference":
        yield from ends(facts, interpreter)
    yield from golden(facts, interpreter, kernels)


def tried(check, *arguments):
    """Yields a check's faults; whatever a broken file does to its reader is one too."""
    try:
        yield from check(*arguments)
    except Exception as error:
        yield told(error)


def told(error):
    """Returns an error in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def main():
    """Prints everything that is wrong and returns the exit code."""
    sys.stdout.reconfigure(errors="backslashreplace")
    found = [line if line.isprintable() else ascii(line)[1:-1] for line in faults()]
    print("\n".join(found) or "Everything is as it was packed, and says what it said.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
