// Merging a list into what the packets have told: one connection known to both, in all the ways in
// which two nodes can know it differently.
//
// The table is node 0's, its clock stands at 500 when the sender's stands at 1000.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "table/records.h"
#include "table/table.h"

using namespace table_test;

namespace {

constexpr Tick kSenderNow = 1000, kNow = 500;

TableOptions options() {
  TableOptions options;
  options.capacity = 64;
  options.opening_share = 1;
  options.seed = 1;
  options.nodes = 8;
  return options;
}

/// One connection as somebody noted it; times on that node's clock.
struct Noted {
  uint16_t owner = 1;
  ConnectionStatus status = kOpening;
  Tick opened = 0, last_seen = 0;
  uint8_t flags = 0;
};

Record record_of(const Noted& noted) {
  Record entry = record(1, noted.status, noted.last_seen, noted.owner);
  entry.opened = noted.opened;
  entry.flags = noted.flags;
  return entry;
}

/// A table that holds one connection, and what merging a record of it does.
struct Merge {
  explicit Merge(const Noted& ours) : table(options(), 0) { enter(table, record_of(ours)); }
  ConnectionTable::Imported merge(const Noted& theirs, uint8_t seen_here = 0) {
    Record entry = record_of(theirs);
    entry.seen_here = seen_here;
    const auto result = table.import_block({&entry, 1}, kSenderNow, kNow);
    CHECK(table.check_invariants() == "");
    return result;
  }
  const Record& entry() { return table.at(find(table, 1)); }
  ConnectionTable table;
};

}  // namespace

TEST_CASE("merge: a connection that this node saw from its opening on only takes over the owner") {
  Merge merge({.owner = 2, .status = kEstablished, .opened = 390, .last_seen = 400});
  const Noted theirs{
      .owner = 5, .status = kClosing, .opened = 890, .last_seen = 990, .flags = kFinFromClient};
  CHECK(merge.merge(theirs).corrected == 1);
  CHECK(merge.entry().owner == 5);
  CHECK(merge.entry().status == kEstablished);
  CHECK(merge.entry().last_seen == 400);
  CHECK(merge.entry().opened == 390);
  CHECK(merge.entry().flags == 0);
  const auto again = merge.merge(theirs);
  CHECK(again.known == 1);
  CHECK(again.corrected == 0);
}

TEST_CASE("merge: an own connection stays own, and a record with another owner is a dispute") {
  Merge merge({.owner = 0, .status = kEstablished, .opened = 390, .last_seen = 400});
  auto result = merge.merge({.owner = 5, .opened = 890, .last_seen = 990});
  CHECK(result.disputed == 1);
  CHECK(result.known == 1);
  CHECK(merge.entry().owner == 0);
  // Not even a later connection takes it away.
  result = merge.merge({.owner = 5, .opened = 980, .last_seen = 990});
  CHECK(result.disputed == 1);
  CHECK(merge.entry().owner == 0);
  CHECK(merge.entry().opened == 390);
  result = merge.merge({.owner = 0, .opened = 890, .last_seen = 990});
  CHECK(result.disputed == 0);
  CHECK(result.known == 1);
  CHECK(merge.table.sizes().own == 1);
}

TEST_CASE("merge: an own connection that has closed gives way to a later one, no other does") {
  for (const ConnectionStatus status : {kOpening, kEstablished, kClosing}) {
    Merge merge({.owner = 0, .status = status, .opened = 400, .last_seen = 440});
    Record later = record_of({.owner = 5, .opened = 980, .last_seen = 985});
    later.reopened = 1;
    const auto result = merge.table.import_block({&later, 1}, kSenderNow, kNow);
    CHECK(merge.entry().owner == (status == kClosing ? 5 : 0));
    CHECK(result.corrected == (status == kClosing));
    CHECK(result.disputed == (status != kClosing));
    CHECK(merge.table.sizes().own == (status != kClosing));
  }
}

