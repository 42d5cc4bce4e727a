// What a model's outputs say, in words: model.json's `decode` as C++, for example.cc and example_micro.cc. It needs the
// standard library alone (C++11), and prints what example.py prints.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <vector>

#include "model_facts.h"

namespace decode {

using model_facts::Answer;
using model_facts::Kind;

constexpr std::size_t kTop = 5;  // classes that are told

inline void PrintTask(const Answer& answer) {
  if (*answer.task) std::printf("%s: ", answer.task);
}

inline void PrintNothing(const Answer& answer) {
  PrintTask(answer);
  std::printf("nothing\n");
}

// The classes with the largest values, which are probabilities or shares of pixels, or all labels from the least on.
inline void PrintBest(const Answer& answer, const std::vector<double>& values, double least = -HUGE_VAL) {
  std::vector<int> order;
  for (std::size_t i = 0; i < values.size(); ++i)
    if (values[i] >= least) order.push_back(static_cast<int>(i));
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return values[a] > values[b]; });
  if (answer.kind != Kind::kLabels) order.resize(std::min(order.size(), kTop));
  for (const int i : order) {
    PrintTask(answer);
    std::printf("%5.1f%%  %s\n", 100 * values[i], answer.labels[i]);
  }
  if (order.empty()) PrintNothing(answer);
}

// Here and below, real(output, i) is the i-th real number of an output of the model.
template <class Real>
void PrintClasses(const Answer& answer, Real real) {
  std::vector<double> values(answer.label_count);
  for (int i = 0; i < answer.label_count; ++i) values[i] = real(answer.output, i);
  if (answer.softmax) {
    const double largest = *std::max_element(values.begin(), values.end());
    double sum = 0;
    for (double& value : values) sum += value = std::exp(value - largest);
    for (double& value : values) value /= sum;
  }
  PrintBest(answer, values, answer.kind == Kind::kLabels ? answer.threshold : -HUGE_VAL);
}

template <class Real>
void PrintMask(const Answer& answer, Real real) {
  const int count = answer.label_count, pixels = model_facts::kOutputs[answer.output].size / count;
  std::vector<double> shares(count);
  for (int pixel = 0; pixel < pixels; ++pixel) {
    int best = 0;
    for (int i = 1; i < count; ++i)
      if (real(answer.output, pixel * count + i) > real(answer.output, pixel * count + best)) best = i;
    shares[best] += 1.0 / pixels;
  }
  PrintBest(answer, shares);
}

struct Box {
  double score;
  int label;
  double side[4];  // left, top, right, bottom, in pixels of the model's input
};

inline double Overlap(const Box& a, const Box& b) {
  const auto area = [](const double* side) {
    return std::max(side[2] - side[0], 0.0) * std::max(side[3] - side[1], 0.0);
  };
  const double both[] = {std::max(a.side[0], b.side[0]), std::max(a.side[1], b.side[1]),
                         std::min(a.side[2], b.side[2]), std::min(a.side[3], b.side[3])};
  return area(both) / std::max(area(a.side) + area(b.side) - area(both), 1e-9);
}

template <class Real>
std::vector<Box> Found(const Answer& answer, Real real) {
  const auto cells = [&](int side) { return (side + answer.stride - 1) / answer.stride; };  // the last may be cut
  const int rows = cells(answer.height), columns = cells(answer.width), count = answer.label_count;
  const bool joined = answer.boxes < 0;  // decoded inside the model: boxes in pixels and scores side by side
  const auto score = [&](int y, int x, int label) -> double {
    if (y < 0 || x < 0 || y >= rows || x >= columns) return 0;
    const int cell = y * columns + x;
    if (joined) return real(answer.output, cell * (4 + count) + 4 + label);
    return 1 / (1 + std::exp(-double(real(answer.output, cell * count + label))));
  };
  std::vector<Box> found;
  for (int y = 0; y < rows; ++y)
    for (int x = 0; x < columns; ++x)
      for (int label = 0; label < count; ++label) {
        Box box{score(y, x, label), label, {}};
        bool peak = box.score >= answer.threshold;
        for (int near = 0; peak && near < 9; ++near) peak = box.score >= score(y + near / 3 - 1, x + near % 3 - 1, label);
        if (!peak) continue;
        for (int side = 0; side < 4; ++side) {
          const int cell = y * columns + x;
          const double centre = ((side % 2 ? y : x) + 0.5) * answer.stride, most = side % 2 ? answer.height : answer.width;
          const double at = joined ? double(real(answer.output, cell * (4 + count) + side))
                                   : centre + (side < 2 ? -1 : 1) * std::exp(double(real(answer.boxes, cell * 4 + side)));
          box.side[side] = std::min(std::max(at, 0.0), most);
        }
        found.push_back(box);
      }
  return found;
}

template <class Real>
void PrintDetections(const Answer& answer, Real real) {
  std::vector<Box> found = Found(answer, real), kept;
  std::stable_sort(found.begin(), found.end(), [](const Box& a, const Box& b) { return a.score > b.score; });
  found.resize(std::min<std::size_t>(found.size(), answer.candidates));
  for (const Box& box : found) {
    const bool hidden = std::any_of(kept.begin(), kept.end(), [&](const Box& better) {
      return better.label == box.label && Overlap(better, box) > answer.iou;
    });
    if (!hidden && kept.size() < static_cast<std::size_t>(answer.limit)) kept.push_back(box);
  }
  for (const Box& box : kept) {
    PrintTask(answer);
    std::printf("%5.1f%%  %s  at %.0f, %.0f, %.0f, %.0f\n", 100 * box.score, answer.labels[box.label], box.side[0],
                box.side[1], box.side[2], box.side[3]);
  }
  if (kept.empty()) PrintNothing(answer);
}

template <class Real>
void PrintNumber(const Answer& answer, Real real) {
  const double value = real(answer.output, 0) * answer.scale + answer.offset;
  PrintTask(answer);
  std::printf(*answer.positive ? "%+.4g" : "%.4g", value);
  if (*answer.unit) std::printf(" %s", answer.unit);
  if (*answer.positive) std::printf(" (positive %s)", answer.positive);
  std::printf("\n");
}

// The first numbers of what nobody but the model's user can read.
template <class Real>
void PrintOther(const Answer& answer, Real real) {
  const int size = model_facts::kOutputs[answer.output].size;
  for (int i = 0; i < std::min<int>(size, kTop); ++i) {
    PrintTask(answer);
    std::printf("%.4g\n", double(real(answer.output, i)));
  }
}

template <class Real>
void Print(const Answer& answer, Real real) {
  switch (answer.kind) {
    case Kind::kClasses:
    case Kind::kLabels: return PrintClasses(answer, real);
    case Kind::kMask: return PrintMask(answer, real);
    case Kind::kDetections: return PrintDetections(answer, real);
    case Kind::kNumber: return PrintNumber(answer, real);
    case Kind::kOther: return PrintOther(answer, real);
  }
}

}  // namespace decode
