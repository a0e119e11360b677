// Several interfaces as one, for a worker of a gateway: frames of all of them in the order in which
// they arrived, and questions answered on the interface on which they were asked.
//
//   eth0 ring   | 1 | 4 | 5 |
//   eth1 ring   | 2 | 3 |           a burst: 1 2 3 4 5
//
// What one side sends is often an answer to what the other side has sent a moment ago. Were the
// rings emptied one after the other, an answer could be decided before what it answers.
//
// The ring with the earliest frame at its head is looked for again until the answer stays the same:
// a ring that was empty at the first look may have got an earlier frame before the frame that was
// found. So whatever had been received before a frame is taken before it. Times are the kernel's;
// two processors that put frames into two rings at the same moment may still do it in either order.
#pragma once

#include <memory>
#include <vector>

#include "base/status.h"
#include "wire/responder.h"
#include "wire/ring.h"

namespace flowsieve {

/// Rings whose frames say by `ingress` their place in the list.
class JoinedSource : public Source {
 public:
  static Result<std::unique_ptr<JoinedSource>> open(std::vector<std::unique_ptr<RingSource>> rings);

  size_t receive(std::span<Frame> burst) override;
  bool complete(Frame& frame) override { return rings_[frame.ingress]->complete(frame); }
  int poll_fd() const override { return epoll_.get(); }
  void collect_drops(Counters& counters) override;

 private:
  static constexpr size_t kNone = SIZE_MAX;

  JoinedSource(std::vector<std::unique_ptr<RingSource>> rings, Descriptor epoll);
  size_t earliest() const;

  std::vector<std::unique_ptr<RingSource>> rings_;
  Descriptor epoll_;  ///< readable when one of the rings is
};

class JoinedResponder : public AnnouncingResponder {
 public:
  explicit JoinedResponder(std::vector<std::unique_ptr<LinkResponder>> responders)
      : responders_(std::move(responders)) {}

  bool answer(const Frame& frame) override { return responders_[frame.ingress]->answer(frame); }
  /// Every cluster address on its own interface; the first failure, when all have been tried.
  Status announce() override;

 private:
  std::vector<std::unique_ptr<LinkResponder>> responders_;
};

}  // namespace flowsieve