TEST_CASE("merge: an end that a list has told is no later life when the list comes again") {
  for (const uint16_t owner : {0, 2}) {
    Merge merge({.owner = owner,
                 .status = kEstablished,
                 .opened = 400,
                 .last_seen = 440,
                 .flags = kMidstream});
    const Noted theirs{.owner = 5, .status = kClosing, .opened = 980, .last_seen = 985};
    merge.merge(theirs);
    CHECK(merge.entry().status == kClosing);
    CHECK(merge.entry().opened == 400);
    const auto again = merge.merge(theirs);
    CHECK(again.known == 1);
    CHECK(again.corrected == 0);
    CHECK(merge.entry().opened == 400);
    CHECK(merge.entry().owner == (owner == 0 ? 0 : 5));
    // Another one's opening is another life.
    Record later = record_of({.owner = 5, .opened = 995, .last_seen = 998});
    later.reopened = 1;
    CHECK(merge.table.import_block({&later, 1}, kSenderNow, kNow).corrected == 1);
    CHECK(merge.entry().opened == 495);
  }
}

TEST_CASE("merge: whose word counts depends on what is known here") {
  struct Case {
    uint16_t owner;
    uint8_t flags, seen_here;
    bool takers, returning, all;  // believed
  };
  const Case cases[] = {{0, 0, 0, false, false, true},       {0, 0, kConfirmed, false, false, true},
                        {0, 0, kAdopted, true, true, true},  {0, kMidstream, 0, false, true, true},
                        {2, 0, 0, true, false, true},        {2, 0, kAdopted, true, true, true},
                        {2, kMidstream, 0, true, true, true}};
  for (const Case& known : cases) {
    CAPTURE(int{known.owner});
    CAPTURE(int{known.flags});
    CAPTURE(int{known.seen_here});
    const std::pair<Trust, bool> trusts[] = {{Trust::kTakers, known.takers},
                                             {Trust::kReturning, known.returning},
                                             {Trust::kAll, known.all}};
    for (const auto& [trust, believed] : trusts) {
      CAPTURE(static_cast<int>(trust));
      ConnectionTable table(options(), 0);
      Record ours = record(1, kEstablished, 400, known.owner);
      ours.flags = known.flags;
      ours.seen_here = known.seen_here;
      enter(table, ours);
      Record theirs = record(1, kEstablished, 900, 5);
      theirs.seen_here = kConfirmed;
      table.import_block({&theirs, 1}, kSenderNow, kNow, trust);
      const Record& after = table.at(find(table, 1));
      CHECK(after.owner == (believed ? 5 : known.owner));
      // Who is not believed has confirmed nothing of what stands here.
      CHECK(after.seen_here == (believed ? kConfirmed : known.seen_here));
      // What has been given back is an ordinary connection of that node.
      Record again = record(1, kEstablished, 900, 6);
      again.seen_here = kConfirmed;
      table.import_block({&again, 1}, kSenderNow, kNow, Trust::kReturning);
      CHECK(table.at(find(table, 1)).owner != (believed && known.flags == 0 ? 6 : 99));
    }
  }
}

TEST_CASE("merge: a record can make a connection this node's own") {
  Merge merge({.owner = 3, .status = kEstablished, .opened = 390, .last_seen = 400});
  const Noted theirs{.owner = 0, .opened = 890, .last_seen = 990};
  CHECK(merge.merge(theirs).known == 1);  // somebody noted it so: of its own this node knows best
  CHECK(merge.table.sizes().own == 0);
  CHECK(merge.merge(theirs, kConfirmed).corrected == 1);
  CHECK(merge.table.sizes().own == 1);
  CHECK(merge.entry().seen_here == kConfirmed);
}

TEST_CASE("merge: an unknown connection of this node comes only from who has it from itself") {
  for (const uint8_t seen_here : {uint8_t{0}, kAdopted, kConfirmed}) {
    ConnectionTable table(options(), 0);
    Record theirs = record(1, kEstablished, 900, 0);
    theirs.seen_here = seen_here;
    const auto result = table.import_block({&theirs, 1}, kSenderNow, kNow);
    CHECK(result.inserted == (seen_here == kConfirmed));
    CHECK(result.known == (seen_here != kConfirmed));
    CHECK(table.sizes().own == (seen_here == kConfirmed));
  }
}

