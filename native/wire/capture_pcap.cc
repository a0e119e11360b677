// The classic format: 24 bytes of file header, then records of 16 bytes (24 in Kuznetzov's variant)
// and the packet.
#include "wire/capture_format.h"

namespace flowsieve {
namespace {

constexpr uint32_t kMicroseconds = 0xa1b2c3d4, kNanoseconds = 0xa1b23c4d, kKuznetzov = 0xa1b2cd34;
constexpr uint16_t kVersionMajor = 2;

struct Magic {
  FileOrder order;
  uint32_t nanoseconds_per_unit;  // of the record's second time field
  size_t record_header_bytes;
};

std::optional<Magic> read_magic(Bytes start) {
  if (!start.has(0, 4)) return std::nullopt;
  for (const bool big_endian : {false, true}) {
    const FileOrder order{big_endian};
    switch (order.u32(start.data)) {
      case kMicroseconds:
        return Magic{order, 1000, 16};
      case kNanoseconds:
        return Magic{order, 1, 16};
      case kKuznetzov:  // adds interface index, protocol and packet type, which nothing here needs
        return Magic{order, 1000, 24};
      default:
        break;
    }
  }
  return std::nullopt;
}

class PcapFormat final : public CaptureFormat {
 public:
  PcapFormat(const Magic& magic, LinkType link) : magic_(magic), link_(link) {}

  CaptureStep next(Bytes ahead, Frame& frame) override {
    using What = CaptureStep::What;
    const size_t header = magic_.record_header_bytes;
    if (!ahead.has(0, header)) return {What::kNeed, header};
    const uint32_t captured = magic_.order.u32(ahead.data + 8);
    if (captured > kCapturedBytesMax) {
      return {What::kDamage, 0, "a record claims more captured bytes than any capture has"};
    }
    if (!ahead.has(header, captured)) return {What::kNeed, header + captured};
    const uint32_t on_wire = magic_.order.u32(ahead.data + 12);
    frame = Frame{};
    frame.bytes = {ahead.data + header, captured};
    frame.wire_bytes = on_wire > captured ? on_wire : captured;  // some writers leave it 0
    frame.time_ns = uint64_t{magic_.order.u32(ahead.data)} * 1'000'000'000 +
                    uint64_t{magic_.order.u32(ahead.data + 4)} * magic_.nanoseconds_per_unit;
    frame.link = link_;
    return {What::kFrame, header + captured};
  }

 private:
  Magic magic_;
  LinkType link_;
};

}  // namespace

bool is_pcap(Bytes start) {
  return read_magic(start).has_value();
}

Result<OpenedFormat> open_pcap(Bytes start) {
  const std::optional<Magic> magic = read_magic(start);
  if (!magic || !start.has(0, kPcapHeaderBytes)) {
    return Error{ErrorCode::kFormat, "Expected a pcap header of 24 bytes but received " +
                                         std::to_string(start.size) + " bytes."};
  }
  const uint16_t major = magic->order.u16(start.data + 4);
  if (major != kVersionMajor) {
    return Error{ErrorCode::kFormat, "Expected a pcap file of version 2 but received version " +
                                         std::to_string(major) + "."};
  }
  // The upper six bits tell about frame check sequences, which lie behind the IP packet.
  const uint32_t number = magic->order.u32(start.data + 20) & 0x03ffffff;
  const std::optional<LinkType> link = link_type(number);
  if (!link) return unsupported_link(number);
  return OpenedFormat{std::make_unique<PcapFormat>(*magic, *link), kPcapHeaderBytes};
}

}  // namespace flowsieve
