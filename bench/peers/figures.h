// What a room of the benches has to print, in C++ (bench/results.ts has the format): one JSON
// object a line on standard output, for each figure and for each that is missing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <regex>
#include <string>
#include <vector>

namespace flowsieve::peers {

struct Options {
  bool full = false;
  std::regex filter{""};  ///< matches everything

  int rounds() const { return full ? 5 : 3; }
  bool wants(const std::string& name) const { return std::regex_search(name, filter); }
};

/// Processor time of this thread in nanoseconds: what other programs on the machine use does not
/// count, page faults do.
uint64_t thread_ns();

/// The process's memory that is really there, in bytes, exactly; slow.
uint64_t resident_bytes();

/// The machine's memory that can still be had, in bytes.
uint64_t available_bytes();

/// The figures of one name, a subject's each; they are printed when the last round is over.
class Series {
 public:
  Series(std::string name, std::string unit) : name_(std::move(name)), unit_(std::move(unit)) {}

  const std::string& name() const { return name_; }
  void add(const std::string& of, const std::string& note, double value);
  void missing(const std::string& of, const std::string& reason) const;
  void print() const;

 private:
  struct Figure {
    std::string of, note;
    std::vector<double> values;
  };
  std::string name_, unit_;
  std::vector<Figure> figures_;  // in the order of the first round
};

/// Writes `words` on standard error and ends the program when `is` is false: a subject whose answer
/// is wrong is not worth timing.
void expect(bool is, const std::string& words);

/// Nanoseconds of `work()` for each of `operations`.
template <typename Work>
double timed(size_t operations, Work&& work) {
  const uint64_t before = thread_ns();
  work();
  return static_cast<double>(thread_ns() - before) / static_cast<double>(operations);
}

}  // namespace flowsieve::peers
