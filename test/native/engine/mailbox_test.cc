// How others reach a worker, while its thread runs, begins and ends. What the letters touch is not
// atomic: the thread sanitizer sees every two that overlap.
#include "engine/mailbox.h"

#include <doctest/doctest.h>
#include <poll.h>

#include <array>
#include <atomic>
#include <thread>

#include "support/test_node.h"

namespace flowsieve::test {

namespace {

bool readable(const Mailbox& mailbox, int wait_ms) {
  pollfd ready{mailbox.poll_fd(), POLLIN, 0};
  return poll(&ready, 1, wait_ms) == 1;
}

}  // namespace

TEST_CASE("a letter waits for the next drain, in the order in which it was posted") {
  TestNode node;
  Mailbox mailbox;
  REQUIRE(mailbox.open().ok());
  mailbox.accept();
  std::vector<int> order;
  for (int i = 0; i < 100; ++i) {
    mailbox.post([&order, i](Worker&) { order.push_back(i); }, node.worker());
  }
  CHECK(order.empty());
  mailbox.drain(node.worker());
  REQUIRE(order.size() == 100);
  for (int i = 0; i < 100; ++i) CHECK(order[i] == i);
  mailbox.drain(node.worker());
  CHECK(order.size() == 100);
}

TEST_CASE("the descriptor is readable while letters wait, and only then") {
  TestNode node;
  Mailbox mailbox;
  REQUIRE(mailbox.open().ok());
  mailbox.accept();
  CHECK_FALSE(readable(mailbox, 0));
  mailbox.post([](Worker&) {}, node.worker());
  mailbox.post([](Worker&) {}, node.worker());
  CHECK(readable(mailbox, 0));
  mailbox.drain(node.worker());
  CHECK_FALSE(readable(mailbox, 0));
}

TEST_CASE("without anybody to drain it a letter is called at once, on the caller's thread") {
  TestNode node;
  Mailbox mailbox;
  std::thread::id called;
  const auto letter = [&](Worker& worker) {
    CHECK(&worker == &node.worker());
    called = std::this_thread::get_id();
  };
  mailbox.post(letter, node.worker());  // not even opened
  CHECK(called == std::this_thread::get_id());

  REQUIRE(mailbox.open().ok());
  mailbox.accept();
  called = {};
  mailbox.post(letter, node.worker());
  CHECK(called == std::thread::id());
  mailbox.close(node.worker());  // calls what is left
  CHECK(called == std::this_thread::get_id());

  called = {};
  mailbox.post(letter, node.worker());
  CHECK(called == std::this_thread::get_id());
}

TEST_CASE("opening it again keeps its descriptor") {
  Mailbox mailbox;
  REQUIRE(mailbox.open().ok());
  const int descriptor = mailbox.poll_fd();
  REQUIRE(mailbox.open().ok());
  CHECK(mailbox.poll_fd() == descriptor);
}

TEST_CASE("letters from four threads are called once each, in each thread's order, one at a time") {
  constexpr int kThreads = 4, kLetters = 2000;
  TestNode node;
  Mailbox mailbox;
  REQUIRE(mailbox.open().ok());
  mailbox.accept();
  // Not atomic, by purpose.
  std::array<int, kThreads> next{};
  int out_of_order = 0, called = 0;
  std::thread worker([&] {
    while (called < kThreads * kLetters) {
      mailbox.drain(node.worker());
      // A wake-up that got lost shows as a test that takes minutes.
      readable(mailbox, 1000);
    }
  });
  std::vector<std::thread> posters;
  for (int thread = 0; thread < kThreads; ++thread) {
    posters.emplace_back([&, thread] {
      for (int i = 0; i < kLetters; ++i) {
        mailbox.post(
            [&, thread, i](Worker&) {
              out_of_order += next[thread]++ != i;
              ++called;
            },
            node.worker());
      }
    });
  }
  for (std::thread& poster : posters) poster.join();
  worker.join();
  CHECK(called == kThreads * kLetters);
  CHECK(out_of_order == 0);
  mailbox.close(node.worker());
  CHECK(called == kThreads * kLetters);
}

// The moment between the last drain and the first letter called directly: both sides
// touch the worker.
TEST_CASE(
    "letters posted while the worker's thread begins and ends are called once, never two at a "
    "time") {
  constexpr int kRounds = 300, kThreads = 4;
  TestNode node;
  Mailbox mailbox;
  REQUIRE(mailbox.open().ok());
  int64_t called = 0;  // not atomic, by purpose
  std::atomic<bool> done{false};
  std::array<int64_t, kThreads> posted{};
  std::vector<std::thread> posters;
  for (int thread = 0; thread < kThreads; ++thread) {
    posters.emplace_back([&, thread] {
      while (!done) {
        mailbox.post(
            [&](Worker& worker) {
              ++called;
              worker.table().sizes();
            },
            node.worker());
        ++posted[thread];
        std::this_thread::yield();
      }
    });
  }
  for (int round = 0; round < kRounds; ++round) {
    mailbox.accept();
    std::thread worker([&] {
      for (int i = 0; i < 3; ++i) {
        mailbox.drain(node.worker());
        node.worker().age(monotonic_ns(), 1);  // the thread's own work on the worker
      }
      mailbox.close(node.worker());
    });
    worker.join();
  }
  done = true;
  for (std::thread& poster : posters) poster.join();
  int64_t expected = 0;
  for (const int64_t each : posted) expected += each;
  CHECK(called == expected);
  CHECK(called > 0);
}

}  // namespace flowsieve::test
