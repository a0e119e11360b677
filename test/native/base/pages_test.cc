#include "base/pages.h"

#include <doctest/doctest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

using namespace flowsieve;

namespace {

/// What mincore(2) says in a child of this process of the page at `data`: 0 when it has the page.
int in_a_child(const void* data) {
  const pid_t child = fork();
  if (child == 0) {
    unsigned char present = 0;
    _exit(mincore(const_cast<void*>(data), 1, &present) == 0 ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
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
    CHECK(in_a_child(data) == 1);
    CHECK(in_a_child(data + bytes - 4096) == 1);
  }
}

TEST_CASE("Pages: other mappings are inherited") {
  void* plain = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  REQUIRE(plain != MAP_FAILED);
  std::memset(plain, 1, 4096);
  CHECK(in_a_child(plain) == 0);
  without_children(plain, 4096);
  CHECK(in_a_child(plain) == 1);
  munmap(plain, 4096);
}