TEST_CASE("merge: what the owner has said weighs more than what others have noted") {
  struct Case {
    uint8_t ours, theirs;  // Record::seen_here
    bool theirs_counts;
    uint8_t after;
  };
  const Case cases[] = {{0, 0, true, 0},
                        {0, kConfirmed, true, kConfirmed},
                        {kConfirmed, 0, false, kConfirmed},
                        {kConfirmed, kConfirmed, true, kConfirmed},
                        {kAdopted, 0, true, 0},
                        {kAdopted, kConfirmed | kAdopted, true, kConfirmed},
                        {0, kConfirmed | kAdopted, true, kConfirmed}};
  for (const Case& known : cases) {
    CAPTURE(int{known.ours});
    CAPTURE(int{known.theirs});
    for (const uint16_t owner : {uint16_t{2}, uint16_t{5}}) {
      ConnectionTable table(options(), 0);
      Record ours = record(1, kEstablished, 400, 2);
      ours.seen_here = known.ours;
      enter(table, ours);
      Record theirs = record(1, kEstablished, 900, owner);
      theirs.seen_here = known.theirs;
      table.import_block({&theirs, 1}, kSenderNow, kNow);
      const Record& after = table.at(find(table, 1));
      CHECK(after.owner == (known.theirs_counts ? owner : 2));
      // Whoever has it from now on says whether it has only inherited it.
      const bool inherited = ((owner == 2 ? known.ours : known.theirs) & kAdopted) != 0;
      CHECK(after.seen_here == (known.after | (inherited ? kAdopted : 0)));
    }
  }
}

TEST_CASE("merge: the word of who has inherited a connection does not displace its owner's own") {
  Record theirs = record(1, kClosing, 980, 5);
  theirs.seen_here = kConfirmed | kAdopted | kConcluded;
  for (const Trust trust : {Trust::kTakers, Trust::kAll}) {
    CAPTURE(static_cast<int>(trust));
    ConnectionTable table(options(), 0);
    Record ours = record(1, kEstablished, 480, 2);
    ours.flags = kImported;
    ours.seen_here = kConfirmed;
    enter(table, ours);
    // Merged twice is merged once.
    for (int times = 0; times < 2; ++times) {
      table.import_block({&theirs, 1}, kSenderNow, kNow, trust);
      CHECK(table.check_invariants() == "");
      const Record& after = table.at(find(table, 1));
      CHECK(after.owner == (trust == Trust::kAll ? 5 : 2));
      CHECK(after.status == (trust == Trust::kAll ? kClosing : kEstablished));
      CHECK(is_concluded(after) == (trust == Trust::kAll));
    }
  }
}

TEST_CASE("merge: what is over is not entered, and does not stand against a list") {
  ConnectionTable table(options(), 0);
  // By the sender's clock its 20 s have passed at 900.
  Record over = record(1, kClosing, 700, 5);
  CHECK(table.import_block({&over, 1}, kSenderNow, kNow).known == 1);
  CHECK(find(table, 1) == kNoSlot);
  // The wheel has not come to it yet.
  enter(table, record(1, kClosing, 250, 0));
  Record theirs = record(1, kEstablished, 990, 5);
  CHECK(table.import_block({&theirs, 1}, kSenderNow, kNow).inserted == 1);
  CHECK(table.at(find(table, 1)).owner == 5);
  CHECK(table.sizes().own == 0);
  CHECK(table.check_invariants() == "");
}

TEST_CASE("merge: the tables tell who was away of an end that it has missed") {
  for (const Trust trust : {Trust::kTakers, Trust::kReturning, Trust::kAll}) {
    CAPTURE(static_cast<int>(trust));
    for (const uint16_t owner : {uint16_t{0}, uint16_t{2}}) {
      ConnectionTable table(options(), 0);
      enter(table, record(1, kEstablished, 400, owner));
      enter(table, record(2, kClosing, 490, owner));
      Record theirs[] = {record(1, kClosing, 980, owner), record(2, kEstablished, 980, owner)};
      theirs[0].flags = kClosedByRst;
      table.import_block(theirs, kSenderNow, kNow, trust);
      CHECK(table.check_invariants() == "");
      const Record& ended = table.at(find(table, 1));
      CHECK(ended.status == (trust == Trust::kAll ? kClosing : kEstablished));
      CHECK((ended.flags & kClosedByRst) == (trust == Trust::kAll ? kClosedByRst : 0));
      // They may be behind as well: what has been seen to end does not go on.
      CHECK(table.at(find(table, 2)).status == kClosing);
    }
  }
}

