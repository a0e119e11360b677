// Timers in turn, of a million connections.
#include <algorithm>
#include <cstdio>
#include <numeric>
#include <random>

#include "rooms.h"
#include "timer_subject.h"

namespace flowsieve::peers {
namespace {

struct Standing {
  const TimerSubject* subject;
  std::unique_ptr<Timers> timers;
};

std::vector<Standing> started(const std::vector<TimerSubject>& subjects) {
  std::vector<Standing> standing;
  for (const TimerSubject& subject : subjects) {
    if (!subject.missing.empty()) continue;
    std::fprintf(stderr, "starting the timers of %s\n", subject.name.c_str());
    subject.check();
    standing.push_back({&subject, subject.make()});
  }
  return standing;
}

void print(const Series& series, const std::vector<TimerSubject>& subjects) {
  series.print();
  for (const TimerSubject& subject : subjects) {
    if (!subject.missing.empty()) series.missing(subject.name, subject.missing);
  }
}

}  // namespace

void Order::shuffle() {
  std::mt19937 random(seed_++);
  for (auto pass = indexes_.begin(); pass != indexes_.end(); pass += kTimers) {
    std::iota(pass, pass + kTimers, 0);
    std::shuffle(pass, pass + kTimers, random);
  }
}

void run_timers(const Options& options) {
  const std::string size = std::to_string(kTimers);
  Series refresh("peers/timer/refresh/" + size, "ns"), expire("peers/timer/expire/" + size, "ns");
  const bool refreshes = options.wants(refresh.name()), expires = options.wants(expire.name());
  if (!refreshes && !expires) return;
  const std::vector<TimerSubject> subjects = {lazy_wheel(), linked_wheel(), multimap_timers(),
                                              dpdk_timers()};
  const std::vector<Standing> standing = started(subjects);
  for (int round = 0; round < options.rounds(); ++round) {
    for (const auto& [subject, timers] : standing) {
      if (refreshes) refresh.add(subject->name, subject->note, timers->refresh());
    }
    for (const auto& [subject, timers] : standing) {
      if (expires) expire.add(subject->name, subject->note, timers->expire());
    }
  }
  if (refreshes) print(refresh, subjects);
  if (expires) print(expire, subjects);
}

}  // namespace flowsieve::peers
