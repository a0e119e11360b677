// Writes pcap files with nanoseconds, little-endian: what tests need, and no more. One
// link type a file.
#pragma once

#include <cstdio>
#include <memory>
#include <string>

#include "base/status.h"
#include "wire/source.h"

namespace flowsieve {

class CaptureWriter {
 public:
  /// Creates `path`, or cuts it to nothing.
  static Result<std::unique_ptr<CaptureWriter>> create(const std::string& path, LinkType link);

  /// Appends one frame. kArgument when its link type is not the file's, or it was captured longer
  /// than readers accept.
  Status write(const Frame& frame);
  /// Writes out what is buffered. The destructor does so too, but cannot tell when it fails.
  Status flush();

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  CaptureWriter(std::FILE* file, LinkType link) : file_(file), link_(link) {}
  Status put(const void* bytes, size_t count);

  std::unique_ptr<std::FILE, Close> file_;
  LinkType link_;
};

}  // namespace flowsieve
