"""A pack proves itself in a process of its own, and finds every planted fault."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from tfmo_drive.base.keras2 import keras
from tfmo_drive.contracts import BadInput
from tfmo_drive.pack import c_array
from tfmo_drive.pack.verify import SUMS
from tfmo_drive.runtimes.flatbuffer_edit import pack as repacked
from tfmo_drive.runtimes.flatbuffer_edit import unpack
from tfmo_drive.runtimes.interpreters import LiteRTArtifact


@pytest.fixture
def copy(pack, tmp_path):
    return shutil.copytree(pack.folder, tmp_path / "pack")


def verify(folder):
    """(exit code, what it says), without this checkout on the path."""
    ran = subprocess.run([sys.executable, "-I", str(folder / "verify.py")], capture_output=True, text=True, cwd="/")
    return ran.returncode, ran.stdout


def resum(folder):
    """A forger who knows about the sums."""
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
             for path in sorted(folder.iterdir()) if path.name != SUMS]  # fmt: skip
    (folder / SUMS).write_text("".join(lines))


def facts_changed(change):
    def plant(folder):
        facts = json.loads((folder / "model.json").read_text())
        change(facts)
        (folder / "model.json").write_text(json.dumps(facts))
        resum(folder)

    return plant


def model_changed(change):
    def plant(folder):
        path = folder / "model.tflite"
        with zipfile.ZipFile(path) as archive:
            kept = {entry: archive.read(entry) for entry in archive.namelist()}
        model = unpack(path.read_bytes())
        change(model.subgraphs[0], model)
        path.write_bytes(repacked(model))
        with zipfile.ZipFile(path, "a") as archive:
            for entry, content in kept.items():
                archive.writestr(entry, content)
        resum(folder)

    return plant


def truncated(folder):
    path = folder / "model.tflite"
    path.write_bytes(path.read_bytes()[:-2000])


def broken(folder):
    truncated(folder)
    resum(folder)


def other_labels(folder):
    (folder / "labels.txt").write_text("e\nd\nc\nb\na\n")
    resum(folder)


def both_labels(folder):
    other_labels(folder)
    facts_changed(lambda facts: facts.update(labels=["e", "d", "c", "b", "a"]))(folder)


def other_golden(folder):
    kept = dict(np.load(folder / "golden.npz"))
    kept["logits"] = np.where(kept["logits"] < 127, kept["logits"] + 1, 126).astype(np.int8)
    np.savez(folder / "golden.npz", **kept)
    resum(folder)


def weights_changed(graph, model):
    largest = max((buffer for buffer in model.buffers if buffer.data is not None), key=lambda one: len(one.data))
    largest.data = np.roll(np.asarray(largest.data, np.uint8), 1)


def output_renamed(graph, model):
    graph.tensors[graph.outputs[0]].name = b"scores"


def signature_renamed(graph, model):
    model.signatureDefs[0].outputs[0].name = b"scores"


def scale_changed(graph, model):
    graph.tensors[graph.outputs[0]].quantization.scale = [0.5]


def zero_point_changed(graph, model):
    graph.tensors[graph.inputs[0]].quantization.zeroPoint = [-127]


def sums_changed(change):
    def plant(folder):
        (folder / SUMS).write_text(change((folder / SUMS).read_text()))

    return plant


def linked_to_itself(folder):
    (folder / "README.md").rename(folder.parent / "elsewhere.md")
    (folder / "README.md").symlink_to(folder.parent / "elsewhere.md")


def piped(folder):
    (folder / "model.tflite").unlink()
    os.mkfifo(folder / "model.tflite")


def golden_changed(change):
    def plant(folder):
        kept = dict(np.load(folder / "golden.npz"))
        change(kept)
        np.savez(folder / "golden.npz", **kept)
        resum(folder)

    return plant


def facts_and_digests_changed(name, change):
    """A forger who knows about the digests in model.json too."""

    def plant(folder):
        path = folder / name
        text = path.read_text()
        assert change(text) != text
        path.write_text(change(text))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        facts_changed(lambda facts: facts["files"].update({name: digest}))(folder)

    return plant


def as_probabilities(kept):
    kept["logits"] = np.full_like(kept["logits"], -128)
    kept["logits"][:, 1] = 127


NO_FILES = {
    "extra is a folder, and was not packed": lambda folder: (folder / "extra").mkdir(),
    "__pycache__ is a folder": lambda folder: (folder / "__pycache__").mkdir(),
    "README.md is a link": linked_to_itself,
    "gone is a link": lambda folder: (folder / "gone").symlink_to("nowhere"),
    "model.tflite is a pipe": piped,
    "new is a pipe": lambda folder: os.mkfifo(folder / "new"),
    SUMS + " is a folder": lambda folder: [(folder / SUMS).unlink(), (folder / SUMS).mkdir()],
}
LISTED = {
    "names README.md twice": sums_changed(
        lambda text: text + next(line for line in text.splitlines(keepends=True) if "README" in line)
    ),
    r"names Model.json twice \(as model.json\)": sums_changed(lambda text: text + "0" * 64 + "  Model.json\n"),
    "line 1 is not a digest": sums_changed(lambda text: text[1:]),
    "line [0-9]+ is not a digest": sums_changed(lambda text: text + "0" * 64 + "  ../secret\n"),
    "line 2 is not a digest": sums_changed(lambda text: text.replace("\n", "\nx\n", 1)),
    "line 1 is not": sums_changed(lambda text: ""),
    r"new\\nline was not packed": lambda folder: (folder / "new\nline").touch(),
    "Numpy.py was not packed": lambda folder: (folder / "Numpy.py").touch(),
    ".hidden was not packed": lambda folder: (folder / ".hidden").touch(),
}
FORGED = {
    "README.md is not the file that model.json tells of": lambda folder: [
        (folder / "README.md").write_text("Fits!"),
        resum(folder),
    ],
    "example.py is among model.json's files, and not here": lambda folder: [
        (folder / "example.py").unlink(),
        resum(folder),
    ],
    "more.md is not among model.json's files": lambda folder: [(folder / "more.md").touch(), resum(folder)],
    "whose sha256 model.json has": facts_changed(lambda facts: facts.update(sha256="0" * 64)),
    "input image: scale is [0-9.e-]+, model.json says None": facts_changed(
        lambda facts: facts["tensors"]["inputs"][0].pop("scale")
    ),
    "output logits: dtype is int8, model.json says uint8": facts_changed(
        lambda facts: facts["tensors"]["outputs"][0].update(dtype="uint8")
    ),
    "output logits: shape is": facts_changed(lambda facts: facts["tensors"]["outputs"][0].pop("shape")),
    "logits is of probabilities in model.json, and golden.npz has no": facts_changed(
        lambda facts: facts["decode"].update(kind="probabilities")
    ),
    "allows 0 and 1000000 steps": facts_changed(lambda facts: facts["golden"]["bound_lsb"].update(xnnpack=10**6)),
    "allows 3 and": facts_changed(lambda facts: facts["golden"]["bound_lsb"].update(reference=3)),
    "decided: False; the golden outputs": facts_changed(lambda facts: facts["golden"].update(decided=False)),
    "examples, model.json says 3": facts_changed(lambda facts: facts["golden"].update(examples=3)),
    "says that logits is of angles, which nothing here reads": facts_changed(
        lambda facts: facts["decode"].update(kind="angles")
    ),
    "does not say the unit of logits": facts_changed(
        lambda facts: facts.update(decode={"kind": "number", "scale": 1.0, "offset": 0.0})
    ),
    r"holds \[0\] examples": golden_changed(
        lambda kept: kept.update({name: value[:0] for name, value in kept.items()})
    ),
    r"holds \['inputs', 'logits', 'more'": golden_changed(lambda kept: kept.update(more=kept["inputs"])),
    "golden logits is int16": golden_changed(lambda kept: kept.update(logits=kept["logits"].astype(np.int16))),
    "model_facts.h does not say": facts_and_digests_changed(
        "model_facts.h", lambda text: text.replace("kHeight = 32", "kHeight = 31")
    ),
    "model_facts.h does not say what model.json says: #define": facts_and_digests_changed(
        "model_facts.h", lambda text: text.replace("#pragma once", "#define kHeight 31")
    ),
    "model_facts.h does not say what model.json says: constexpr const char": facts_and_digests_changed(
        "model_facts.h", lambda text: text.replace('"a", "b"', '"b", "a"')
    ),
}
LINKED = {
    "model.cc does not hold the bytes of model.tflite": facts_and_digests_changed(
        "model.cc", lambda text: text.replace("0x00", "0x01", 1)
    ),
    "model.cc gives another size": facts_and_digests_changed(
        "model.cc", lambda text: text.replace("model_data_size = ", "model_data_size = 1")
    ),
    "model.cc does not": facts_and_digests_changed(
        "model.cc", lambda text: text + 'static int ran = system("true");  // {}\n'
    ),
    "kArenaBytes": facts_and_digests_changed(
        "model_facts.h", lambda text: text.replace("kArenaBytes = ", "kArenaBytes = 1")
    ),
}
FAULTS = (
    NO_FILES
    | LISTED
    | FORGED
    | {
        "changed: its SHA-256": truncated,
        "is missing": lambda folder: (folder / "labels.txt").unlink(),
        "was not packed": lambda folder: (folder / "model_new.tflite").write_bytes(b"x"),
        "^BadZipFile: ": broken,
        "outputs? logits: name is scores": model_changed(output_renamed),
        "the signature's outputs are": model_changed(signature_renamed),
        "output logits: scale is 0.5": model_changed(scale_changed),
        "input image: zero_point is -127": model_changed(zero_point_changed),
        "reference: logits is up to [0-9]+ steps": model_changed(weights_changed),
        "steps from the golden outputs": facts_changed(lambda facts: facts["input"].update(colour_order="BGR")),
        "the model takes": facts_changed(lambda facts: facts["input"].update(layout="NCHW")),
        "labels.txt and model.json do not": other_labels,
        "labels inside model.tflite are not": both_labels,
        "reference: logits is up to 1 steps": other_golden,
        "input image: shape is": facts_changed(
            lambda facts: facts["tensors"]["inputs"][0].update(shape=[1, 64, 64, 3])
        ),
        "inputs, model.json says 0": facts_changed(lambda facts: facts["tensors"].update(inputs=[])),
    }
)


@pytest.mark.parametrize("which", ["pack", "small", "npu"])
def test_a_fresh_pack_passes(which, request):
    made = request.getfixturevalue(which)
    assert verify(made.folder) == (0, "Everything is as it was packed, and says what it said.\n")


@pytest.mark.parametrize("words", FAULTS)
def test_a_planted_fault_is_found(words, copy):
    FAULTS[words](copy)
    code, said = verify(copy)
    assert code == 1
    assert re.search(words, said, re.MULTILINE), said


@pytest.mark.parametrize("words", LINKED)
def test_a_fault_in_what_firmware_links_is_found(words, small, tmp_path):
    folder = shutil.copytree(small.folder, tmp_path / "pack")
    LINKED[words](folder)
    code, said = verify(folder)
    assert code == 1 and re.search(words, said), said


def test_golden_answers_of_another_kind_than_model_json_says_are_found(copy):
    """Logits of 0 and 1 are none."""
    golden_changed(as_probabilities)(copy)
    facts_changed(lambda facts: facts["tensors"]["outputs"][0].update(scale=1 / 255, zero_point=-128))(copy)
    assert "logits is of logits in model.json, and golden.npz has probabilities" in verify(copy)[1]


PLANTED = ("numpy", "hashlib", "ai_edge_litert", "json", "zipfile", "os", "re", "stat", "math", "pathlib", "encodings",
           "sitecustomize", "usercustomize", "tempfile", "random", "struct")  # fmt: skip


@pytest.mark.parametrize("program", ["verify.py", "example.py"])
@pytest.mark.parametrize("how", ["in the folder", "by its path", "with the folder on PYTHONPATH"])
def test_modules_planted_beside_a_packs_programs_do_not_run(program, how, copy, tmp_path):
    # What Python itself imports before any program begins, it takes from where a user's own variable says.
    for name in PLANTED[:4] if "PYTHONPATH" in how else PLANTED:
        (copy / f"{name}.py").write_text(
            f"open({str(tmp_path / 'ran')!r}, 'a').write('{name} ')\nraise SystemExit(0)\n"
        )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    if "PYTHONPATH" in how:
        environment["PYTHONPATH"] = os.pathsep.join([str(copy), str(copy / "..") + "/pack"])
    path, folder = (program, copy) if how == "in the folder" else (str(copy / program), tmp_path)
    ran = subprocess.run([sys.executable, path], capture_output=True, text=True, cwd=folder, env=environment)
    assert not (tmp_path / "ran").exists(), (tmp_path / "ran").read_text()
    assert ran.returncode == 1
    if program == "verify.py":
        assert "numpy.py was not packed" in ran.stdout and "Everything" not in ran.stdout
    else:
        assert "Type: python example.py" in ran.stderr


@pytest.mark.parametrize("name", ["nowhere.png", "README.md", "."])
def test_what_is_no_image_is_one_line_of_a_packs_example(name, copy):
    ran = subprocess.run([sys.executable, "example.py", name], capture_output=True, text=True, cwd=copy)
    assert ran.returncode == 1 and re.fullmatch(rf"{re.escape(name)} cannot be read as an image: .+\n", ran.stderr)


def test_what_somebody_put_into_a_pack_is_not_replaced(model, packing, tmp_path):
    made = packing(model, tmp_path, "raspberry_pi_4")
    (made.folder / "notes.txt").write_text("mine")
    shutil.rmtree(tmp_path / "artifacts")
    with pytest.raises(BadInput, match=r"holds notes\.txt, which was not packed"):
        packing(model, tmp_path, "raspberry_pi_4")
    (made.folder / "notes.txt").unlink()
    made.archive.write_bytes(b"an archive of mine")
    shutil.rmtree(tmp_path / "artifacts")
    with pytest.raises(BadInput, match=r"raspberry_pi_4\.zip is no pack"):
        packing(model, tmp_path, "raspberry_pi_4")


def test_the_archive_holds_the_same(pack):
    with zipfile.ZipFile(pack.archive) as archive:
        assert {entry.external_attr >> 16 for entry in archive.infolist()} == {0o100644}
        names = {name.split("/", 1)[1] for name in archive.namelist()}
        assert names == {path.name for path in pack.folder.iterdir()}
        assert names >= {
            "model.tflite",
            "model.json",
            "labels.txt",
            "golden.npz",
            "verify.py",
            "example.py",
            "README.md",
        }
        assert archive.read("raspberry_pi_4/model.tflite") == (pack.folder / "model.tflite").read_bytes()


def test_sums_are_what_sha256sum_checks(pack):
    ran = subprocess.run(["sha256sum", "--check", "--quiet", SUMS], cwd=pack.folder, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout


def test_the_pack_of_another_model_is_not_overwritten(model, packing, tmp_path):
    first = packing(model, tmp_path, "raspberry_pi_4")
    before = {path.name: path.read_bytes() for path in first.folder.iterdir()}
    other = keras.models.clone_model(model)
    shutil.rmtree(tmp_path / "artifacts")
    with pytest.raises(BadInput, match="holds the pack of another model .* Move it away"):
        packing(other, tmp_path, "raspberry_pi_4")
    assert {path.name: path.read_bytes() for path in first.folder.iterdir()} == before
    shutil.rmtree(tmp_path / "artifacts")
    assert packing(model, tmp_path, "raspberry_pi_4").archive.read_bytes() == first.archive.read_bytes()
    (first.folder / "model.json").write_text("notes")
    shutil.rmtree(tmp_path / "artifacts")
    with pytest.raises(BadInput, match="something that is no pack"):
        packing(model, tmp_path, "raspberry_pi_4")


def test_golden_examples_decide_clearly(pack):
    facts = json.loads((pack.folder / "model.json").read_text())["golden"]
    kept = np.load(pack.folder / "golden.npz")
    assert len(kept["inputs"]) == facts["examples"] > 0 and kept["inputs"].dtype == np.uint8
    assert kept["logits"].dtype == np.int8
    opened = [LiteRTArtifact(pack.folder / "model.tflite", kernels=kernels) for kernels in ("reference", "xnnpack")]
    seen = [one.held(kept["inputs"])["logits"].astype(int) for one in opened]
    assert np.array_equal(seen[0], kept["logits"])
    assert facts["bound_lsb"]["reference"] == 0 and facts["bound_lsb"]["xnnpack"] > 2 * np.abs(seen[0] - seen[1]).max()
    if facts["decided"]:
        best = np.sort(kept["logits"].astype(int), axis=-1)
        assert (best[:, -1] - best[:, -2] > 2 * facts["bound_lsb"]["xnnpack"]).all()


def test_the_example_reads_model_json_alone(copy, tmp_path):
    from PIL import Image

    facts_changed(lambda facts: facts["input"]["resize"].update(rule="bilinear_antialias"))(copy)
    Image.fromarray(np.full((50, 70, 3), 120, np.uint8)).save(tmp_path / "grey.png")
    ran = subprocess.run([sys.executable, "-I", str(copy / "example.py"), str(tmp_path / "grey.png")],
                         capture_output=True, text=True)  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert len(ran.stdout.splitlines()) == 5 and ran.stdout.split()[1] in "abcde"


def test_the_c_array_compiles_to_the_very_bytes(small, tmp_path):
    names = {path.name for path in small.folder.iterdir()}
    assert names >= {"model.cc", "model.h", "model_operators.h"}
    if not shutil.which("g++"):
        pytest.skip("no g++ here")
    (tmp_path / "print.cc").write_text(
        '#include <cstdio>\n#include "model.h"\n'
        "int main() { fwrite(model_data, 1, model_data_size, stdout); return ((unsigned long)model_data) % 16; }\n"
    )
    sources = small.folder / "model.cc", tmp_path / "print.cc"
    subprocess.run(["g++", "-Wall", "-Werror", "-I", small.folder, *sources, "-o", tmp_path / "print"], check=True)
    ran = subprocess.run([tmp_path / "print"], capture_output=True)
    assert ran.returncode == 0 and ran.stdout == (small.folder / "model.tflite").read_bytes()


def test_what_vela_and_what_we_say_are_both_in_the_compiled_file(npu):
    """The first says where in memory its tensors are: without it the file does not run there."""
    names = [entry.name for entry in unpack((npu.folder / "model_vela.tflite").read_bytes()).metadata]
    assert names.count(b"OfflineMemoryAllocation") == names.count(b"TFLITE_METADATA") == 1


def test_operators_are_registered_by_their_methods(small, npu):
    header = (small.folder / "model_operators.h").read_text()
    assert "resolver.AddConv2D()" in header and "resolver.AddFullyConnected()" in header
    assert f"MicroMutableOpResolver<{header.count('resolver.Add')}>" in header
    assert "resolver.AddEthosU()" in (npu.folder / "model_operators.h").read_text()
    assert [c_array.method(name) for name in ("DEPTHWISE_CONV_2D", "MEAN", "PADV2", "RESIZE_BILINEAR", "RELU6")] == [
        "DepthwiseConv2D", "Mean", "PadV2", "ResizeBilinear", "Relu6",
    ]  # fmt: skip


def test_the_card_says_whether_it_fits_and_whose_facts_these_are(small, npu):
    card = (small.folder / "README.md").read_text()
    assert "guessing" not in card and "# classification for STM32H743" in card
    assert "RAM: needs" in card and "fits" in card and "st.com" in card and "| `logits` | int8 [1, 5]" in card
    assert "Not measured yet" in card and "python verify.py" in card
    measured = (npu.folder / "README.md").read_text()
    assert "| score_drop | tiny/int8 | at most 1.00 points | 1.30 points | FAIL |" in measured
    busy = "at most 10.0 ms | about 12 ms | not measurable now: the machine is busy |"
    assert f"| latency_p95_ms | tiny/int8 | {busy}" in measured
    assert "| tiny/int8 | 90.0 % (80.0 to 95.0) | -1.3 | 1,234 | ethos-u55-128 |" in measured
    assert (npu.folder / "model_vela.tflite").is_file() and "the NPU's, by Vela" in measured
