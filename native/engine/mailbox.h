// How others reach a worker: they leave a function in its mailbox, and the worker's thread calls it between two bursts. So nothing
// on the packet path is locked or shared, and whatever the function reads or changes is whole.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <vector>

#include "base/status.h"
#include "worker/worker.h"

namespace flowsieve {

class Mailbox {
 public:
  using Letter = std::function<void(Worker&)>;

  Mailbox() = default;
  ~Mailbox();
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;

  /// Makes the event descriptor; before anything else.
  Status open();
  /// Any thread. The worker is woken. False when nobody empties the mailbox (any more): the letter was not taken.
  bool post(Letter letter);
  /// The worker's thread: calls what has been posted, in order. One read of an atomic when there is nothing.
  void drain(Worker& worker);
  /// Letters are taken from now on, or no more; what has been posted before is still called by close().
  void accept();
  void close(Worker& worker);
  /// Readable when something has been posted.
  int poll_fd() const { return event_fd_; }

 private:
  std::mutex mutex_;
  std::vector<Letter> letters_;
  std::vector<Letter>
      opened_;  // the worker's; swapped with letters_ so that neither allocates for long
  std::atomic<bool> full_{false};
  bool accepting_ = false;
  int event_fd_ = -1;
};

}  // namespace flowsieve
