// How evenly values fall into cells: Pearson's chi-square, as the number of standard deviations by
// which it exceeds what even chance would give. For many cells chi-square is nearly normal with
// mean d and variance 2 d, d the degrees of freedom; 4 is passed by chance once in 30,000 runs, and
// the tests' seeds are fixed.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace flowsieve {

inline constexpr double kUnevennessMax = 4.0;

class CellCounts {
 public:
  explicit CellCounts(size_t cells) : counts_(cells) {}

  void add(size_t cell) {
    ++counts_.at(cell);
    ++total_;
  }

  double unevenness() const {
    const double expected = static_cast<double>(total_) / static_cast<double>(counts_.size());
    double chi_square = 0;
    for (const uint32_t count : counts_) {
      chi_square += (count - expected) * (count - expected) / expected;
    }
    const double degrees = static_cast<double>(counts_.size()) - 1;
    return (chi_square - degrees) / std::sqrt(2 * degrees);
  }

 private:
  std::vector<uint32_t> counts_;
  size_t total_ = 0;
};

}  // namespace flowsieve
