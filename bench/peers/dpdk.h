// DPDK's environment, which its hash and its timers need: no huge page file system, no devices, no
// files, this thread only. What its tables stand on is memory of ours, given to it as an external
// heap: then they have the same transparent huge pages as all other subjects, which DPDK itself
// would take from hugetlbfs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/pages.h"

namespace flowsieve::peers {

/// Starts the environment at the first call. Returns why DPDK is missing, or an empty string.
const std::string& dpdk_missing();

/// Memory that rte_malloc and what stands on it can be told to use, by the number of a socket.
class DpdkHeap {
 public:
  explicit DpdkHeap(size_t bytes);
  ~DpdkHeap();
  DpdkHeap(const DpdkHeap&) = delete;
  DpdkHeap& operator=(const DpdkHeap&) = delete;

  int socket() const { return socket_; }
  const std::string& name() const { return name_; }

 private:
  std::string name_;
  Pages pages_;
  size_t bytes_;
  int socket_;
};

}  // namespace flowsieve::peers
