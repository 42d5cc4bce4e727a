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

from tfmo_drive.pack.verify import facts_header

C_API = """// Declared by hand: what example.cc calls, as TensorFlow Lite's documentation of its C library has it.
#pragma once
#include <cstddef>
#include <cstdint>
extern "C" {
struct TfLiteModel; struct TfLiteInterpreter; struct TfLiteInterpreterOptions; struct TfLiteTensor;
enum TfLiteStatus { kTfLiteOk = 0, kTfLiteError = 1 };
TfLiteModel* TfLiteModelCreateFromFile(const char* path);
void TfLiteModelDelete(TfLiteModel*);
TfLiteInterpreterOptions* TfLiteInterpreterOptionsCreate();
void TfLiteInterpreterOptionsDelete(TfLiteInterpreterOptions*);
void TfLiteInterpreterOptionsSetNumThreads(TfLiteInterpreterOptions*, int32_t);
TfLiteInterpreter* TfLiteInterpreterCreate(const TfLiteModel*, const TfLiteInterpreterOptions*);
void TfLiteInterpreterDelete(TfLiteInterpreter*);
TfLiteStatus TfLiteInterpreterAllocateTensors(TfLiteInterpreter*);
TfLiteTensor* TfLiteInterpreterGetInputTensor(const TfLiteInterpreter*, int32_t);
const TfLiteTensor* TfLiteInterpreterGetOutputTensor(const TfLiteInterpreter*, int32_t);
TfLiteStatus TfLiteInterpreterInvoke(TfLiteInterpreter*);
TfLiteStatus TfLiteTensorCopyFromBuffer(TfLiteTensor*, const void*, size_t);
TfLiteStatus TfLiteTensorCopyToBuffer(const TfLiteTensor*, void*, size_t);
}
"""
MICRO = {
    "micro/micro_mutable_op_resolver.h": """
enum TfLiteStatus {{ kTfLiteOk, kTfLiteError }};
#define TF_LITE_ENSURE_STATUS(a) do {{ const TfLiteStatus s = (a); if (s != kTfLiteOk) return s; }} while (0)
namespace tflite {{
struct MicroOpResolver {{}};
template <unsigned count> struct MicroMutableOpResolver : MicroOpResolver {{ {methods} }};
}}
""",
    "micro/micro_interpreter.h": """
#include <cstddef>
#include <cstdint>
union TfLitePtrUnion {{ std::int8_t* int8; }};
struct TfLiteTensor {{ TfLitePtrUnion data; }};
namespace tflite {{
struct Model;
struct MicroInterpreter {{
  MicroInterpreter(const Model*, const MicroOpResolver&, std::uint8_t* arena, std::size_t size);
  TfLiteStatus AllocateTensors();
  TfLiteStatus Invoke();
  TfLiteTensor* input(std::size_t);
  TfLiteTensor* output(std::size_t);
  std::size_t arena_used_bytes() const;
}};
}}
""",
    "micro/system_setup.h": "namespace tflite {{ void InitializeTarget(); }}\n",
    "schema/schema_generated.h": "namespace tflite {{ struct Model; const Model* GetModel(const void*); }}\n",
}
STRICT = ("g++", "-std=c++17", "-Wall", "-Wextra", "-Werror")


def headers(folder: Path, texts: dict[str, str]) -> Path:
    for name, text in texts.items():
        path = folder / "tensorflow" / "lite" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#pragma once\n{text}")
    return folder


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
    for pixels, stored in zip(golden["inputs"], golden["logits"], strict=True):
        pixels.tofile(tmp_path / "image.rgb")
        ran = subprocess.run([tmp_path / "example", tmp_path / "image.rgb"], cwd=pack.folder, capture_output=True,
                             text=True, check=True)  # fmt: skip
        said = re.findall(r"^logits: (\w+)  \((.+)\)$", ran.stdout, re.MULTILINE)
        assert len(said) == 3
        real = (stored.astype(float) - end["zero_point"]) * end["scale"]
        for label, value in said:
            apart = abs(float(value) - real[labels.index(label)]) / end["scale"]
            assert apart < facts["golden"]["bound_lsb"]["xnnpack"] + 0.01
        if facts["golden"]["decided"]:
            assert said[0][0] == labels[stored.argmax()]
    (tmp_path / "image.rgb").write_bytes(b"short")
    ran = subprocess.run(
        [tmp_path / "example", tmp_path / "image.rgb"], cwd=pack.folder, capture_output=True, text=True
    )
    assert ran.returncode == 1 and ran.stderr.startswith("The image is not")


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
             "arena": {"bytes": 10, "counted": names[1]}}  # fmt: skip
    (tmp_path / "model_facts.h").write_text(facts_header(facts), encoding="ascii")
    (tmp_path / "print.cc").write_text(
        '#include <cstdio>\n#include <cstring>\n#include "model_facts.h"\nusing namespace model_facts;\n'
        "static void say(const char* text) { fwrite(text, 1, strlen(text) + 1, stdout); }\n"
        "int main() {\n  say(kInput.name);\n  for (const Tensor& t : kOutputs) {\n    say(t.name);\n"
        "    for (int i = 0; i < t.label_count; ++i) say(t.labels[i]);\n  }\n}\n"
    )
    strict = ("g++", f"-std={standard}", "-trigraphs", "-Wall", "-Wextra", "-Werror", "-O0")
    subprocess.run([*strict, tmp_path / "print.cc", "-o", tmp_path / "print"], check=True)
    said = subprocess.run([tmp_path / "print"], capture_output=True, check=True).stdout
    assert said.split(b"\0")[:-1] == [name.encode() for name in [names[0], names[1], *names]]


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
             "arena": {"bytes": 1000, "counted": "counted"}}  # fmt: skip
    (tmp_path / "model_facts.h").write_text(facts_header(facts))
    (tmp_path / "print.cc").write_text(
        '#include <cstdio>\n#include "model_facts.h"\nusing namespace model_facts;\nint main() {\n'
        '  printf("%d %d %d %u\\n", kHeight, kWidth, kInput.size, kArenaBytes);\n  for (const Tensor& t : kOutputs) {\n'
        '    printf("%s %s %d %g %d", t.name, t.dtype, t.size, t.scale, t.zero_point);\n'
        '    for (int i = 0; i < t.label_count; ++i) printf(", %s", t.labels[i]);\n    puts("");\n  }\n}\n'
    )
    subprocess.run([*STRICT, tmp_path / "print.cc", "-o", tmp_path / "print"], check=True)
    said = subprocess.run([tmp_path / "print"], capture_output=True, text=True, check=True).stdout.splitlines()
    assert said == ["4 6 72 1000", 'scores int8 12 0.1 3, a "car", Fuß', "boxes float32 24 0 0"]
