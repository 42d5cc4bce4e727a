// What model_facts.h, which is model.json as C++, is made of.
#pragma once

namespace model_facts {

struct Tensor {
  const char* name;
  const char* dtype;
  int size;       // elements of one example
  float scale;    // real = scale * (stored - zero_point); 0: stored as it is
  int zero_point;
  bool pixels;    // of an input: bytes 0..255 go in, else float32 numbers
};

enum class Kind { kClasses, kLabels, kMask, kDetections, kNumber, kOther };

struct Answer {  // what one task says: model.json's decode
  const char* task;  // "" where the model does one alone
  Kind kind;
  bool softmax;  // classes: the output is logits
  int output;  // place in kOutputs
  int boxes;   // of a detector's boxes; -1: they stand in the same output
  const char* const* labels;
  int label_count;
  double scale, offset;  // number = real * scale + offset
  const char* unit;
  const char* positive;  // what a number above 0 means; "": its sign says nothing more
  int height, width, stride, candidates, limit;  // of a detector
  double threshold;  // from which a detection or a label counts
  double iou;
};

}  // namespace model_facts