TEST_CASE("merge: that the heir has answered for a connection ends its giving way") {
  ConnectionTable table(options(), 0);
  Record ours = record(1, kEstablished, 400, 2);
  ours.seen_here = kAdopted;
  enter(table, ours);
  Record theirs = record(1, kEstablished, 900, 2);
  theirs.seen_here = kConfirmed;
  table.import_block({&theirs, 1}, kSenderNow, kNow);
  CHECK(table.at(find(table, 1)).seen_here == kConfirmed);
}

TEST_CASE(
    "merge: a concluded end is taken back by the owner's word or the tables, by nobody else") {
  struct Case {
    Trust trust;
    uint8_t theirs;  // Record::seen_here
    bool taken_back;
  };
  const Case cases[] = {{Trust::kTakers, kConfirmed, true},
                        {Trust::kTakers, 0, false},
                        {Trust::kTakers, kConfirmed | kAdopted, false},
                        {Trust::kAll, kConfirmed, true},
                        {Trust::kAll, 0, true},
                        {Trust::kAll, kAdopted, false},
                        {Trust::kReturning, kConfirmed, false}};
  for (const Case& known : cases) {
    CAPTURE(static_cast<int>(known.trust));
    CAPTURE(int{known.theirs});
    for (const uint16_t owner : {uint16_t{2}, uint16_t{5}}) {
      ConnectionTable table(options(), 0);
      Record ours = record(1, kClosing, 490, 2);
      ours.opened = 400;
      ours.seen_here = kAdopted | kClosedHere | kConcluded;
      ours.flags = kImported;
      enter(table, ours);
      Record theirs = record(1, kEstablished, 905, owner);
      theirs.seen_here = known.theirs;
      table.import_block({&theirs, 1}, kSenderNow, kNow, known.trust);
      CHECK(table.check_invariants() == "");
      const Record& after = table.at(find(table, 1));
      CHECK(after.status == (known.taken_back ? kEstablished : kClosing));
      CHECK(is_concluded(after) != known.taken_back);
      if (!known.taken_back) continue;
      CHECK(after.owner == owner);
      CHECK(after.last_seen == 490);
      CHECK((after.seen_here & (kAdopted | kClosedHere)) == 0);
    }
  }
}

TEST_CASE("merge: what one node has concluded ends nothing where the owner's word is known") {
  Record theirs = record(1, kClosing, 980, 5);
  theirs.seen_here = kAdopted | kConcluded;
  for (const uint8_t seen_here : {uint8_t{0}, kAdopted, kConfirmed}) {
    CAPTURE(int{seen_here});
    ConnectionTable table(options(), 0);
    Record ours = record(1, kEstablished, 480, 2);
    ours.flags = kImported;
    ours.seen_here = seen_here;
    enter(table, ours);
    table.import_block({&theirs, 1}, kSenderNow, kNow);
    CHECK(table.at(find(table, 1)).status == (seen_here == kConfirmed ? kEstablished : kClosing));
    CHECK(is_concluded(table.at(find(table, 1))) != (seen_here == kConfirmed));
  }
  // What a packet has ended is over, whoever's it was.
  Merge merge({.owner = 2, .status = kEstablished, .opened = 400, .flags = kImported});
  merge.merge({.owner = 2, .opened = 900, .last_seen = 980}, kConfirmed);
  merge.merge({.owner = 3, .status = kClosing, .opened = 900, .last_seen = 980});
  CHECK(merge.entry().status == kClosing);
}

TEST_CASE("merge: a connection entered midstream learns what came before") {
  Merge merge({.owner = 2,
               .status = kEstablished,
               .opened = 450,
               .last_seen = 460,
               .flags = kMidstream | kFinFromServer});
  // Opened at 300 and last seen at 480 on this node's clock.
  CHECK(merge
            .merge({.owner = 2,
                    .status = kClosing,
                    .opened = 800,
                    .last_seen = 980,
                    .flags = kFinFromClient})
            .known == 1);
  CHECK(merge.entry().status == kClosing);
  CHECK(merge.entry().opened == 300);
  CHECK(merge.entry().last_seen == 480);
  CHECK(merge.entry().flags == (kImported | kFinFromServer | kFinFromClient));
}

