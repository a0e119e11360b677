#include "figures.h"

#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>

namespace flowsieve::peers {
namespace {

/// The number behind `label` in one of the kernel's "Label:   123 kB" files, in bytes.
uint64_t kernel_bytes(const char* path, const std::string& label) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(label)) return std::stoull(line.substr(label.size())) * 1024;
  }
  return 0;
}

std::string quoted(const std::string& text) {
  std::string json = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') json += '\\';
    json += c == '\n' ? ' ' : c;
  }
  return json + '"';
}

}  // namespace

uint64_t thread_ns() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

uint64_t resident_bytes() {
  return kernel_bytes("/proc/self/smaps_rollup", "Rss:");
}

uint64_t available_bytes() {
  return kernel_bytes("/proc/meminfo", "MemAvailable:");
}

void Series::add(const std::string& of, const std::string& note, double value) {
  auto figure = std::ranges::find(figures_, of, &Figure::of);
  if (figure == figures_.end()) figure = figures_.insert(figure, Figure{of, note, {}});
  figure->values.push_back(value);
}

void Series::missing(const std::string& of, const std::string& reason) const {
  std::printf("{\"name\":%s,\"of\":%s,\"missing\":%s}\n", quoted(name_).c_str(), quoted(of).c_str(),
              quoted(reason).c_str());
  std::fflush(stdout);
}

void Series::print() const {
  for (const Figure& figure : figures_) {
    std::printf("{\"name\":%s,\"of\":%s,\"unit\":%s,\"values\":[", quoted(name_).c_str(),
                quoted(figure.of).c_str(), quoted(unit_).c_str());
    for (size_t i = 0; i < figure.values.size(); ++i) {
      std::printf("%s%.2f", i == 0 ? "" : ",", figure.values[i]);
    }
    std::printf("]%s%s}\n", figure.note.empty() ? "" : ",\"note\":",
                figure.note.empty() ? "" : quoted(figure.note).c_str());
  }
  std::fflush(stdout);
}

void expect(bool is, const std::string& words) {
  if (is) return;
  std::fprintf(stderr, "Expected %s.\n", words.c_str());
  std::exit(1);
}

}  // namespace flowsieve::peers
