// Errors as values, for everything that happens outside the packet path: opening a device, reading
// a capture's header, creating a table. On the packet path there are no errors, only verdicts and
// counted drop reasons (room count).
#pragma once

#include <string>
#include <utility>
#include <variant>

namespace flowsieve {

/// What kind of thing went wrong; the addon turns it into the `code` of the JavaScript error.
enum class ErrorCode : uint8_t {
  kArgument,   ///< the caller's value cannot be used
  kPrivilege,  ///< the operating system refused (EPERM, EACCES)
  kMissing,    ///< an interface, a file or a kernel feature is not there
  kSystem,     ///< any other failed system call
  kFormat,     ///< a file or a record block is not what it should be
  kState,      ///< the call does not fit the state of the object
};

/// One sentence of the shape "Expected X for Y but received Z."
struct Error {
  ErrorCode code;
  std::string message;
};

/// A value or an Error. (std::expected is C++23.)
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : held_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : held_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const { return held_.index() == 0; }
  explicit operator bool() const { return ok(); }
  T& value() { return std::get<0>(held_); }
  const T& value() const { return std::get<0>(held_); }
  const Error& error() const { return std::get<1>(held_); }

 private:
  std::variant<T, Error> held_;
};

/// Success without a value, or an Error.
using Status = Result<std::monostate>;
inline Status ok_status() {
  return std::monostate{};
}

/// An Error for a failed system call: takes `errno`, names `what` was tried, and sorts EPERM/EACCES
/// and ENODEV/ENOENT/ENXIO into their codes.
Error system_error(const std::string& what);

}  // namespace flowsieve
