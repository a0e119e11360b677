// What the small programs of this room share: their arguments, sockets that fail loudly, the clock.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

namespace bench {

[[noreturn]] inline void fail(const std::string& what) {
  std::fprintf(stderr, "%s: %s\n", what.c_str(), std::strerror(errno));
  std::exit(1);
}

/** The result of a system call that must not fail here. */
inline int must(int result, const char* what) {
  if (result < 0) fail(what);
  return result;
}

/** `--name value` pairs. */
class Arguments {
 public:
  Arguments(int argc, char** argv) {
    for (int i = 1; i + 1 < argc; i += 2) values_[argv[i]] = argv[i + 1];
  }
  std::string text(const std::string& name) const {
    const auto found = values_.find(name);
    if (found != values_.end()) return found->second;
    std::fprintf(stderr, "Expected %s but received nothing.\n", name.c_str());
    std::exit(2);
  }
  double number(const std::string& name) const { return std::atof(text(name).c_str()); }

 private:
  std::map<std::string, std::string> values_;
};

inline uint64_t nanoseconds(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return uint64_t(now.tv_sec) * 1'000'000'000 + uint64_t(now.tv_nsec);
}

inline uint64_t now() {
  return nanoseconds(CLOCK_MONOTONIC);
}

constexpr uint64_t from_seconds(double seconds) {
  return uint64_t(seconds * 1e9);
}

inline sockaddr_in address_of(const std::string& text, int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(uint16_t(port));
  if (inet_pton(AF_INET, text.c_str(), &address.sin_addr) != 1) fail("address " + text);
  return address;
}

inline int set(int fd, int level, int option, int value) {
  return must(setsockopt(fd, level, option, &value, sizeof value), "setsockopt");
}

/** A TCP socket that listens on every address: the cluster address may not be there yet. */
inline int listen_on(int port, int flags) {
  const int fd = must(socket(AF_INET, SOCK_STREAM | flags, 0), "socket");
  set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  const sockaddr_in any = address_of("0.0.0.0", port);
  must(bind(fd, reinterpret_cast<const sockaddr*>(&any), sizeof any), "bind");
  must(listen(fd, 4096), "listen");
  return fd;
}

/** Lets a connection be of that local address; its port is chosen when it connects. */
inline void bind_source(int fd, const sockaddr_in& source) {
  set(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
  must(bind(fd, reinterpret_cast<const sockaddr*>(&source), sizeof source), "bind");
}

inline std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= list.size();) {
    const size_t end = std::min(list.find(',', begin), list.size());
    parts.push_back(list.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

/** Counts by name, as a JSON object. */
inline std::string json(const std::map<std::string, uint64_t>& counts) {
  std::string text = "{";
  for (const auto& [name, count] : counts) {
    if (text.size() > 1) text += ',';
    text.append("\"").append(name).append("\":").append(std::to_string(count));
  }
  return text.append("}");
}

}  // namespace bench
