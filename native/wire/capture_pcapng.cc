// The block format. Every block says its length twice, at its head and at its end:
//
//   | type 4 | length 4 | body, padded to four bytes | length 4 |
//
// A section header (the only type that reads alike in both byte orders) begins a section: a new
// byte order and an empty list of interfaces. Interface blocks add to the list; packets name an
// interface by its place there.
#include <vector>

#include "wire/capture_format.h"

namespace flowsieve {
namespace {

using What = CaptureStep::What;

constexpr uint32_t kSection = 0x0a0d0d0a, kInterface = 1, kObsoletePacket = 2, kSimplePacket = 3,
                   kEnhancedPacket = 6;
constexpr uint32_t kByteOrder = 0x1a2b3c4d;
constexpr uint16_t kOptionEnd = 0, kOptionResolution = 9, kOptionOffset = 14;
constexpr size_t kBlockHead = 8, kBlockFrame = 12;
constexpr uint64_t kSecond = 1'000'000'000;

struct Interface {
  uint32_t link_number = 0;
  std::optional<LinkType> link;
  uint32_t snap_bytes = 0;  // 0 = none
  uint8_t resolution = 6;   // 10^-n of a second, or 2^-n when the top bit is set
  int64_t offset_seconds = 0;
};

uint64_t power_of_ten(unsigned exponent) {
  uint64_t power = 1;
  while (exponent-- > 0) power *= 10;
  return power;
}

// The part of a second that `rest` units are. Never multiplies beyond 64 bits: finer units than
// nanoseconds (2^-30 s) are cut down before.
uint64_t binary_rest_ns(uint64_t rest, unsigned exponent) {
  if (exponent <= 30) return (rest * kSecond) >> exponent;
  const unsigned finer = exponent - 30;
  return finer > 63 ? 0 : ((rest >> finer) * kSecond) >> 30;
}

struct Split {
  uint64_t seconds;
  uint64_t nanoseconds;
};

Split split(uint64_t units, uint8_t resolution) {
  const unsigned exponent = resolution & 0x7f;
  if (resolution & 0x80) {
    if (exponent > 63) return {0, binary_rest_ns(units, exponent)};
    return {units >> exponent, binary_rest_ns(units & ((uint64_t{1} << exponent) - 1), exponent)};
  }
  if (exponent <= 9) {
    const uint64_t per_second = power_of_ten(exponent);
    return {units / per_second, units % per_second * power_of_ten(9 - exponent)};
  }
  if (exponent > 28) return {0, 0};  // 2^64 of such units are less than a nanosecond
  const uint64_t nanoseconds = units / power_of_ten(exponent - 9);
  return {nanoseconds / kSecond, nanoseconds % kSecond};
}

// Nanoseconds since the epoch; what lies outside 0 … 2^64 stops at the end of the range.
uint64_t to_nanoseconds(uint64_t units, const Interface& interface) {
  const Split time = split(units, interface.resolution);
  uint64_t seconds = time.seconds;
  if (interface.offset_seconds < 0) {
    const uint64_t back = ~static_cast<uint64_t>(interface.offset_seconds) + 1;
    if (back > seconds) return 0;
    seconds -= back;
  } else {
    seconds += static_cast<uint64_t>(interface.offset_seconds);
    if (seconds < time.seconds) return UINT64_MAX;
  }
  if (seconds >= UINT64_MAX / kSecond) return UINT64_MAX;
  return seconds * kSecond + time.nanoseconds;
}

class PcapngFormat final : public CaptureFormat {
 public:
  CaptureStep next(Bytes ahead, Frame& frame) override {
    // Twelve bytes are the smallest block, and a section header's byte order mark is
    // the third word.
    if (!ahead.has(0, kBlockFrame)) return {What::kNeed, kBlockFrame};
    const bool section = load_be32(ahead.data) == kSection;
    if (section && !read_order(ahead.data + kBlockHead)) {
      return {What::kDamage, 0, "a section header without a byte order mark"};
    }
    const uint32_t type = section ? kSection : order_.u32(ahead.data);
    const uint32_t length = order_.u32(ahead.data + 4);
    if (length < kBlockFrame || length % 4 != 0) {
      return {What::kDamage, 0, "a block's length is not a multiple of four, or below twelve"};
    }
    if (length > kBlockBytesMax) {
      // Passed over without a look at its second length, which may lie behind the window.
      if (!is_read(type)) return {What::kSkip, length};
      return {What::kDamage, 0, "a block is longer than any packet with its options"};
    }
    if (!ahead.has(0, length)) return {What::kNeed, length};
    if (order_.u32(ahead.data + length - 4) != length) {
      return {What::kDamage, 0, "a block's two lengths differ"};
    }
    if (!is_read(type)) return {What::kSkip, length};
    return read_block(type, {ahead.data + kBlockHead, length - kBlockFrame}, length, frame);
  }

 private:
  static constexpr const char* kBlockShort = "a block is too short for its type";

  static bool is_read(uint32_t type) {
    return type == kSection || type == kInterface || type == kEnhancedPacket ||
           type == kSimplePacket || type == kObsoletePacket;
  }

  bool read_order(const uint8_t* mark) {
    if (load_be32(mark) != kByteOrder && load_le32(mark) != kByteOrder) return false;
    order_.big_endian = load_be32(mark) == kByteOrder;
    return true;
  }

