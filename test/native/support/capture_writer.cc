#include "support/capture_writer.h"

#include <cerrno>

#include "wire/capture_format.h"

namespace flowsieve {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;

void store_le32(uint8_t* p, uint32_t v) {
  for (int i = 0; i < 4; ++i) p[i] = static_cast<uint8_t>(v >> (8 * i));
}

// The LINKTYPE_ number that a file of `link` carries; link_type() is the way back.
uint32_t link_number(LinkType link) {
  switch (link) {
    case LinkType::kEthernet:
      return 1;
    case LinkType::kRawIp:
      return 101;
    case LinkType::kLinuxCooked1:
      return 113;
    case LinkType::kLinuxCooked2:
      return 276;
    case LinkType::kBsdLoopback:
      return 0;
  }
  return 1;
}

}  // namespace

Result<std::unique_ptr<CaptureWriter>> CaptureWriter::create(const std::string& path,
                                                             LinkType link) {
  std::FILE* file = std::fopen(path.c_str(), "wbe");
  if (file == nullptr) return system_error("creating the capture file " + path);
  std::unique_ptr<CaptureWriter> writer(new CaptureWriter(file, link));
  uint8_t header[kPcapHeaderBytes] = {};
  store_le32(header, 0xa1b23c4d);  // nanoseconds
  header[4] = 2;                   // version 2.4
  header[6] = 4;
  store_le32(header + 16, kCapturedBytesMax);
  store_le32(header + 20, link_number(link));
  const Status status = writer->put(header, sizeof(header));
  if (!status) return status.error();
  return writer;
}

Status CaptureWriter::write(const Frame& frame) {
  if (frame.link != link_) {
    return Error{ErrorCode::kArgument,
                 "Expected a frame of the capture file's link type but received another."};
  }
  if (frame.bytes.size > kCapturedBytesMax) {
    return Error{ErrorCode::kArgument, "Expected a frame of at most 262144 bytes but received " +
                                           std::to_string(frame.bytes.size) + "."};
  }
  uint8_t header[16];
  const auto captured = static_cast<uint32_t>(frame.bytes.size);
  store_le32(header, static_cast<uint32_t>(frame.time_ns / kSecond));
  store_le32(header + 4, static_cast<uint32_t>(frame.time_ns % kSecond));
  store_le32(header + 8, captured);
  store_le32(header + 12, frame.wire_bytes > captured ? frame.wire_bytes : captured);
  Status status = put(header, sizeof(header));
  if (!status) return status;
  return put(frame.bytes.data, captured);
}

Status CaptureWriter::put(const void* bytes, size_t count) {
  if (count > 0 && std::fwrite(bytes, 1, count, file_.get()) != count) {
    return system_error("writing the capture file");
  }
  return ok_status();
}

Status CaptureWriter::flush() {
  if (std::fflush(file_.get()) != 0) return system_error("writing the capture file");
  return ok_status();
}

}  // namespace flowsieve
