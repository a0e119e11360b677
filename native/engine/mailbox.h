// How others reach a worker: they leave a function in its mailbox, and the worker's thread calls it
// between two bursts. So nothing on the packet path is locked or shared, and whatever the function
// reads or changes is whole.
//
// While no thread empties the mailbox, whoever posts calls the function itself. One lock decides
// which of the two it is, and is held while functions are called outside the worker's thread or by
// close(): so a worker is never touched by two threads, also not in the moment in which its thread
// begins or ends.
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

  /// Makes the event descriptor, unless it is there; before accept().
  Status open();
  /// Any thread; not from within a letter. Between accept() and close() the worker is woken and its
  /// thread calls the letter; otherwise this calls it. In either case exactly once.
  void post(Letter letter, Worker& worker);
  /// The worker's thread: calls what has been posted, in order. One read of an atomic when
  /// there is nothing.
  void drain(Worker& worker);
  /// From now on somebody drains. Before the worker's thread begins.
  void accept();
  /// The last that the worker's thread does: calls what is left. Afterwards it does not touch the
  /// worker any more.
  void close(Worker& worker);
  /// Readable when something has been posted.
  int poll_fd() const { return event_fd_; }

 private:
  std::mutex mutex_;
  std::vector<Letter> letters_;
  // The worker's; swapped with letters_ so that neither allocates for long.
  std::vector<Letter> opened_;
  std::atomic<bool> full_{false};
  bool accepting_ = false;
  int event_fd_ = -1;
};

}  // namespace flowsieve
