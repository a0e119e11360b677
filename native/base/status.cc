#include "base/status.h"

#include <cerrno>
#include <cstring>

namespace flowsieve {

Error system_error(const std::string& what) {
  const int number = errno;
  ErrorCode code = ErrorCode::kSystem;
  if (number == EPERM || number == EACCES) code = ErrorCode::kPrivilege;
  if (number == ENODEV || number == ENOENT || number == ENXIO) code = ErrorCode::kMissing;
  return {code, "Expected " + what + " to succeed but received: " + std::strerror(number) + "."};
}

}  // namespace flowsieve
