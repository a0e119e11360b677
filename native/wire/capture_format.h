// What the two capture formats have in common: a reader that is handed the bytes that lie ahead and
// says what they are, without knowing where they come from. CaptureSource owns the file and the
// position; the readers own the formats.
//
//   ahead ->  [ record | record | rec            (the rest of the third is not in memory yet)
//   step:      kFrame    kFrame   kNeed(bytes)
//
// pcap: draft-ietf-opsawg-pcap; pcapng: draft-ietf-opsawg-pcapng; link types: the LINKTYPE_
// registry of the former.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/status.h"
#include "wire/source.h"

namespace flowsieve {

/// A record that claims more captured bytes is damage: the largest snap length that capture
/// programs set. The header's own snap length is no bound, because many writers leave it 0 or
/// exceed it.
inline constexpr uint32_t kCapturedBytesMax = 256 * 1024;
/// A pcapng block that is read (and not skipped) may be this long: a packet with its options.
inline constexpr uint32_t kBlockBytesMax = 1024 * 1024;
/// pcapng interfaces of one section; the obsolete packet block numbers them with 16 bits.
inline constexpr size_t kInterfacesMax = 65536;

/// What lies ahead.
struct CaptureStep {
  enum class What : uint8_t {
    kFrame,        ///< a packet, filled in; `bytes` long with everything around it
    kSkip,         ///< nothing for us in the next `bytes`, which need not be in memory yet
    kNeed,         ///< `bytes` must lie ahead before this can be told
    kDamage,       ///< nothing that the format allows; `text` says what
    kUnsupported,  ///< a packet of the link type `bytes`, which is not read
  };
  What what;
  size_t bytes = 0;
  const char* text = "";
};

class CaptureFormat {
 public:
  virtual ~CaptureFormat() = default;
  /// Looks at the next record. `frame` is written only when the answer is kFrame; its bytes point
  /// into `ahead`.
  virtual CaptureStep next(Bytes ahead, Frame& frame) = 0;
};

/// The file header is taken by the factory; the first call of next() stands behind it.
struct OpenedFormat {
  std::unique_ptr<CaptureFormat> format;
  size_t header_bytes;
};

inline constexpr size_t kPcapHeaderBytes = 24;
inline constexpr size_t kFileHeaderBytesMax = 28;  ///< pcapng's section header without options
bool is_pcap(Bytes start);
Result<OpenedFormat> open_pcap(Bytes start);

bool is_pcapng(Bytes start);
/// Takes nothing: the first section header is a block like any other, but it is checked here, so
/// that a file that only begins like one is refused and not counted as damaged.
Result<OpenedFormat> open_pcapng(Bytes start);

/// The LinkType that a LINKTYPE_ number stands for, when it is one that parse() reads.
std::optional<LinkType> link_type(uint32_t number);
Error unsupported_link(uint32_t number);

/// Unsigned numbers in the byte order of the machine that wrote the file.
struct FileOrder {
  bool big_endian = false;

  uint16_t u16(const uint8_t* p) const {
    return big_endian ? load_be16(p) : static_cast<uint16_t>(p[1] << 8 | p[0]);
  }
  uint32_t u32(const uint8_t* p) const { return big_endian ? load_be32(p) : load_le32(p); }
  uint64_t u64(const uint8_t* p) const {
    return big_endian ? uint64_t{load_be32(p)} << 32 | load_be32(p + 4) : load_le64(p);
  }
};

}  // namespace flowsieve
