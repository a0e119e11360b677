// What an FTP control connection (RFC 959, RFC 2428) says about the data connections to come.
//
//   client  PORT h1,h2,h3,h4,p1,p2   EPRT |1|address|port|        the server will connect there
//   client  PASV -> server 227 ... h1,h2,h3,h4,p1,p2              the client will connect there
//   client  EPSV -> server 229 ... (|||port|)                     likewise, same address
//
// Segments come as a bystander sees them: repeated, overlapping, perhaps with gaps. What was not
// seen in full is no line. Bounded: kLineMax bytes for each direction and nothing else.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/bytes.h"

namespace flowsieve {

/// A data connection that one side has announced.
struct FtpData {
  bool passive = false;            ///< the client will connect; else the server
  std::optional<Address> address;  ///< where to; nothing: where the control connection goes
  uint16_t port = 0;               ///< never 0
};

/// The lines of one direction of a TCP connection.
class LineReader {
 public:
  static constexpr size_t kLineMax = 512;

  /// The next byte of the stream has this number: after a SYN.
  void begin(uint32_t sequence);
  /// A segment; calls take(std::string_view) for each line that it completes, without its end.
  template <typename Take>
  void feed(uint32_t sequence, Bytes payload, Take&& take) {
    payload = fresh(sequence, payload);
    for (size_t i = 0; i < payload.size; ++i) {
      const char c = static_cast<char>(payload.data[i]);
      if (c == '\n') {
        if (!skipping_) take(ended());
        skipping_ = false;
        line_.clear();
      } else if (!skipping_) {
        line_.push_back(c);
        skipping_ = line_.size() > kLineMax;
      }
    }
  }

 private:
  /// What of the segment has not been read; after a gap, all of it, and its first line is not whole.
  Bytes fresh(uint32_t sequence, Bytes payload);
  /// The line without its carriage return.
  std::string_view ended() const;

  bool begun_ = false;
  bool skipping_ = false;  ///< to the end of the line
  uint32_t next_ = 0;
  std::string line_;
};

/// One control connection.
class FtpControl {
 public:
  void begin_client(uint32_t sequence) { client_.begin(sequence); }
  void begin_server(uint32_t sequence) { server_.begin(sequence); }
  /// What the client's segment announces (PORT, EPRT) is added to `found`.
  void from_client(uint32_t sequence, Bytes payload, std::vector<FtpData>& found);
  /// The same for the server's (227, 229).
  void from_server(uint32_t sequence, Bytes payload, std::vector<FtpData>& found);

 private:
  void command(std::string_view line, std::vector<FtpData>& found);
  void reply(std::string_view line, std::vector<FtpData>& found);

  LineReader client_, server_;
  int awaited_ = 0;  ///< the reply that the last command asks for: 227, 229, or 0
};

/// h1,h2,h3,h4,p1,p2 at the beginning of `text`, with nothing but white space behind it if `whole`.
std::optional<FtpData> read_host_port(std::string_view text, bool whole);
/// |1|132.235.1.2|6275| or |2|2001:db8::1|6275|; any printable delimiter.
std::optional<FtpData> read_extended_port(std::string_view text);
/// (|||6446|) somewhere in `text`.
std::optional<FtpData> read_extended_passive(std::string_view text);

}  // namespace flowsieve
