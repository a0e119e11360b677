#include "wheel/wheel.h"

#include <doctest/doctest.h>

#include <vector>

using namespace flowsieve;

namespace {

/// Advances and returns what fired, in order; nothing asks again.
std::vector<uint32_t> fired(Wheel& wheel, Tick now, size_t budget = SIZE_MAX) {
  std::vector<uint32_t> indexes;
  wheel.advance(now, budget, [&](uint32_t index) {
    indexes.push_back(index);
    return now;
  });
  return indexes;
}

/// An owner that keeps deadlines and answers for them, as the table does.
struct Owner {
  Wheel wheel;
  std::vector<Tick> deadlines;
  size_t asked = 0;

  Owner(uint32_t capacity, Tick now) : wheel(capacity, now), deadlines(capacity) {}
  void file(uint32_t index, Tick deadline) {
    deadlines[index] = deadline;
    wheel.schedule(index, deadline);
  }
  std::vector<uint32_t> advance(Tick now, size_t budget = SIZE_MAX) {
    std::vector<uint32_t> ended;
    asked += wheel.advance(now, budget, [&](uint32_t index) {
      if (!Wheel::is_later(deadlines[index], now)) ended.push_back(index);
      return deadlines[index];
    });
    return ended;
  }
};

using Indexes = std::vector<uint32_t>;

}  // namespace

TEST_CASE("wheel: a deadline fires at its own tick on every level, neither before nor after") {
  for (const Tick begin : {0u, 1u, 255u, 256u, 65535u, 1'000'003u, 0xffffff00u}) {
    for (const Tick distance : {1u, 2u, 255u, 256u, 257u, 511u, 65535u, 65536u, 65537u, 74'400u,
                                1'000'000u, (1u << 24) - 1, 1u << 24, (1u << 24) + 1, 1u << 26}) {
      CAPTURE(begin);
      CAPTURE(distance);
      Owner owner(4, begin);
      owner.file(2, begin + distance);
      CHECK(owner.advance(begin + distance - 1).empty());
      CHECK(owner.advance(begin + distance) == Indexes{2});
      CHECK_FALSE(owner.wheel.is_scheduled(2));
    }
  }
}

