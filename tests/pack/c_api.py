"""What the C++ examples of a pack are compiled with: the headers that no package has, declared by hand."""

from __future__ import annotations

from pathlib import Path

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
union TfLitePtrUnion {{ std::int8_t* int8; float* f; }};
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