TEST_CASE("merge: a status never goes back, and midstream stays what nobody saw opening") {
  Merge merge(
      {.owner = 2, .status = kEstablished, .opened = 450, .last_seen = 460, .flags = kMidstream});
  merge.merge(
      {.owner = 3, .status = kOpening, .opened = 940, .last_seen = 941, .flags = kMidstream});
  CHECK(merge.entry().status == kEstablished);
  CHECK(merge.entry().owner == 3);
  CHECK(merge.entry().opened == 440);
  CHECK(merge.entry().last_seen == 460);
  CHECK((merge.entry().flags & kMidstream) != 0);
}

TEST_CASE("merge: port reuse, the list knows the earlier connection: ignored") {
  // Ours was opened at 450; theirs at 400 on our clock.
  Merge merge({.owner = 2, .status = kOpening, .opened = 450, .last_seen = 450});
  CHECK(merge.merge({.owner = 3, .status = kClosing, .opened = 900, .last_seen = 940}).known == 1);
  CHECK(merge.entry().owner == 2);
  CHECK(merge.entry().status == kOpening);
  CHECK(merge
            .merge({.owner = 3,
                    .status = kClosing,
                    .opened = 900,
                    .last_seen = 940,
                    .flags = kMidstream})
            .known == 1);
  CHECK(merge.entry().owner == 2);
}

TEST_CASE("merge: port reuse, the list knows the later connection: it replaces the earlier") {
  for (const uint8_t flags : {uint8_t{0}, kMidstream}) {
    Merge merge({.owner = 2,
                 .status = kClosing,
                 .opened = 400,
                 .last_seen = 440,
                 .flags = static_cast<uint8_t>(flags | kClosedByFin)});
    const auto result = merge.merge({.owner = 3, .opened = 980, .last_seen = 985});
    CHECK(result.corrected == 1);
    CHECK(merge.entry().owner == 3);
    CHECK(merge.entry().status == kOpening);
    CHECK(merge.entry().opened == 480);
    CHECK(merge.entry().last_seen == 485);
    CHECK(merge.entry().flags == kImported);
    // Its timer is that of the new one: 30 s from 485 on.
    size_t expired = 0;
    merge.table.advance(784, SIZE_MAX, [&](Slot, const Record&) { ++expired; });
    CHECK(expired == 0);
    merge.table.advance(785, SIZE_MAX, [&](Slot, const Record&) { ++expired; });
    CHECK(expired == 1);
  }
}

TEST_CASE("merge: 0.8 s apart is the same connection, more is not") {
  for (const Tick apart : {1u, 8u, 9u}) {
    CAPTURE(apart);
    Merge ours_later({.owner = 2, .status = kOpening, .opened = 450, .last_seen = 450});
    ours_later.merge({.owner = 3, .status = kClosing, .opened = 950 - apart, .last_seen = 960});
    CHECK(ours_later.entry().owner == (apart == 9 ? 2 : 3));
    Merge theirs_later({.owner = 2, .status = kClosing, .opened = 450, .last_seen = 450});
    theirs_later.merge({.owner = 3, .opened = 950 + apart, .last_seen = 970});
    CHECK(theirs_later.entry().status == (apart == 9 ? kOpening : kClosing));
  }
}

TEST_CASE(
    "merge: what one node noted later, and nobody saw closing between, is the same connection") {
  // A repeated SYN, or a UDP packet, was the first that this node saw of it.
  Merge ours_later({.owner = 2, .status = kOpening, .opened = 450, .last_seen = 450});
  CHECK(ours_later.merge({.owner = 3, .opened = 900, .last_seen = 950}).corrected == 1);
  CHECK(ours_later.entry().owner == 3);
  CHECK(ours_later.entry().opened == 400);
  Merge theirs_later({.owner = 2, .status = kEstablished, .opened = 400, .last_seen = 460});
  theirs_later.merge({.owner = 2, .opened = 950, .last_seen = 950});
  CHECK(theirs_later.entry().status == kEstablished);
  CHECK(theirs_later.entry().opened == 400);
}