  CaptureStep read_block(uint32_t type, Bytes body, size_t length, Frame& frame) {
    switch (type) {
      case kSection:
        return read_section(body, length);
      case kInterface:
        return read_interface(body, length);
      case kEnhancedPacket:
        if (!body.has(0, 20)) return {What::kDamage, 0, kBlockShort};
        return read_packet(order_.u32(body.data), body, length, frame);
      case kObsoletePacket:
        if (!body.has(0, 20)) return {What::kDamage, 0, kBlockShort};
        return read_packet(order_.u16(body.data), body, length, frame);
      default:
        return read_simple(body, length, frame);
    }
  }

  CaptureStep read_section(Bytes body, size_t length) {
    if (!body.has(0, 16)) return {What::kDamage, 0, kBlockShort};
    if (order_.u16(body.data + 4) != 1) {
      return {What::kDamage, 0, "a section's version is not 1"};
    }
    interfaces_.clear();
    return {What::kSkip, length};
  }

  CaptureStep read_interface(Bytes body, size_t length) {
    if (!body.has(0, 8)) return {What::kDamage, 0, kBlockShort};
    if (interfaces_.size() == kInterfacesMax) {
      return {What::kDamage, 0, "a section has more than 65536 interfaces"};
    }
    Interface interface;
    interface.link_number = order_.u16(body.data);
    interface.link = link_type(interface.link_number);
    interface.snap_bytes = order_.u32(body.data + 4);
    read_options(body.from(8), interface);
    interfaces_.push_back(interface);
    return {What::kSkip, length};
  }

  // An option that does not fit ends the list; what stands before it counts.
  void read_options(Bytes options, Interface& interface) const {
    while (options.has(0, 4)) {
      const uint16_t code = order_.u16(options.data), size = order_.u16(options.data + 2);
      if (code == kOptionEnd || !options.has(4, size)) return;
      const uint8_t* value = options.data + 4;
      if (code == kOptionResolution && size >= 1) interface.resolution = value[0];
      if (code == kOptionOffset && size >= 8) {
        interface.offset_seconds = static_cast<int64_t>(order_.u64(value));
      }
      options = options.from(4 + (size + size_t{3}) / 4 * 4);
    }
  }

  // The enhanced and the obsolete packet block differ in the first word only.
  CaptureStep read_packet(size_t number, Bytes body, size_t length, Frame& frame) {
    const uint32_t captured = order_.u32(body.data + 12), on_wire = order_.u32(body.data + 16);
    if (number >= interfaces_.size()) return {What::kDamage, 0, kNoInterface};
    if (captured > kCapturedBytesMax || !body.has(20, captured)) {
      return {What::kDamage, 0, "a packet is longer than its block or than any capture has"};
    }
    const Interface& interface = interfaces_[number];
    const uint64_t units = uint64_t{order_.u32(body.data + 4)} << 32 | order_.u32(body.data + 8);
    last_time_ns_ = to_nanoseconds(units, interface);
    return make_frame(interface, {body.data + 20, captured}, on_wire, length, frame);
  }

  // Has neither an interface number (it is the first one's) nor a time: it stands at the time of
  // the packet before it.
  CaptureStep read_simple(Bytes body, size_t length, Frame& frame) {
    if (!body.has(0, 4)) return {What::kDamage, 0, kBlockShort};
    if (interfaces_.empty()) return {What::kDamage, 0, kNoInterface};
    const uint32_t on_wire = order_.u32(body.data), snap = interfaces_[0].snap_bytes;
    const uint32_t captured = snap != 0 && snap < on_wire ? snap : on_wire;
    if (captured > kCapturedBytesMax || !body.has(4, captured)) {
      return {What::kDamage, 0, "a packet is longer than its block or than any capture has"};
    }
    return make_frame(interfaces_[0], {body.data + 4, captured}, on_wire, length, frame);
  }

  CaptureStep make_frame(const Interface& interface, Bytes bytes, uint32_t on_wire, size_t length,
                         Frame& frame) const {
    if (!interface.link) return {What::kUnsupported, interface.link_number};
    frame = Frame{};
    frame.bytes = bytes;
    frame.wire_bytes = on_wire > bytes.size ? on_wire : static_cast<uint32_t>(bytes.size);
    frame.time_ns = last_time_ns_;
    frame.link = *interface.link;
    return {What::kFrame, length};
  }

  static constexpr const char* kNoInterface = "a packet of an interface that was not described";

  FileOrder order_;
  std::vector<Interface> interfaces_;
  uint64_t last_time_ns_ = 0;
};

}  // namespace

bool is_pcapng(Bytes start) {
  return start.has(0, 4) && load_be32(start.data) == kSection;
}

Result<OpenedFormat> open_pcapng(Bytes start) {
  if (!is_pcapng(start) || !start.has(0, kFileHeaderBytesMax)) {
    return Error{ErrorCode::kFormat, "Expected a pcapng section header of 28 bytes but received " +
                                         std::to_string(start.size) + " bytes."};
  }
  const uint32_t mark = load_be32(start.data + kBlockHead);
  const FileOrder order{mark == kByteOrder};
  if (!order.big_endian && load_le32(start.data + kBlockHead) != kByteOrder) {
    return Error{ErrorCode::kFormat,
                 "Expected a byte order mark in the pcapng section header but received none."};
  }
  const uint16_t major = order.u16(start.data + 12);
  if (major != 1) {
    return Error{ErrorCode::kFormat, "Expected a pcapng file of version 1 but received version " +
                                         std::to_string(major) + "."};
  }
  return OpenedFormat{std::make_unique<PcapngFormat>(), 0};
}

}  // namespace flowsieve
