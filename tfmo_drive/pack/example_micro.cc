// What does the model say of an image, on a microcontroller? From model.cc, model_facts.h (model.json as C++: there is
// no file system) and model_operators.h, with TensorFlow Lite Micro: https://github.com/tensorflow/tflite-micro
//
// Compile it with model.cc into your firmware, and let the camera write into `pixels`, resized as model.json says.
//
// How this file was checked: we found no package on PyPI, npm or Debian with TensorFlow Lite Micro's headers, so only
// its syntax was, with the classes that it uses declared by hand, together with model.cc. It was not run.

#include <cstdint>
#include <cstdio>

#include "model.h"
#include "model_facts.h"
#include "model_operators.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/system_setup.h"
#include "tensorflow/lite/schema/schema_generated.h"

using model_facts::kInput;
static_assert(kInput.scale == 1, "a pixel is stored as pixel + zero_point");

namespace {
std::uint8_t pixels[kInput.size];  // kHeight x kWidth x 3, RGB, row by row
alignas(16) std::uint8_t arena[model_facts::kArenaBytes];

// The best class of an output that is one score for each, else its first number.
void Print(const std::int8_t* stored, const model_facts::Tensor& facts) {
  int best = 0;
  if (facts.label_count == facts.size)
    for (int i = 1; i < facts.size; ++i)
      if (stored[i] > stored[best]) best = i;
  const char* label = facts.label_count == facts.size ? facts.labels[best] : "first of several";
  const double real = facts.scale * (stored[best] - facts.zero_point);
  std::printf("%s: %s  (%g)\n", facts.name, label, real);
}
}  // namespace

int main() {
  tflite::InitializeTarget();
  static ModelOperators operators;
  if (RegisterOperators(operators) != kTfLiteOk) return 1;
  static tflite::MicroInterpreter interpreter(tflite::GetModel(model_data), operators, arena, sizeof(arena));
  if (interpreter.AllocateTensors() != kTfLiteOk) return 1;
  std::printf("%u of %u bytes of the arena are used\n", static_cast<unsigned>(interpreter.arena_used_bytes()),
              static_cast<unsigned>(sizeof(arena)));

  std::int8_t* input = interpreter.input(0)->data.int8;
  for (int i = 0; i < kInput.size; ++i) input[i] = static_cast<std::int8_t>(pixels[i] + kInput.zero_point);
  if (interpreter.Invoke() != kTfLiteOk) return 1;
  int number = 0;
  for (const auto& facts : model_facts::kOutputs) Print(interpreter.output(number++)->data.int8, facts);
}