TEST_CASE("merge: who saw the earlier connection close knows that the later is another") {
  const auto view = [](Tick opened, bool reopened, uint16_t owner) {
    Record entry = record(1, kOpening, opened, owner);
    entry.reopened = reopened;
    return entry;
  };
  const auto owner_after = [&](const Record& ours, const Record& theirs) {
    ConnectionTable table(options(), 0);
    enter(table, ours);
    table.import_block({&theirs, 1}, kSenderNow, kNow);
    return table.at(find(table, 1)).owner;
  };
  CHECK(owner_after(view(450, true, 2), view(900, false, 3)) == 2);
  CHECK(owner_after(view(450, false, 2), view(900, false, 3)) == 3);
  CHECK(owner_after(view(400, false, 2), view(950, true, 3)) == 3);
  CHECK(owner_after(view(450, true, 2), view(950, false, 3)) == 3);
}

TEST_CASE("merge: what a node knows of itself does not come with a list") {
  ConnectionTable table(options(), 0);
  Record entry = record(1, kEstablished, 900, 3);
  entry.flags = kContested;
  entry.seen_here = kServerFin | kClosedHere;
  table.import_block({&entry, 1}, kSenderNow, kNow);
  CHECK(table.at(find(table, 1)).flags == kImported);
  CHECK(table.at(find(table, 1)).seen_here == 0);
}

namespace {

/// Connection `n` as one of several nodes may know it: all agree about its owner, and about when it
/// was opened to the tick, except who entered it midstream. None is over, not even as CLOSING.
Record random_view(std::mt19937& random, uint32_t n, uint16_t owner) {
  const Tick opened = 820 + n;
  const bool midstream = random() % 2 == 0;
  Record entry = record(n, static_cast<ConnectionStatus>(random() % 3), 0, owner);
  entry.opened = midstream ? opened + random() % 50 : opened;
  entry.last_seen = entry.opened + random() % 40;
  entry.flags = static_cast<uint8_t>((midstream ? kMidstream : 0) | (random() % 4) << 2);
  entry.epoch = 3;
  // Of what would be this node's own the first word counts, unless it is what somebody noted.
  if (owner != 0 && random() % 2) entry.seen_here = kConfirmed;
  if (entry.status == kClosing && random() % 2) {
    entry.seen_here |= kAdopted | kConcluded;
    entry.flags &= kMidstream;
  }
  return entry;
}

using List = std::vector<Record>;

/// What node 0 knows after it has merged `lists` one after the other.
List merged(const List& own_view, const std::vector<List>& lists) {
  ConnectionTable table(options(), 0);
  for (Record entry : own_view) {
    entry.opened -= kSenderNow - kNow;
    entry.last_seen -= kSenderNow - kNow;
    if (is_concluded(entry)) {
      entry.flags |= kImported;
      entry.seen_here |= kClosedHere;
    }
    enter(table, entry);
  }
  for (const List& list : lists) table.import_block(list, kSenderNow, kNow);
  CHECK(table.check_invariants() == "");
  List all(64);
  uint64_t cursor = 0;
  all.resize(table.export_block(cursor, all));
  std::sort(all.begin(), all.end(),
            [](const Record& a, const Record& b) { return a.key.source_port < b.key.source_port; });
  return all;
}

bool same(const List& a, const List& b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](auto& x, auto& y) {
           return std::memcmp(&x, &y, sizeof(Record)) == 0;
         });
}

}  // namespace

TEST_CASE("merge: neither the order of lists nor their number matters") {
  std::mt19937 random(21);
  size_t different = 0;
  for (int round = 0; round < 500; ++round) {
    List own_view;
    std::vector<List> lists(3);
    for (uint32_t n = 0; n < 20; ++n) {
      const auto owner = static_cast<uint16_t>(random() % 4);
      if (random() % 2) own_view.push_back(random_view(random, n, owner));
      for (List& list : lists) {
        if (random() % 2) list.push_back(random_view(random, n, owner));
      }
    }
    const List once = merged(own_view, lists);
    different += !same(once, merged(own_view, {}));
    const std::vector<List> turned{lists[2], lists[0], lists[1]};
    const std::vector<List> swapped{lists[1], lists[0], lists[2]};
    std::vector<List> repeated = lists;
    repeated.insert(repeated.end(), turned.begin(), turned.end());
    REQUIRE(same(once, merged(own_view, turned)));
    REQUIRE(same(once, merged(own_view, swapped)));
    REQUIRE(same(once, merged(own_view, repeated)));
  }
  CHECK(different == 500);
}
