// Capture files built byte by byte, for the tests of the reader: every number is put down by hand
// in the byte order asked for.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "wire/capture.h"

namespace flowsieve::capture_bytes {

struct Writer {
  bool big_endian = false;
  std::vector<uint8_t> bytes;

  Writer& number(uint64_t value, int size) {
    for (int i = 0; i < size; ++i) {
      const int shift = 8 * (big_endian ? size - 1 - i : i);
      bytes.push_back(static_cast<uint8_t>(value >> shift));
    }
    return *this;
  }
  Writer& u16(uint16_t value) { return number(value, 2); }
  Writer& u32(uint32_t value) { return number(value, 4); }
  Writer& u64(uint64_t value) { return number(value, 8); }
  Writer& text(const std::string& text) {
    bytes.insert(bytes.end(), text.begin(), text.end());
    return *this;
  }
  Writer& zeros(size_t count) {
    bytes.insert(bytes.end(), count, 0);
    return *this;
  }

  // pcap
  Writer& pcap_header(uint32_t magic, uint32_t link, uint16_t major = 2) {
    return u32(magic).u16(major).u16(4).u32(0).u32(0).u32(65535).u32(link);
  }
  Writer& record(uint32_t seconds, uint32_t part, const std::string& packet, uint32_t on_wire) {
    return u32(seconds)
        .u32(part)
        .u32(static_cast<uint32_t>(packet.size()))
        .u32(on_wire)
        .text(packet);
  }

  // pcapng
  Writer& block(uint32_t type, const std::vector<uint8_t>& body) {
    const size_t padding = (4 - body.size() % 4) % 4;
    const auto length = static_cast<uint32_t>(12 + body.size() + padding);
    u32(type).u32(length);
    bytes.insert(bytes.end(), body.begin(), body.end());
    return zeros(padding).u32(length);
  }
  Writer body() const { return Writer{big_endian, {}}; }
  Writer& section(uint16_t major = 1) {
    return block(0x0a0d0d0a, body().u32(0x1a2b3c4d).u16(major).u16(0).u64(UINT64_MAX).bytes);
  }
  Writer& interface(uint16_t link, uint32_t snap = 0, const std::vector<uint8_t>& options = {}) {
    Writer inner = body().u16(link).u16(0).u32(snap);
    inner.bytes.insert(inner.bytes.end(), options.begin(), options.end());
    return block(1, inner.bytes);
  }
  Writer& enhanced(uint32_t interface, uint64_t time, const std::string& packet, uint32_t on_wire) {
    return block(6, body()
                        .u32(interface)
                        .u32(static_cast<uint32_t>(time >> 32))
                        .u32(static_cast<uint32_t>(time))
                        .u32(static_cast<uint32_t>(packet.size()))
                        .u32(on_wire)
                        .text(packet)
                        .bytes);
  }
  Writer& obsolete(uint16_t interface, uint64_t time, const std::string& packet, uint32_t on_wire) {
    return block(2, body()
                        .u16(interface)
                        .u16(0xffff)
                        .u32(static_cast<uint32_t>(time >> 32))
                        .u32(static_cast<uint32_t>(time))
                        .u32(static_cast<uint32_t>(packet.size()))
                        .u32(on_wire)
                        .text(packet)
                        .bytes);
  }
  Writer& simple(const std::string& packet, uint32_t on_wire) {
    return block(3, body().u32(on_wire).text(packet).bytes);
  }

  Bytes window() const { return {bytes.data(), bytes.size()}; }
};

/// What a test compares of a frame.
struct Seen {
  std::string bytes;
  uint32_t wire_bytes;
  uint64_t time_ns;
  LinkType link;
  bool operator==(const Seen&) const = default;
};

/// Reads to the end in bursts of `burst`, copying each frame before the next receive().
inline std::vector<Seen> read_all(CaptureSource& source, size_t burst = kBurst) {
  std::vector<Seen> seen;
  std::vector<Frame> frames(burst);
  while (!source.exhausted()) {
    const size_t count = source.receive(frames);
    for (size_t i = 0; i < count; ++i) {
      const Frame& frame = frames[i];
      seen.push_back(
          {std::string(reinterpret_cast<const char*>(frame.bytes.data), frame.bytes.size),
           frame.wire_bytes, frame.time_ns, frame.link});
    }
  }
  return seen;
}

}  // namespace flowsieve::capture_bytes
