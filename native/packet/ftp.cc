#include "packet/ftp.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace flowsieve {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// The decimal number at the beginning of `text`, at most `max`; takes it off. No sign, no more
/// digits than five.
std::optional<uint32_t> take_number(std::string_view& text, uint32_t max) {
  size_t digits = 0;
  while (digits < text.size() && digits < 6 && is_digit(text[digits])) ++digits;
  if (digits == 0 || digits > 5) return std::nullopt;
  uint32_t value = 0;
  for (const char digit : text.substr(0, digits)) {
    value = value * 10 + static_cast<uint32_t>(digit - '0');
  }
  if (value > max) return std::nullopt;
  text.remove_prefix(digits);
  return value;
}

std::string_view without_spaces(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::optional<Address> read_address(std::string_view family, std::string_view text) {
  std::array<char, 46> plain{};
  if (text.size() >= plain.size()) return std::nullopt;
  std::copy(text.begin(), text.end(), plain.begin());
  Address address{};
  if (family == "1") {
    std::array<uint8_t, 4> four{};
    if (inet_pton(AF_INET, plain.data(), four.data()) != 1) return std::nullopt;
    return mapped_ipv4(four.data());
  }
  if (family != "2" || inet_pton(AF_INET6, plain.data(), address.data()) != 1) return std::nullopt;
  return address;
}

/// The command's name matches, in either case; its argument.
std::optional<std::string_view> argument_of(std::string_view line, std::string_view name) {
  if (line.size() < name.size()) return std::nullopt;
  for (size_t i = 0; i < name.size(); ++i) {
    const char c = line[i];
    if ((c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c) != name[i]) {
      return std::nullopt;
    }
  }
  const std::string_view rest = line.substr(name.size());
  if (!rest.empty() && rest.front() != ' ') return std::nullopt;
  return without_spaces(rest);
}

}  // namespace

void LineReader::begin(uint32_t sequence) {
  begun_ = true;
  skipping_ = false;
  next_ = sequence;
  line_.clear();
}

Bytes LineReader::fresh(uint32_t sequence, Bytes payload) {
  if (payload.size == 0) return {};
  const auto length = static_cast<uint32_t>(payload.size);
  const int32_t ahead = static_cast<int32_t>(sequence - next_);
  if (!begun_ || ahead > 0) {
    // Of the line that is under way something is missing.
    skipping_ = true;
    line_.clear();
    begun_ = true;
    next_ = sequence + length;
    return payload;
  }
  const uint32_t known = next_ - sequence;
  if (known >= length) return {};
  next_ = sequence + length;
  return payload.from(known);
}

std::string_view LineReader::ended() const {
  std::string_view line = line_;
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  return line;
}

void FtpControl::from_client(uint32_t sequence, Bytes payload, std::vector<FtpData>& found) {
  client_.feed(sequence, payload, [&](std::string_view line) { command(line, found); });
}

void FtpControl::from_server(uint32_t sequence, Bytes payload, std::vector<FtpData>& found) {
  server_.feed(sequence, payload, [&](std::string_view line) { reply(line, found); });
}

void FtpControl::command(std::string_view line, std::vector<FtpData>& found) {
  if (argument_of(line, "PASV")) {
    awaited_ = 227;
  } else if (argument_of(line, "EPSV")) {
    awaited_ = 229;
  } else if (const auto host_port = argument_of(line, "PORT")) {
    if (const auto data = read_host_port(*host_port, true)) found.push_back(*data);
  } else if (const auto extended = argument_of(line, "EPRT")) {
    if (const auto data = read_extended_port(*extended)) found.push_back(*data);
  }
}

void FtpControl::reply(std::string_view line, std::vector<FtpData>& found) {
  if (awaited_ == 0 || line.size() < 4 || line[3] != ' ') return;
  const std::string_view code = line.substr(0, 3);
  const std::string_view text = line.substr(4);
  std::optional<FtpData> data;
  if (awaited_ == 227 && code == "227") {
    // The text is anybody's; the numbers begin with its first digit (RFC 1123 4.1.2.6).
    const size_t digit = std::min(text.find_first_of("0123456789"), text.size());
    data = read_host_port(text.substr(digit), false);
  } else if (awaited_ == 229 && code == "229") {
    data = read_extended_passive(text);
  } else {
    return;
  }
  awaited_ = 0;
  if (!data) return;
  data->passive = true;
  found.push_back(*data);
}

std::optional<FtpData> read_host_port(std::string_view text, bool whole) {
  std::array<uint8_t, 6> numbers{};
  for (size_t i = 0; i < numbers.size(); ++i) {
    if (i > 0) {
      if (text.empty() || text.front() != ',') return std::nullopt;
      text.remove_prefix(1);
    }
    const auto number = take_number(text, 255);
    if (!number) return std::nullopt;
    numbers[i] = static_cast<uint8_t>(*number);
  }
  if (whole && !without_spaces(text).empty()) return std::nullopt;
  const auto port = static_cast<uint16_t>(numbers[4] << 8 | numbers[5]);
  if (port == 0) return std::nullopt;
  return FtpData{.passive = false, .address = mapped_ipv4(numbers.data()), .port = port};
}

std::optional<FtpData> read_extended_port(std::string_view text) {
  if (text.size() < 2) return std::nullopt;
  const char delimiter = text.front();
  if (delimiter < 33 || delimiter > 126 || is_digit(delimiter)) return std::nullopt;
  std::array<std::string_view, 3> parts;
  text.remove_prefix(1);
  for (std::string_view& part : parts) {
    const size_t end = text.find(delimiter);
    if (end == std::string_view::npos) return std::nullopt;
    part = text.substr(0, end);
    text.remove_prefix(end + 1);
  }
  if (!text.empty()) return std::nullopt;
  const auto address = read_address(parts[0], parts[1]);
  std::string_view digits = parts[2];
  const auto port = take_number(digits, 65'535);
  if (!address || !port || *port == 0 || !digits.empty()) return std::nullopt;
  return FtpData{.passive = false, .address = address, .port = static_cast<uint16_t>(*port)};
}

std::optional<FtpData> read_extended_passive(std::string_view text) {
  const size_t open = text.find('(');
  if (open == std::string_view::npos || text.size() < open + 5) return std::nullopt;
  text.remove_prefix(open + 1);
  const char delimiter = text.front();
  if (delimiter < 33 || delimiter > 126 || is_digit(delimiter)) return std::nullopt;
  if (text[1] != delimiter || text[2] != delimiter) return std::nullopt;
  text.remove_prefix(3);
  const auto port = take_number(text, 65'535);
  const bool closed = text.size() >= 2 && text[0] == delimiter && text[1] == ')';
  if (!port || *port == 0 || !closed) return std::nullopt;
  return FtpData{.passive = true, .address = std::nullopt, .port = static_cast<uint16_t>(*port)};
}

}  // namespace flowsieve
