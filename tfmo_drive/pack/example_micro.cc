// What does the model say of an image, or of a row of numbers, on a microcontroller? From model.cc, model_facts.h
// (model.json as C++: there is no file system), decode.h and model_operators.h, with TensorFlow Lite Micro:
// https://github.com/tensorflow/tflite-micro
//
// Compile it with model.cc into your firmware, and let the camera write into `raw`, resized as model.json says. Several
// inputs lie there one behind the other, as in kInputs.
//
// How this file was checked: we found no package on PyPI, npm or Debian with TensorFlow Lite Micro's headers, so only
// its syntax was, with the classes that it uses declared by hand, together with model.cc. It was not run.

#include <cstdint>
#include <cstdio>
#include <cstring>

#include "decode.h"
#include "model.h"
#include "model_facts.h"
#include "model_operators.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/system_setup.h"
#include "tensorflow/lite/schema/schema_generated.h"

using model_facts::kInputs;

namespace {
constexpr int kCount = sizeof(kInputs) / sizeof(kInputs[0]);
constexpr bool AsIs(int i) { return i < 0 || (kInputs[i].scale == (kInputs[i].pixels ? 1 : 0) && AsIs(i - 1)); }
static_assert(AsIs(kCount - 1), "a pixel is stored as pixel + zero_point, a number as is");

// kHeight x kWidth pixels of kChannels, row by row; or float32 numbers.
std::uint8_t raw[model_facts::kRawBytes];
alignas(16) std::uint8_t arena[model_facts::kArenaBytes];
}  // namespace

int main() {
  tflite::InitializeTarget();
  static ModelOperators operators;
  if (RegisterOperators(operators) != kTfLiteOk) return 1;
  static tflite::MicroInterpreter interpreter(tflite::GetModel(model_data), operators, arena, sizeof(arena));
  if (interpreter.AllocateTensors() != kTfLiteOk) return 1;
  std::printf("%u of %u bytes of the arena are used\n", static_cast<unsigned>(interpreter.arena_used_bytes()),
              static_cast<unsigned>(sizeof(arena)));

  const std::uint8_t* from = raw;
  for (int k = 0; k < kCount; ++k) {
    const model_facts::Tensor& facts = kInputs[k];
    const auto& data = interpreter.input(k)->data;
    if (!facts.pixels) std::memcpy(data.f, from, facts.size * sizeof(float));
    for (int i = 0; facts.pixels && i < facts.size; ++i)
      data.int8[i] = static_cast<std::int8_t>(from[i] + facts.zero_point);
    from += facts.size * (facts.pixels ? 1 : sizeof(float));
  }
  if (interpreter.Invoke() != kTfLiteOk) return 1;
  const auto real = [&](int output, int i) {
    const model_facts::Tensor& facts = model_facts::kOutputs[output];
    const auto& data = interpreter.output(output)->data;
    return facts.scale == 0 ? data.f[i] : facts.scale * (data.int8[i] - facts.zero_point);
  };
  for (const auto& answer : model_facts::kAnswers) decode::Print(answer, real);
}
