// Tables in turn. All subjects of one size stand at the same time, each full to its capacity and
// with every connection replaced once, so that what churn leaves behind is part of what is timed.
// In a round all of them see the same packets.
#include <malloc.h>
#include <algorithm>
#include <cstdio>
#include <random>

#include "dram.h"
#include "rooms.h"
#include "table_subject.h"

namespace flowsieve::peers {
namespace {

constexpr uint32_t kNever = 1u << 31;  ///< connections from this number on are never opened
/// What all subjects of one size and their packets take together, for each connection.
constexpr uint64_t kBytesForEachConnection = 1200;

struct Standing {
  const TableSubject* subject;
  std::unique_ptr<Table> table;
};

/// The connections `first` … `first + count - 1`, in this order.
std::vector<Key> in_order(uint32_t first, uint32_t count) {
  std::vector<Key> keys(count);
  for (uint32_t i = 0; i < count; ++i) keys[i] = connection(first + i);
  return keys;
}

/// `operations` packets of connections picked at random from `first` … `first + count - 1`. They
/// are copied beforehand, so that reading them is a stream.
std::vector<Key> at_random(uint32_t first, uint32_t count, uint32_t operations, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<Key> keys(operations);
  for (Key& key : keys) {
    key = connection(first + static_cast<uint32_t>(uint64_t{random()} * count >> 32));
  }
  return keys;
}

/// A full table whose connections have all been replaced: count … 2 * count - 1 are open.
std::unique_ptr<Table> churned(const TableSubject& subject, uint32_t count) {
  std::unique_ptr<Table> table = subject.make(count, Room::kReserved);
  for (uint32_t n = 0; n < count; ++n) {
    expect(table->open(connection(n), 1), subject.name + " to take what it has room for");
  }
  for (uint32_t n = 0; n < count; n += kBurst) {
    const std::vector<Key> closing = in_order(n, kBurst), opening = in_order(n + count, kBurst);
    expect(table->turnover(closing.data(), opening.data(), 2) == kBurst,
           subject.name + " to replace connections");
  }
  expect(table->size() == count, subject.name + " to have kept count");
  return table;
}

class TableRoom {
 public:
  TableRoom(const Options& options, const std::vector<TableSubject>& subjects, uint32_t connections)
      : options_(options), subjects_(subjects), connections_(connections) {}

  void run() {
    Series hit = series("peers/hit/", "ns"), miss = series("peers/miss/", "ns"),
           open_close = series("peers/open_close/", "ns"),
           memory = series("peers/memory/", "bytes"), longest = series("peers/longest/", "us"),
           line = series("dram/line/", "ns");
    if (wants(longest)) time_longest(longest);
    if (!wants(hit) && !wants(miss) && !wants(open_close) && !wants(memory) && !wants(line)) return;
    if (is_too_large({&hit, &miss, &open_close, &memory}, line)) return;
    build(memory);
    if (wants(memory)) print(memory);
    if (wants(hit) || wants(line)) time_hits(hit, line);
    if (wants(miss)) time_misses(miss);
    if (wants(open_close)) time_open_close(open_close);
  }

 private:
  Series series(const char* kind, const char* unit) const {
    return Series(kind + std::to_string(connections_), unit);
  }
  bool wants(const Series& series) const { return options_.wants(series.name()); }
  /// Operations of one round. A million and more, so that one round sees most of a large table; a
  /// small one is seen several times by fewer.
  uint32_t operations() const {
    return (connections_ < 1'000'000 ? 8 : 32) * (options_.full ? 131'072 : 32'768);
  }

  void print(const Series& series) const {
    series.print();
    for (const TableSubject& subject : subjects_) {
      if (!subject.missing.empty()) series.missing(subject.name, subject.missing);
    }
  }
  bool is_too_large(std::initializer_list<const Series*> all, const Series& line) const {
    const uint64_t bytes = connections_ * kBytesForEachConnection;
    if (available_bytes() >= bytes) return false;
    const std::string reason = std::to_string(bytes >> 20) + " MB of memory are not free";
    for (const Series* series : all) {
      if (!wants(*series)) continue;
      for (const TableSubject& subject : subjects_) series->missing(subject.name, reason);
    }
    if (wants(line)) line.missing("DRAM", reason);
    return true;
  }

  void build(Series& memory) {
    for (const TableSubject& subject : subjects_) {
      if (!subject.missing.empty()) continue;
      std::fprintf(stderr, "filling %s with %u connections\n", subject.name.c_str(), connections_);
      malloc_trim(0);  // what an earlier subject has freed would hide what this one takes
      const uint64_t before = resident_bytes();
      standing_.push_back({&subject, churned(subject, connections_)});
      if (subject.again) continue;
      memory.add(subject.name, "growth of the resident set, huge pages included, once full",
                 static_cast<double>(resident_bytes() - before) / connections_);
    }
  }

