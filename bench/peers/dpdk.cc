#include "dpdk.h"

#if defined(PEERS_DPDK)

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_malloc.h>
#include <sched.h>
#include <unistd.h>

#include <cstdio>
#include <vector>

#include "figures.h"

namespace flowsieve::peers {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

/// Calls rte_eal_init, which binds this thread to a processor, and writes its help on standard
/// output when it does not like a word. Both are undone: the system may know a quieter
/// processor, and standard output is for figures.
int initialize(std::vector<char*>& arguments) {
  cpu_set_t processors;
  sched_getaffinity(0, sizeof(processors), &processors);
  std::fflush(stdout);
  const int output = dup(STDOUT_FILENO);
  dup2(STDERR_FILENO, STDOUT_FILENO);
  const int taken = rte_eal_init(static_cast<int>(arguments.size()), arguments.data());
  std::fflush(stdout);
  dup2(output, STDOUT_FILENO);
  close(output);
  sched_setaffinity(0, sizeof(processors), &processors);
  return taken;
}

/// The first processor that this thread may run on.
int first_processor() {
  cpu_set_t processors;
  sched_getaffinity(0, sizeof(processors), &processors);
  int first = 0;
  while (first < CPU_SETSIZE - 1 && !CPU_ISSET(first, &processors)) ++first;
  return first;
}

std::string start() {
  std::vector<std::string> words = {"peers_bench",
                                    "--no-huge",
                                    "--no-shconf",
                                    "--no-pci",
                                    "--no-telemetry",
                                    "--log-level=*:error",
                                    "-m",
                                    "128",
                                    "-l",
                                    std::to_string(first_processor())};
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  if (initialize(arguments) >= 0) return "";
  return std::string("DPDK's environment does not start here: ") + rte_strerror(rte_errno);
}

}  // namespace

const std::string& dpdk_missing() {
  static const std::string missing = start();
  return missing;
}

DpdkHeap::DpdkHeap(size_t bytes) : bytes_((bytes + kHugePage - 1) / kHugePage * kHugePage) {
  static int number = 0;
  name_ = "peers_" + std::to_string(number++);
  pages_ = Pages(bytes_);
  expect(rte_malloc_heap_create(name_.c_str()) == 0, "DPDK to make a heap");
  expect(rte_malloc_heap_memory_add(name_.c_str(), pages_.data(), bytes_, nullptr,
                                    static_cast<unsigned>(bytes_ / kHugePage), kHugePage) == 0,
         "DPDK to take memory into a heap");
  socket_ = rte_malloc_heap_get_socket(name_.c_str());
}

DpdkHeap::~DpdkHeap() {
  rte_malloc_heap_memory_remove(name_.c_str(), pages_.data(), bytes_);
  rte_malloc_heap_destroy(name_.c_str());
}

}  // namespace flowsieve::peers

#else

namespace flowsieve::peers {

const std::string& dpdk_missing() {
  static const std::string missing = "libdpdk-dev is not installed";
  return missing;
}

}  // namespace flowsieve::peers

#endif
