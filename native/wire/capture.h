// Capture files as a Source: pcap and pcapng, from a file or from memory.
//
//   file -> window (2 MiB, one read(2) fills it) -> CaptureFormat: what lies ahead?
//        -> frames that point into the window
//
// A file is read through a window of fixed size and not mapped: captures of any length work, pipes
// too, and a file that somebody cuts while it is read is a short read and no SIGBUS. The window is
// taken at open(); after that nothing is allocated but a pcapng file's list of interfaces.
//
// The window moves only at the beginning of receive(), which is why frames stay valid until the
// next one: a record of which only the beginning is in the window ends the burst.
//
// Two ways to end early. Damage (a cut file, a length that cannot be) ends the reading: what came
// before it is good, and damaged() is 1 with a sentence in damage(). A packet whose link type is
// not read ends it too, but is the caller's error: failure().
//
// Not promised: order of time (packets come as the file has them), and transparent decompression.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "wire/capture_format.h"
#include "wire/source.h"

namespace flowsieve {

/// The part of a file, or of memory, that lies ahead of the reader.
class CaptureWindow {
 public:
  static constexpr size_t kWindowBytes = 2 * kBlockBytesMax;

  /// Over memory that outlives the window.
  explicit CaptureWindow(Bytes memory) : ahead_(memory) {}
  /// Over a file descriptor, which it closes.
  explicit CaptureWindow(int fd);
  ~CaptureWindow();
  CaptureWindow(CaptureWindow&& other) noexcept;
  CaptureWindow(const CaptureWindow&) = delete;
  CaptureWindow& operator=(const CaptureWindow&) = delete;

  Bytes ahead() const { return ahead_; }
  /// Passes over `count` bytes, also over more than lie in memory.
  void skip(uint64_t count);
  /// Reads until `need` (<= kWindowBytes) bytes lie ahead; false when the end comes before. Moves
  /// what lies ahead: no Bytes taken from the window before are valid afterwards.
  bool fill(size_t need);
  /// False when the end came inside something: bytes are left over, or were to be skipped that are
  /// not there.
  bool ended_clean() const { return ahead_.size == 0 && to_skip_ == 0; }
  /// 0, or the errno of the read that failed.
  int read_error() const { return read_error_; }

 private:
  void move_to_front();
  bool read_more();

  Bytes ahead_;
  // Bytes to pass over that are not read yet; ahead_ is empty while there are any.
  uint64_t to_skip_ = 0;
  std::vector<uint8_t> buffer_;
  int fd_ = -1;
  int read_error_ = 0;
};

class CaptureSource final : public Source {
 public:
  /// Errors: kMissing (no such file), kPrivilege, kSystem, and kFormat (not a capture, or a link
  /// type that is not read).
  static Result<std::unique_ptr<CaptureSource>> open(const std::string& path);
  /// The same over memory, which must outlive the source.
  static Result<std::unique_ptr<CaptureSource>> from_bytes(Bytes bytes);

  size_t receive(std::span<Frame> burst) override;
  bool exhausted() const override { return done_ && !first_; }

  /// The time of the first packet, which stays to be received; 0 when there is none. To be asked
  /// before the first receive(): that is where the capture's clock begins, and a clock that began
  /// elsewhere would make a leap of decades.
  uint64_t first_time_ns();

  /// 1 when damage ended the reading.
  uint64_t damaged() const { return damage_.empty() ? 0 : 1; }
  /// What was wrong, with the number of packets before it; empty when nothing was.
  const std::string& damage() const { return damage_; }
  /// Set when a packet of a link type that is not read ended the reading.
  const std::optional<Error>& failure() const { return failure_; }

 private:
  CaptureSource(CaptureWindow window, std::unique_ptr<CaptureFormat> format)
      : window_(std::move(window)), format_(std::move(format)) {}
  static Result<std::unique_ptr<CaptureSource>> over(CaptureWindow window);
  /// Gets `need` bytes ahead, or ends the reading.
  void refill(size_t need);
  /// Fills `burst` from `count` on; moves the window only when that is 0.
  size_t receive_from(std::span<Frame> burst, size_t count);
  void end_damaged(const std::string& what);

  CaptureWindow window_;
  std::unique_ptr<CaptureFormat> format_;
  uint64_t packets_ = 0;
  bool done_ = false;
  std::optional<Frame> first_;  // read ahead by first_time_ns(); its bytes are in the window
  std::string damage_;
  std::optional<Error> failure_;
};

}  // namespace flowsieve
