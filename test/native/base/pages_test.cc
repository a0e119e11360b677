#include "base/pages.h"

#include <doctest/doctest.h>
#include <sys/mman.h>

#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <string>

using namespace flowsieve;

namespace {

/// Whether a child of this process would have the page at `data`, by the kernel's own account of the
/// mapping (proc(5), smaps: "dc" is what is not copied on fork).
bool is_inherited(const void* data) {
  std::ifstream maps("/proc/self/smaps");
  const auto wanted = reinterpret_cast<uintptr_t>(data);
  bool here = false;
  for (std::string line; std::getline(maps, line);) {
    uintptr_t begin = 0, end = 0;
    if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR " ", &begin, &end) == 2) {
      here = begin <= wanted && wanted < end;
    } else if (here && line.starts_with("VmFlags:")) {
      return line.find(" dc") == std::string::npos;
    }
  }
  throw std::runtime_error("expected the mapping in /proc/self/smaps");
}

}  // namespace

TEST_CASE("Pages: zeroed, aligned, and not inherited by a child") {
  for (const size_t bytes : {size_t{4096}, size_t{8} << 20}) {
    CAPTURE(bytes);
    const Pages pages(bytes);
    auto* data = static_cast<unsigned char*>(pages.data());
    CHECK(pages.size() == bytes);
    CHECK((data[0] | data[bytes - 1]) == 0);
    std::memset(data, 1, bytes);
    CHECK_FALSE(is_inherited(data));
    CHECK_FALSE(is_inherited(data + bytes - 4096));
  }
}

TEST_CASE("Pages: other mappings are inherited") {
  void* plain = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  REQUIRE(plain != MAP_FAILED);
  std::memset(plain, 1, 4096);
  CHECK(is_inherited(plain));
  without_children(plain, 4096);
  CHECK_FALSE(is_inherited(plain));
  munmap(plain, 4096);
}