  /// Bursts of `keys` through every table in turn, each of which has to find `expected` of them.
  void time_packets(Series& series, const std::vector<Key>& keys, size_t expected) {
    for (Standing& standing : standing_) {
      size_t found = 0;
      series.add(standing.subject->name, standing.subject->note, timed(keys.size(), [&] {
                   for (size_t i = 0; i < keys.size(); i += kBurst) {
                     found += standing.table->packets(&keys[i], ++now_);
                   }
                 }));
      expect(found == expected, standing.subject->name + " to find " + std::to_string(expected) +
                                    " of the packets' connections");
    }
  }

  void time_hits(Series& hit, Series& line) {
    Dram dram(ours_bytes());
    for (int round = 0; round < options_.rounds(); ++round) {
      const auto keys = at_random(oldest(), connections_, operations(), round);
      if (wants(hit)) time_packets(hit, keys, keys.size());
      line.add("DRAM",
               "a cache line at random, written, in bursts of 32, of memory of our table's size",
               dram.lines(operations()));
    }
    if (wants(hit)) print(hit);
    if (wants(line) && connections_ >= 1'000'000) line.print();  // a smaller one fits into caches
  }

  void time_misses(Series& miss) {
    for (int round = 0; round < options_.rounds(); ++round) {
      time_packets(miss, at_random(kNever, connections_, operations(), round), 0);
    }
    print(miss);
  }

  void time_open_close(Series& series) {
    for (int round = 0; round < options_.rounds(); ++round) {
      const auto closing = in_order(oldest(), operations());
      const auto opening = in_order(oldest() + connections_, operations());
      for (Standing& standing : standing_) {
        size_t done = 0;
        const double each = timed(operations(), [&] {
          for (size_t i = 0; i < operations(); i += kBurst) {
            done += standing.table->turnover(&closing[i], &opening[i], ++now_);
          }
        });
        series.add(standing.subject->name, "one closed, another opened; " + standing.subject->note,
                   each);
        expect(done == operations(), standing.subject->name + " to close and open connections");
      }
      replaced_ += operations();
    }
    print(series);
  }

  /// The longest of the operations that fill a table which has not been told how much will come.
  void time_longest(Series& series) const {
    for (int round = 0; round < options_.rounds(); ++round) {
      for (const TableSubject& subject : subjects_) {
        if (!subject.missing.empty() || subject.again) continue;
        series.add(
            subject.name,
            "processor time of the longest of all openings, the table not told beforehand how "
            "many will come unless it cannot grow; page faults included",
            longest_us([&, table = subject.make(connections_, Room::kGrowing)](uint32_t n) {
              expect_open(subject, table->open(connection(n), 1));
            }));
      }
      series.add("nothing",
                 "the longest gap in a loop that reads its clock and does nothing else: "
                 "what the machine takes is charged to whoever runs",
                 longest_us([](uint32_t) {}));
    }
    print(series);
  }

  template <typename Operation>
  double longest_us(const Operation& operation) const {
    uint64_t longest = 0;
    uint64_t before = thread_ns();
    for (uint32_t n = 0; n < connections_; ++n) {
      operation(n);
      const uint64_t after = thread_ns();
      longest = std::max(longest, after - before);
      before = after;
    }
    return static_cast<double>(longest) / 1000;
  }
  /// expect() makes its words beforehand, which would be timed.
  static void expect_open(const TableSubject& subject, bool is) {
    if (!is) expect(false, subject.name + " to take what it has room for");
  }

  uint32_t oldest() const { return connections_ + replaced_; }
  /// The memory of our table, which need not be touched for that.
  size_t ours_bytes() const {
    TableOptions options;
    options.capacity = connections_;
    return ConnectionTable(options, 0).memory_bytes();
  }

  const Options& options_;
  const std::vector<TableSubject>& subjects_;
  uint32_t connections_;
  uint32_t replaced_ = 0;  // since all were opened and replaced once
  Tick now_ = 2;
  std::vector<Standing> standing_;
};

}  // namespace

void run_tables(const Options& options) {
  const std::vector<TableSubject> subjects = table_subjects();
  for (const TableSubject& subject : subjects) {
    if (subject.missing.empty()) check_table(*subject.make(4096, Room::kReserved), subject.name);
  }
  std::vector<uint32_t> sizes = {65'536, 1'000'000};
  if (options.full) sizes.push_back(10'000'000);
  for (const uint32_t size : sizes) TableRoom(options, subjects, size).run();
}

}  // namespace flowsieve::peers
