#include "wire/capture.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace flowsieve {

std::optional<LinkType> link_type(uint32_t number) {
  switch (number) {
    case 1:
      return LinkType::kEthernet;
    case 12:   // raw IP as BSD and Linux write it
    case 14:   // raw IP as OpenBSD writes it
    case 101:  // raw IP, the number for files
    case 228:  // raw IPv4
    case 229:  // raw IPv6
      return LinkType::kRawIp;
    case 113:
      return LinkType::kLinuxCooked1;
    case 276:
      return LinkType::kLinuxCooked2;
    case 0:    // address family in the byte order of the machine that captured
    case 108:  // address family in network byte order
      return LinkType::kBsdLoopback;
    default:
      return std::nullopt;
  }
}

Error unsupported_link(uint32_t number) {
  return {
      ErrorCode::kFormat,
      "Expected a capture of link type Ethernet, raw IP, Linux cooked v1 or v2, or BSD loopback "
      "but received link type " +
          std::to_string(number) + "."};
}

CaptureWindow::CaptureWindow(int fd) : buffer_(kWindowBytes), fd_(fd) {
  ahead_ = {buffer_.data(), 0};
}

// A moved vector keeps its memory, so `ahead_` stays right.
CaptureWindow::CaptureWindow(CaptureWindow&& other) noexcept
    : ahead_(other.ahead_),
      to_skip_(other.to_skip_),
      buffer_(std::move(other.buffer_)),
      fd_(std::exchange(other.fd_, -1)),
      read_error_(other.read_error_) {}

CaptureWindow::~CaptureWindow() {
  if (fd_ >= 0) ::close(fd_);
}

void CaptureWindow::skip(uint64_t count) {
  const size_t here = count < ahead_.size ? static_cast<size_t>(count) : ahead_.size;
  ahead_ = ahead_.from(here);
  to_skip_ += count - here;
}

bool CaptureWindow::fill(size_t need) {
  if (fd_ >= 0) move_to_front();
  while (to_skip_ > 0 || ahead_.size < need) {
    if (!read_more()) return false;
  }
  return true;
}

void CaptureWindow::move_to_front() {
  if (ahead_.size > 0 && ahead_.data != buffer_.data()) {
    std::memmove(buffer_.data(), ahead_.data, ahead_.size);
  }
  ahead_.data = buffer_.data();
}

bool CaptureWindow::read_more() {
  if (fd_ < 0) return false;
  ssize_t got;
  do {
    got = ::read(fd_, buffer_.data() + ahead_.size, buffer_.size() - ahead_.size);
  } while (got < 0 && errno == EINTR);
  if (got < 0) read_error_ = errno;
  if (got <= 0) return false;
  ahead_.size += static_cast<size_t>(got);
  if (to_skip_ > 0) {
    skip(std::exchange(to_skip_, 0));
    move_to_front();
  }
  return true;
}

Result<std::unique_ptr<CaptureSource>> CaptureSource::open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return system_error("opening the capture file " + path);
  return over(CaptureWindow(fd));
}

Result<std::unique_ptr<CaptureSource>> CaptureSource::from_bytes(Bytes bytes) {
  return over(CaptureWindow(bytes));
}

Result<std::unique_ptr<CaptureSource>> CaptureSource::over(CaptureWindow window) {
  window.fill(kFileHeaderBytesMax);  // a shorter file is refused below
  if (window.read_error() != 0) {
    errno = window.read_error();
    return system_error("reading the capture file");
  }
  const Bytes start = window.ahead();
  if (start.has(0, 2) && start.data[0] == 0x1f && start.data[1] == 0x8b) {
    return Error{ErrorCode::kFormat,
                 "Expected a pcap or pcapng file but received a gzip file; decompress it first."};
  }
  if (!is_pcap(start) && !is_pcapng(start)) {
    return Error{ErrorCode::kFormat, start.size == 0
                                         ? "Expected a pcap or pcapng file but received no bytes."
                                         : "Expected a pcap or pcapng file but received something "
                                           "that begins like neither."};
  }
  Result<OpenedFormat> opened = is_pcap(start) ? open_pcap(start) : open_pcapng(start);
  if (!opened) return opened.error();
  window.skip(opened.value().header_bytes);
  return std::unique_ptr<CaptureSource>(
      new CaptureSource(std::move(window), std::move(opened.value().format)));
}

uint64_t CaptureSource::first_time_ns() {
  if (packets_ == 0) {
    Frame frame;
    if (receive_from({&frame, 1}, 0) == 1) first_ = frame;
  }
  return first_ ? first_->time_ns : 0;
}

size_t CaptureSource::receive(std::span<Frame> burst) {
  if (burst.empty() || !first_) return receive_from(burst, 0);
  burst[0] = *first_;
  first_.reset();
  return receive_from(burst, 1);
}

size_t CaptureSource::receive_from(std::span<Frame> burst, size_t count) {
  using What = CaptureStep::What;
  while (!done_ && count < burst.size()) {
    const CaptureStep step = format_->next(window_.ahead(), burst[count]);
    switch (step.what) {
      case What::kFrame:
        window_.skip(step.bytes);
        ++count;
        ++packets_;
        break;
      case What::kSkip:
        window_.skip(step.bytes);
        break;
      case What::kNeed:
        // To refill is to move the window, and the frames of this burst point into it.
        if (count > 0) return count;
        refill(step.bytes);
        break;
      case What::kDamage:
        end_damaged(step.text);
        break;
      case What::kUnsupported:
        failure_ = unsupported_link(static_cast<uint32_t>(step.bytes));
        done_ = true;
        break;
    }
  }
  return count;
}

void CaptureSource::refill(size_t need) {
  if (window_.fill(need)) return;
  done_ = true;
  if (window_.read_error() != 0) {
    end_damaged(std::string("reading failed: ") + std::strerror(window_.read_error()));
  } else if (!window_.ended_clean()) {
    end_damaged("the file ends inside a record");
  }
}

void CaptureSource::end_damaged(const std::string& what) {
  done_ = true;
  damage_ = "Expected a record or the end of the file after packet " + std::to_string(packets_) +
            " but received damage: " + what + ".";
}

}  // namespace flowsieve
