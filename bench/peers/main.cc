// The connection table and its timers beside other people's, on the same keys, states and packets.
//
//   peers_bench [--full] [--filter REGEX]
//
//   peers/hit/N             a packet of one of N open connections: found, its state written
//   peers/miss/N            a packet of none of them
//   peers/open_close/N      the oldest connection closed and another opened, in steady state
//   peers/memory/N          resident bytes for each connection
//   peers/longest/N         the longest of the openings that fill a table
//   dram/line/N             what one cache line of as much memory costs
//   peers/timer/refresh/N   a packet that postpones its connection's end
//   peers/timer/expire/N    a connection that ends
//
// Each subject is first held against a plain reference, and a run ends where they differ. Then all
// are timed in turn, round by round, on one thread, in processor time. What this does not tell: how
// a library does with several threads, or with other keys than the project's 40 bytes.
//
// Lines are printed as bench/results.ts has them; what is going on is told on standard error.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "rooms.h"

namespace {

using flowsieve::peers::Options;

/// Has the C library ask for huge pages for what it allocates, as the project's tables do:
/// structures are to be compared and not sizes of pages. That is read at the start of a
/// program, so it starts once more.
void restart_with_huge_pages(char** arguments) {
  constexpr const char* kTunables = "GLIBC_TUNABLES";
  constexpr const char* kHugePages = "glibc.malloc.hugetlb=1";
  const char* set = std::getenv(kTunables);
  if (set != nullptr && std::strstr(set, kHugePages) != nullptr) return;
  const std::string tunables = set == nullptr ? kHugePages : std::string(set) + ':' + kHugePages;
  setenv(kTunables, tunables.c_str(), 1);
  execv("/proc/self/exe", arguments);
  std::perror("peers_bench runs on small pages, as it cannot restart itself");
}

int usage() {
  std::fprintf(stderr, "usage: peers_bench [--full] [--filter REGEX]\n");
  return 2;
}

}  // namespace

int main(int count, char** arguments) {
  Options options;
  for (int i = 1; i < count; ++i) {
    const std::string argument = arguments[i];
    if (argument == "--full") {
      options.full = true;
    } else if (argument == "--filter" && i + 1 < count) {
      options.filter = std::regex(arguments[++i]);
    } else {
      return usage();
    }
  }
  restart_with_huge_pages(arguments);
  flowsieve::peers::run_tables(options);
  flowsieve::peers::run_timers(options);
  return 0;
}
