// Any bytes at all as a capture file: reading ends, and no frame claims what is not there.
#include "wire/capture.h"

#include "fuzz/fuzz.h"

namespace {

[[noreturn]] void broken() {
  __builtin_trap();
}

void demand(bool holds) {
  if (!holds) broken();
}

// Every byte is read, so that the address sanitizer sees a frame that leaves the input.
uint32_t sum(flowsieve::Bytes bytes) {
  uint32_t total = 0;
  for (size_t i = 0; i < bytes.size; ++i) total += bytes.data[i];
  return total;
}

}  // namespace

FLOWSIEVE_FUZZ_TARGET(capture, data, size) {
  using namespace flowsieve;
  auto opened = CaptureSource::from_bytes({data, size});
  if (!opened) {
    demand(opened.error().code == ErrorCode::kFormat);
    demand(opened.error().message.starts_with("Expected "));
    return;
  }
  CaptureSource& source = *opened.value();
  Frame frames[kBurst];
  size_t packets = 0, captured = 0;
  volatile uint32_t total = 0;
  // Half of the inputs are asked for their first packet's time before.
  const bool asked = size % 2 == 1;
  const uint64_t first_time = asked ? source.first_time_ns() : 0;
  while (!source.exhausted()) {
    const size_t count = source.receive(frames);
    demand(count <= kBurst);
    demand(count > 0 || source.exhausted());
    demand(!asked || packets > 0 || count == 0 || frames[0].time_ns == first_time);
    for (size_t i = 0; i < count; ++i) {
      demand(frames[i].bytes.size <= kCapturedBytesMax);
      demand(frames[i].bytes.size <= frames[i].wire_bytes);
      captured += frames[i].bytes.size;
      total = total + sum(frames[i].bytes);
    }
    packets += count;
    // A record is at least 16 bytes, so that this bounds the loop by the input.
    demand(packets * 16 + captured <= size);
  }
  demand(source.receive(frames) == 0);
  demand(!(source.damaged() && source.failure()));
  demand(source.damaged() == (source.damage().empty() ? 0 : 1));
}
