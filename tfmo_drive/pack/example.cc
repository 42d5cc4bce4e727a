// What does the model say of an image, or of a row of numbers? From model.tflite, model_facts.h, which is model.json as
// C++, and decode.h, which puts outputs into words.
//
//     g++ -std=c++17 -O2 -I DIR/include example.cc -L DIR/lib -ltensorflowlite_c -o example
//     ./example image.rgb
//
// image.rgb: kHeight x kWidth x kChannels bytes, row by row, resized as model.json says; of a model that takes rows,
// float32 numbers; of one that takes several inputs, a file for each of kInputs. The first golden example is one:
//     python -c "import numpy; numpy.load('golden.npz')['inputs'][0].tofile('image.rgb')"
//
// Needs TensorFlow Lite's C library, built from source (`bazel build //tensorflow/lite/c:tensorflowlite_c`) with its
// header; LiteRT's source has the same one as tflite/c/c_api.h. We found no package of PyPI, npm or Debian with it.
// How this file was checked: with the C functions that it calls declared by hand it compiles without a warning, and,
// linked with the library 2.17.1 inside PyPI's pymicro-wakeword 2.5.0 (x86-64), it gives the golden answers.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <vector>

#include "decode.h"
#include "model_facts.h"
#include "tensorflow/lite/c/c_api.h"

using model_facts::Tensor;

constexpr int kThreads = 4;

bool IsFloat(const Tensor& facts) { return std::strcmp(facts.dtype, "float32") == 0; }

// Pixels 0..255 as the file's input holds them, int8 or float32; a row of numbers stays as it is.
std::vector<std::uint8_t> Stored(const std::vector<std::uint8_t>& raw, const Tensor& facts) {
  if (!facts.pixels) return raw;
  if (IsFloat(facts)) {
    const std::vector<float> values(raw.begin(), raw.end());
    std::vector<std::uint8_t> bytes(values.size() * sizeof(float));
    std::memcpy(bytes.data(), values.data(), bytes.size());
    return bytes;
  }
  std::vector<std::uint8_t> bytes(raw.size());
  std::transform(raw.begin(), raw.end(), bytes.begin(), [&](std::uint8_t pixel) {
    const long stored = std::lround(pixel / facts.scale) + facts.zero_point;
    return static_cast<std::uint8_t>(std::clamp(stored, -128L, 127L));
  });
  return bytes;
}

// An output's real numbers.
std::vector<float> Real(const TfLiteTensor* tensor, const Tensor& facts) {
  std::vector<float> values(facts.size);
  if (IsFloat(facts)) {
    TfLiteTensorCopyToBuffer(tensor, values.data(), values.size() * sizeof(float));
    return values;
  }
  std::vector<std::int8_t> stored(facts.size);
  TfLiteTensorCopyToBuffer(tensor, stored.data(), stored.size());
  std::transform(stored.begin(), stored.end(), values.begin(),
                 [&](std::int8_t value) { return facts.scale * (value - facts.zero_point); });
  return values;
}

int Failed(const char* why) {
  std::fprintf(stderr, "%s\n", why);
  return 1;
}

int main(int argc, char** argv) {
  constexpr int kCount = sizeof(model_facts::kInputs) / sizeof(Tensor);
  if (argc != 1 + kCount) return Failed("Type: ./example image.rgb, or a file for each of model_facts.h's kInputs");

  const std::unique_ptr<TfLiteModel, decltype(&TfLiteModelDelete)> model(
      TfLiteModelCreateFromFile("model.tflite"), TfLiteModelDelete);
  if (!model) return Failed("There is no model.tflite in this folder, or it is none.");
  const std::unique_ptr<TfLiteInterpreterOptions, decltype(&TfLiteInterpreterOptionsDelete)> options(
      TfLiteInterpreterOptionsCreate(), TfLiteInterpreterOptionsDelete);
  TfLiteInterpreterOptionsSetNumThreads(options.get(), kThreads);
  const std::unique_ptr<TfLiteInterpreter, decltype(&TfLiteInterpreterDelete)> interpreter(
      TfLiteInterpreterCreate(model.get(), options.get()), TfLiteInterpreterDelete);
  if (!interpreter || TfLiteInterpreterAllocateTensors(interpreter.get()) != kTfLiteOk)
    return Failed("The interpreter does not take the model.");

  for (int i = 0; i < kCount; ++i) {
    const Tensor& facts = model_facts::kInputs[i];
    std::ifstream file(argv[1 + i], std::ios::binary);
    const std::vector<std::uint8_t> raw{std::istreambuf_iterator<char>(file), {}};
    if (raw.size() != facts.size * (facts.pixels ? 1 : sizeof(float)))
      return Failed("The file is not kHeight x kWidth x kChannels bytes, or the float32 numbers of its input.");
    const auto stored = Stored(raw, facts);
    TfLiteTensor* input = TfLiteInterpreterGetInputTensor(interpreter.get(), i);
    if (TfLiteTensorCopyFromBuffer(input, stored.data(), stored.size()) != kTfLiteOk)
      return Failed("The model does not take its input.");
  }
  if (TfLiteInterpreterInvoke(interpreter.get()) != kTfLiteOk) return Failed("The model does not run.");
  std::vector<std::vector<float>> outputs;
  for (const Tensor& facts : model_facts::kOutputs) {
    const int number = static_cast<int>(outputs.size());
    outputs.push_back(Real(TfLiteInterpreterGetOutputTensor(interpreter.get(), number), facts));
    // What is no number cannot be sorted, and is no answer.
    if (!std::all_of(outputs.back().begin(), outputs.back().end(), [](float value) { return std::isfinite(value); }))
      return Failed("The model answers with numbers that are not finite.");
  }
  for (const model_facts::Answer& answer : model_facts::kAnswers)
    decode::Print(answer, [&](int output, int i) { return outputs[output][i]; });
}
