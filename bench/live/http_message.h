// The one request and the one answer of the request benches. Every answer has the same length, so
// that its end is found by counting; its body is 100 bytes that begin with the node's name.
#pragma once

#include <string>
#include <string_view>

namespace bench {

constexpr std::string_view kKeepAlive = "GET / HTTP/1.1\r\nHost: cluster.example\r\n\r\n";
constexpr std::string_view kOnlyOne =
    "GET / HTTP/1.1\r\nHost: cluster.example\r\nConnection: close\r\n\r\n";
constexpr std::string_view kHead = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n";
constexpr size_t kBodyBytes = 100;
constexpr size_t kAnswerBytes = kHead.size() + kBodyBytes;

inline std::string answer_of(const std::string& node) {
  std::string body = node + ' ';
  body.resize(kBodyBytes, '.');
  return std::string(kHead) + body;
}

/** The node's name in a complete answer; empty when the answer is wrong. */
inline std::string_view node_in(std::string_view answer) {
  if (answer.size() != kAnswerBytes || answer.substr(0, kHead.size()) != kHead) return {};
  const std::string_view body = answer.substr(kHead.size());
  return body.substr(0, body.find(' '));
}

}  // namespace bench
