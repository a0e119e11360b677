// Expectations given to a worker, and listed from it, in a way that takes no memory on its thread.
#pragma once

#include <algorithm>
#include <memory>
#include <random>
#include <utility>

#include "engine/snapshot.h"
#include "worker/worker.h"

namespace flowsieve {

/// Has a worker expect by two calls: it brings the memory only where there is none yet.
template <typename Call>
Expectations::Outcome expect_in_steps(Call&& call, const Expectation& expectation) {
  std::unique_ptr<Expectations> room;
  if (!call([](Worker& worker) { return worker.expectations() != nullptr; })) {
    std::random_device random;
    room = std::make_unique<Expectations>(uint64_t{random()} << 32 | random());
  }
  return call([&](Worker& worker) { return worker.expect(expectation, room); });
}

inline ExpectationList room_for_expectations() {
  ExpectationList list;
  list.expectations.reserve(Expectations::kMax);
  list.matched.reserve(Expectations::kMax);
  return list;
}

inline void list_expectations(const Worker& worker, ExpectationList& list) {
  list.now = worker.now();
  if (worker.expectations() == nullptr) return;
  worker.expectations()->visit([&](const Expectation& expectation, uint64_t matched) {
    list.expectations.push_back(expectation);
    list.matched.push_back(matched);
  });
}

/// Another worker's list of the same expectations, in the same order: all get the same in turn.
inline ExpectationList& operator+=(ExpectationList& sum, ExpectationList&& more) {
  if (sum.expectations.empty()) return sum = std::move(more);
  const size_t both = std::min(sum.matched.size(), more.matched.size());
  for (size_t i = 0; i < both; ++i) sum.matched[i] += more.matched[i];
  return sum;
}

}  // namespace flowsieve
