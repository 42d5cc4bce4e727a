"""The C++ examples of a pack: compiled without a warning, and run where a TensorFlow Lite C library is installed."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.pack.c_api import C_API, MICRO, STRICT, headers
from tfmo_drive.pack import verify
from tfmo_drive.pack.verify import facts_header

PACK = Path(verify.__file__).parent
"""Where facts.h lies, which model_facts.h includes."""


@pytest.fixture
def compiler():
    if not shutil.which("g++"):
        pytest.skip("no g++ here")


@pytest.fixture
def library():
    """The folder of a TensorFlow Lite C library from PyPI."""
    found = importlib.util.find_spec("pymicro_wakeword")
    if not found:
        pytest.skip("no libtensorflowlite_c.so here: pip install pymicro-wakeword")
    return Path(found.origin).parent / "lib"


def test_the_example_compiles_without_a_warning(pack, compiler, tmp_path):
    include = headers(tmp_path, {"c/c_api.h": C_API})
    subprocess.run([*STRICT, "-fsyntax-only", "-I", include, pack.folder / "example.cc"], check=True)


def test_the_example_gives_the_golden_answers(pack, compiler, library, tmp_path):
    include = headers(tmp_path, {"c/c_api.h": C_API})
    subprocess.run([*STRICT, "-O1", "-I", include, pack.folder / "example.cc", library / "libtensorflowlite_c.so",
                    f"-Wl,-rpath,{library}", "-o", tmp_path / "example"], check=True)  # fmt: skip
    facts, golden = json.loads((pack.folder / "model.json").read_text()), np.load(pack.folder / "golden.npz")
    end, labels = facts["tensors"]["outputs"][0], facts["labels"]
    step = 100 * end["scale"] / 4  # of int8, in per cent of a probability, where a softmax is steepest
    for pixels, stored in zip(golden["inputs"], golden["logits"], strict=True):
        pixels.tofile(tmp_path / "image.rgb")
        ran = subprocess.run([tmp_path / "example", tmp_path / "image.rgb"], cwd=pack.folder, capture_output=True,
                             text=True, check=True)  # fmt: skip
        said = re.findall(r"^ *([0-9.]+)%  (\w+)$", ran.stdout, re.MULTILINE)
        assert len(said) == len(labels)
        odds = np.exp((stored.astype(float) - end["zero_point"]) * end["scale"])
        for value, label in said:
            apart = abs(float(value) - 100 * odds[labels.index(label)] / odds.sum())
            assert apart < step * (2 * facts["golden"]["bound_lsb"]["xnnpack"] + 1) + 0.06
        if facts["golden"]["decided"]:
            assert said[0][1] == labels[stored.argmax()]
    (tmp_path / "image.rgb").write_bytes(b"short")
    ran = subprocess.run(
        [tmp_path / "example", tmp_path / "image.rgb"], cwd=pack.folder, capture_output=True, text=True
    )
    assert ran.returncode == 1 and ran.stderr.startswith("The file is not")


@pytest.mark.parametrize("which", ["small", "npu"])
def test_the_micro_example_has_no_error_of_syntax(which, request, compiler, tmp_path):
    folder = request.getfixturevalue(which).folder
    called = re.findall(r"resolver\.(\w+)\(\)", (folder / "model_operators.h").read_text())
    methods = " ".join(f"TfLiteStatus {method}();" for method in called)
    include = headers(tmp_path, {name: text.format(methods=methods) for name, text in MICRO.items()})
    subprocess.run(
        [*STRICT, "-fsyntax-only", "-I", include, folder / "example_micro.cc", folder / "model.cc"], check=True
    )


NASTY = (
    "??/", "??'", "a??/\nsystem(1);", "*/", "//", "\\", "end\\", 'a"b', "\\012", "1", "7", "f", "\u2028", "Fu\u00df",
    "%s%n", "\U0001f6a7", 'x", "y', "};", "\x7f", "a\tb", "stop?", 'R"(', "#define x", "\u202e",
)  # fmt: skip
NAMES = st.lists(
    st.one_of(
        st.lists(st.sampled_from(NASTY), min_size=1, max_size=4).map("".join),
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12),
    ),
    min_size=2, max_size=60, unique=True,
)  # fmt: skip


@pytest.mark.parametrize("standard", ["c++11", "c++14", "c++17"])
@given(names=NAMES)
@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@example(names=["??/", "a??/\n", "x"])
def test_class_names_reach_c_as_they_are(names, standard, compiler, tmp_path):
    """Read back byte for byte, also where two question marks and a slash would be a backslash."""
    ends = {
        "inputs": [{"name": names[0], "shape": [1, 4, 6, 3], "dtype": "int8", "scale": 1.0, "zero_point": -128}],
        "outputs": [{"name": names[1], "shape": [1, len(names)], "dtype": "int8", "scale": 0.1, "zero_point": 3}],
    }
    facts = {"tensors": ends, "input": {"height": 4, "width": 6, "colour_order": names[0]}, "labels": names,
             "decode": {"kind": "logits", "unit": names[1]}, "arena": {"bytes": 10, "counted": names[1]}}  # fmt: skip
    (tmp_path / "model_facts.h").write_text(facts_header(facts), encoding="ascii")
    (tmp_path / "print.cc").write_text(
        '#include <cstdio>\n#include <cstring>\n#include "model_facts.h"\nusing namespace model_facts;\n'
        "static void say(const char* text) { fwrite(text, 1, strlen(text) + 1, stdout); }\n"
        "int main() {\n  say(kInputs[0].name);\n  for (const Tensor& t : kOutputs) say(t.name);\n"
        "  for (const Answer& a : kAnswers) {\n    say(a.unit);\n"
        "    for (int i = 0; i < a.label_count; ++i) say(a.labels[i]);\n  }\n}\n"
    )
    strict = ("g++", f"-std={standard}", "-trigraphs", "-Wall", "-Wextra", "-Werror", "-O0")
    subprocess.run([*strict, "-I", PACK, tmp_path / "print.cc", "-o", tmp_path / "print"], check=True)
    said = subprocess.run([tmp_path / "print"], capture_output=True, check=True).stdout
    assert said.split(b"\0")[:-1] == [name.encode() for name in [names[0], names[1], names[1], *names]]


def test_each_kind_of_board_gets_its_example(pack, small):
    for made, has, lacks in ((pack, "example.cc", "example_micro.cc"), (small, "example_micro.cc", "example.cc")):
        names = {path.name for path in made.folder.iterdir()}
        assert {has, "example.py", "model_facts.h"} <= names and lacks not in names
        assert f"`{has}`" in (made.folder / "README.md").read_text()


def test_the_arena_is_what_the_micro_interpreter_takes(small, npu):
    arenas = [int(re.search(r"kArenaBytes = (\d+);", (made.folder / "model_facts.h").read_text())[1])
              for made in (small, npu)]  # fmt: skip
    needed = [next(need.needs_bytes for need in made.needs if need.what == "RAM") for made in (small, npu)]
    assert arenas == needed and needed[1] > 65536
    runtime = pytest.importorskip("tflite_micro.python.tflite_micro.runtime")
    runtime.Interpreter.from_bytes((small.folder / "model.tflite").read_bytes(), arena_size=arenas[0])


def test_the_header_says_what_model_json_says(compiler, tmp_path):
    ends = {
        "inputs": [{"name": "image", "shape": [1, 4, 6, 3], "dtype": "int8", "scale": 1.0, "zero_point": -128}],
        "outputs": [
            {"name": "scores", "shape": [1, 2, 3, 2], "dtype": "int8", "scale": 0.1, "zero_point": 3},
            {"name": "boxes", "shape": [1, 2, 3, 4], "dtype": "float32"},
        ],
    }
    facts = {"tensors": ends, "input": {"height": 4, "width": 6, "colour_order": "RGB"}, "labels": ['a "car"', "Fuß"],
             "decode": {"kind": "detections", "stride": 2, "threshold": 0.3, "candidates": 9, "iou": 0.6, "limit": 5},
             "arena": {"bytes": 1000, "counted": "counted"}}  # fmt: skip
    (tmp_path / "model_facts.h").write_text(facts_header(facts))
    (tmp_path / "print.cc").write_text(
        '#include <cstdio>\n#include "model_facts.h"\nusing namespace model_facts;\nint main() {\n'
        '  printf("%d %d %d %u\\n", kHeight, kWidth, kInputs[0].size, kArenaBytes);\n'
        "  for (const Tensor& t : kOutputs)\n"
        '    printf("%s %s %d %g %d\\n", t.name, t.dtype, t.size, t.scale, t.zero_point);\n'
        "  for (const Answer& a : kAnswers) {\n"
        '    printf("%d %d %d %d %d %d %d %g %g", a.output, a.boxes, a.height, a.width, a.stride, a.candidates,\n'
        "           a.limit, a.threshold, a.iou);\n"
        '    for (int i = 0; i < a.label_count; ++i) printf(", %s", a.labels[i]);\n    puts("");\n  }\n}\n'
    )
    subprocess.run([*STRICT, "-I", PACK, tmp_path / "print.cc", "-o", tmp_path / "print"], check=True)
    said = subprocess.run([tmp_path / "print"], capture_output=True, text=True, check=True).stdout.splitlines()
    assert said == [
        "4 6 72 1000", "scores int8 12 0.1 3", "boxes float32 24 0 0", '0 1 4 6 2 9 5 0.3 0.6, a "car", Fuß',
    ]  # fmt: skip
