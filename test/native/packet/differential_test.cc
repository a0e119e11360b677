// parse() against plain_parse(), over frames that are almost right and frames that are
// not right at all.
#include <doctest/doctest.h>

#include <map>
#include <random>

#include "packet/plain_parse.h"
#include "packet/samples.h"

namespace flowsieve::test {
namespace {

constexpr int kMutations = 160'000, kRandomFrames = 40'000, kLinkTypes = 5;

class Mutator {
 public:
  explicit Mutator(uint64_t seed) : random_(seed) {}

  uint32_t below(uint32_t bound) { return static_cast<uint32_t>(random_() % bound); }

  ByteVector random_frame() {
    ByteVector frame(below(160));
    for (uint8_t& byte : frame) byte = static_cast<uint8_t>(random_());
    return frame;
  }

  /// One to four small changes, most of them in the headers, of the kinds that a broken or hostile
  /// sender makes.
  void change(ByteVector& frame) {
    for (uint32_t i = 1 + below(4); i > 0 && !frame.empty(); --i) {
      const size_t at =
          below(static_cast<uint32_t>(std::min<size_t>(frame.size(), 14 + below(100))));
      switch (below(7)) {
        case 0:
          frame[at] ^= static_cast<uint8_t>(1u << below(8));
          break;
        case 1:
          frame[at] = static_cast<uint8_t>(random_());
          break;
        case 2:
          frame[at] = kTelling[below(sizeof(kTelling))];
          break;
        case 3:
          frame[at] = static_cast<uint8_t>(below(16));
          break;
        case 4:
          frame.resize(at);
          break;
        case 5:
          frame.insert(frame.begin() + static_cast<long>(at), 1 + below(8),
                       kTelling[below(sizeof(kTelling))]);
          break;
        default:
          frame.resize(frame.size() + below(24), static_cast<uint8_t>(random_()));
          break;
      }
    }
  }

 private:
  /// Protocol numbers, versions with header lengths, ICMP types, bytes of ethertypes.
  static constexpr uint8_t kTelling[] = {0,    1,    2,    6,    17,   41,   43,   44,   47,   50,
                                         51,   58,   59,   60,   132,  135,  139,  140,  255,  128,
                                         0x45, 0x4f, 0x60, 0x81, 0x08, 0x88, 0xa8, 0xdd, 0x86, 3,
                                         4,    5,    8,    11,   12,   0x20, 0x40};
  std::mt19937_64 random_;
};

struct Seen {
  std::map<Kind, int> kinds;
  std::map<Drop, int> drops;
};

/// One frame, as captured whole, as cut by a snap length, and as if more had been on the wire.
void compare(const ByteVector& frame, uint32_t missing, LinkType link, Seen& seen) {
  const Bytes bytes{frame.data(), frame.size()};
  const uint32_t wire = static_cast<uint32_t>(frame.size()) + missing;
  const Packet packet = parse(bytes, wire, link);
  const std::string why = difference(packet, plain_parse(bytes, wire, link));
  if (!why.empty()) {
    std::string hex;
    for (const uint8_t byte : frame) {
      hex += "0123456789abcdef"[byte >> 4];
      hex += "0123456789abcdef"[byte & 15];
    }
    FAIL_CHECK(why << " on link type " << static_cast<int>(link) << ", " << missing
                   << " bytes cut off, frame " << hex);
  }
  packet.drop == Drop::kNone ? ++seen.kinds[packet.kind] : ++seen.drops[packet.drop];
}

}  // namespace

TEST_CASE("every sample is good, and both readings agree on it at every snap length") {
  for (const Sample& sample : samples()) {
    INFO(sample.name);
    Seen seen;
    const uint32_t whole = static_cast<uint32_t>(sample.frame.size());
    for (uint32_t kept = 0; kept <= whole; ++kept) {
      const ByteVector cut(sample.frame.begin(), sample.frame.begin() + kept);
      compare(cut, whole - kept, sample.link, seen);
      for (const auto& [drop, count] : seen.drops) {
        const bool unusable = sample.name == "error-of-error" && drop == Drop::kQuoteUnusable;
        const bool expected = drop == Drop::kCutShort || unusable;
        CHECK_MESSAGE(expected, info(drop).name);
      }
    }
  }
}

TEST_CASE("both readings agree on mutated packets of every shape and link type") {
  Mutator mutator(20260101);
  const std::vector<Sample> all = samples();
  Seen seen;
  for (int i = 0; i < kMutations; ++i) {
    const Sample& sample = all[mutator.below(static_cast<uint32_t>(all.size()))];
    ByteVector frame = sample.frame;
    mutator.change(frame);
    const LinkType link =
        mutator.below(16) == 0 ? static_cast<LinkType>(mutator.below(kLinkTypes)) : sample.link;
    compare(frame, mutator.below(4) == 0 ? mutator.below(60) : 0, link, seen);
  }
  // The comparison is worth something only if it meets every kind and every reason that a frame
  // alone can give.
  CHECK(seen.kinds.size() == 5);
  for (const Drop drop : {Drop::kFrameShort, Drop::kIpVersion, Drop::kIpHeader, Drop::kIpLength,
                          Drop::kExtensionHeader, Drop::kTransportShort, Drop::kTcpOffset,
                          Drop::kFragmentLength, Drop::kQuoteUnusable, Drop::kCutShort}) {
    INFO(info(drop).name);
    CHECK(seen.drops[drop] > 0);
  }
}

TEST_CASE("both readings agree on random bytes of every link type") {
  Mutator mutator(20260102);
  Seen seen;
  for (int i = 0; i < kRandomFrames; ++i) {
    ByteVector frame = mutator.random_frame();
    const LinkType link = static_cast<LinkType>(i % kLinkTypes);
    // Half of them get past the link header, or random bytes would hardly ever be IP.
    if (i % 2 == 0) {
      const PacketBuilder link_header = PacketBuilder::on(link);
      ByteVector begin = PacketBuilder(link_header).ipv4("10.0.0.1", "10.0.0.2").build();
      begin.resize(begin.size() - 20);
      begin.push_back(mutator.below(2) == 0 ? 0x45 : 0x60);
      frame.insert(frame.begin(), begin.begin(), begin.end());
    }
    compare(frame, mutator.below(2) == 0 ? mutator.below(70'000) : 0, link, seen);
  }
  CHECK(seen.drops.size() > 4);
}

}  // namespace flowsieve::test