TEST_CASE("wheel: without a refresh an index is asked at most three times") {
  for (const Tick distance : {200u, 300u, 74'400u, 1'000'000u, (1u << 24) - 1}) {
    Owner owner(1, 77);
    owner.file(0, 77 + distance);
    for (Tick now = 77; now <= 77 + distance; now += 50) owner.advance(now);
    CHECK(owner.advance(77 + distance + 50).size() <= 1);
    CHECK(owner.asked <= 3);
  }
}

TEST_CASE("wheel: a deadline that has passed fires at the next tick") {
  Wheel wheel(4, 1000);
  wheel.schedule(0, 1000);
  wheel.schedule(1, 3);
  CHECK(fired(wheel, 1000).empty());
  CHECK(fired(wheel, 1001).size() == 2);
}

TEST_CASE("wheel: time that stands still or goes backward does nothing") {
  Wheel wheel(4, 1000);
  wheel.schedule(0, 1005);
  CHECK(fired(wheel, 1000).empty());
  CHECK(fired(wheel, 10).empty());
  CHECK(wheel.now() == 1000);
  CHECK(fired(wheel, 1005) == Indexes{0});
  wheel.schedule(1, 1006);
  CHECK(fired(wheel, 1005).empty());
  CHECK(fired(wheel, 1006) == Indexes{1});
}

TEST_CASE("wheel: the clock may wrap around") {
  Owner owner(3, UINT32_MAX - 5);
  owner.file(0, UINT32_MAX - 1);
  owner.file(1, 20);
  owner.file(2, 70'000);
  CHECK(owner.advance(UINT32_MAX) == Indexes{0});
  CHECK(owner.advance(19).empty());
  CHECK(owner.advance(20) == Indexes{1});
  CHECK(owner.advance(69'999).empty());
  CHECK(owner.advance(70'000) == Indexes{2});
}

TEST_CASE("wheel: what is cancelled or moved does not fire at its old time") {
  Wheel wheel(4, 0);
  wheel.schedule(0, 10);
  wheel.schedule(1, 10);
  wheel.schedule(2, 10);
  wheel.cancel(1);
  wheel.cancel(1);
  wheel.cancel(3);
  wheel.schedule(2, 250);
  CHECK(fired(wheel, 249) == Indexes{0});
  CHECK_FALSE(wheel.is_scheduled(1));
  CHECK(wheel.is_scheduled(2));
}

TEST_CASE(
    "wheel: a spent budget loses nothing, and the next advance goes on, even to the same time") {
  Wheel wheel(100, 0);
  for (uint32_t i = 0; i < 100; ++i) wheel.schedule(i, 5 + i % 3);
  std::vector<bool> seen(100);
  size_t total = 0;
  for (int round = 0; round < 20; ++round) {
    for (const uint32_t index : fired(wheel, 50, 7)) {
      CHECK_FALSE(seen[index]);
      seen[index] = true;
      ++total;
    }
    if (round == 3) CHECK(wheel.now() < 50);
  }
  CHECK(total == 100);
  CHECK(wheel.now() == 50);
}

TEST_CASE("wheel: what is filed while a budget has left work is not overtaken") {
  Wheel wheel(10, 0);
  for (uint32_t i = 0; i < 5; ++i) wheel.schedule(i, 5);
  CHECK(fired(wheel, 100, 2).size() == 2);
  wheel.schedule(7, 5);  // has passed, in the slot that is being worked off
  wheel.schedule(8, 90);
  wheel.schedule(9, 101);
  CHECK(fired(wheel, 100, 3).size() == 3);
  CHECK(fired(wheel, 100) == Indexes{7, 8});
  CHECK(fired(wheel, 101) == Indexes{9});
}

TEST_CASE("wheel: a budget of nothing does nothing") {
  Wheel wheel(2, 0);
  wheel.schedule(0, 5);
  CHECK(wheel.advance(9, 0, [](uint32_t) { return Tick{0}; }) == 0);
  CHECK(fired(wheel, 9) == Indexes{0});
}

TEST_CASE("wheel: the callback may cancel its neighbours in the list that is being walked") {
  Wheel wheel(16, 0);
  for (uint32_t i = 0; i < 16; ++i) wheel.schedule(i, 9);
  Indexes order;
  wheel.advance(9, SIZE_MAX, [&](uint32_t index) {
    order.push_back(index);
    for (uint32_t other = 0; other < 16; ++other) {
      if (other % 4 == (index + 1) % 4) wheel.cancel(other);
    }
    return Tick{9};
  });
  CHECK(order == Indexes{0, 2, 4, 6, 8, 10, 12, 14});
  for (uint32_t i = 0; i < 16; ++i) CHECK_FALSE(wheel.is_scheduled(i));
}

TEST_CASE(
    "wheel: the callback may file others, also from the list that is being walked, also for the "
    "past") {
  Wheel wheel(8, 0);
  for (uint32_t i = 0; i < 6; ++i) wheel.schedule(i, 300);
  Indexes order;
  wheel.advance(400, SIZE_MAX, [&](uint32_t index) {
    order.push_back(index);
    if (index == 0) {
      wheel.schedule(1, 350);   // later, still within this advance
      wheel.schedule(2, 5000);  // beyond it
      wheel.schedule(6, 3);     // has passed: the next tick
    }
    return index == 4 ? Tick{401} : Tick{400};
  });
  CHECK(order == Indexes{0, 3, 4, 5, 6, 1});
  CHECK(fired(wheel, 401) == Indexes{4});
  CHECK(fired(wheel, 4999).empty() == false);  // asked on a higher level, before its deadline
}

TEST_CASE("wheel: each index of a slot but the first is announced before the one ahead fires") {
  Wheel wheel(10, 0);
  for (uint32_t index = 0; index < 6; ++index) wheel.schedule(index, 5);
  wheel.schedule(6, 9);
  std::vector<uint32_t> order;  // 100 + index: announced
  const auto fire = [&](uint32_t index) {
    order.push_back(index);
    if (index == 2) wheel.cancel(3);  // announced in vain
    return Tick{5};
  };
  const auto soon = [&](uint32_t index) { order.push_back(100 + index); };
  CHECK(wheel.advance(5, 2, fire, soon) == 2);
  CHECK(order == std::vector<uint32_t>{101, 0, 102, 1});
  order.clear();
  wheel.advance(9, SIZE_MAX, fire, soon);
  CHECK(order == std::vector<uint32_t>{103, 2, 105, 4, 5, 6});
}

TEST_CASE("wheel: years of nothing are passed at once") {
  Wheel wheel(2, 0);
  Tick now = 0;
  for (int i = 0; i < 1000; ++i) {
    now += 1'900'000'000;  // walking tick by tick would take minutes
    CHECK(fired(wheel, now).empty());
    CHECK(wheel.now() == now);
  }
  wheel.schedule(0, now + Wheel::kSpanMax);
  CHECK(fired(wheel, now + Wheel::kSpanMax) == Indexes{0});
}

TEST_CASE("wheel: every list can be visited, with times that do not lie behind the deadlines") {
  Wheel wheel(1000, 123'456);
  for (uint32_t i = 0; i < 1000; ++i) wheel.schedule(i, 123'456 + i * i + 1);
  size_t visited = 0;
  CHECK(wheel.visit_filed([&](uint32_t index, Tick start) {
    ++visited;
    CHECK(start > 123'456);
    CHECK(start <= 123'456 + index * index + 1);
  }));
  CHECK(visited == 1000);
}
