#include "dram.h"

#include <array>

#include "figures.h"
#include "table_subject.h"

namespace flowsieve::peers {

Dram::Dram(size_t bytes)
    : pages_(bytes), lines_(static_cast<Line*>(pages_.data())), count_(bytes / sizeof(Line)) {
  // Written once, so that the kernel has backed all of it.
  for (uint64_t i = 0; i < count_; ++i) lines_[i].writes = 1;
}

double Dram::lines(size_t count) {
  return timed(count, [&] {
    for (size_t done = 0; done < count; done += kBurst) burst();
  });
}

void Dram::burst() {
  std::array<Line*, kBurst> lines;
  for (Line*& line : lines) {
    // Marsaglia's xorshift: some two nanoseconds that are not the memory's.
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    line = &lines_[(state_ >> 32) * count_ >> 32];
    __builtin_prefetch(line, 1);
  }
  for (Line* line : lines) ++line->writes;
}

}  // namespace flowsieve::peers
