#include "engine/mailbox.h"

#include <sys/eventfd.h>
#include <unistd.h>

namespace flowsieve {

Mailbox::~Mailbox() {
  if (event_fd_ >= 0) ::close(event_fd_);
}

Status Mailbox::open() {
  if (event_fd_ >= 0) return ok_status();
  event_fd_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (event_fd_ < 0) return system_error("making an event descriptor");
  return ok_status();
}

void Mailbox::post(Letter letter, Worker& worker) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!accepting_) return letter(worker);
    letters_.push_back(std::move(letter));
    full_.store(true, std::memory_order_release);
  }
  const uint64_t one = 1;
  // Fails only when the counter is full, and then the descriptor is readable anyway.
  [[maybe_unused]] const ssize_t written = write(event_fd_, &one, sizeof(one));
}

void Mailbox::accept() {
  const std::lock_guard<std::mutex> lock(mutex_);
  accepting_ = true;
}

void Mailbox::close(Worker& worker) {
  const std::lock_guard<std::mutex> lock(mutex_);
  accepting_ = false;
  for (const Letter& letter : letters_) letter(worker);
  letters_.clear();
  full_.store(false, std::memory_order_relaxed);
}

void Mailbox::drain(Worker& worker) {
  if (!full_.load(std::memory_order_acquire)) return;
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = read(event_fd_, &count, sizeof(count));
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    opened_.swap(letters_);
    full_.store(false, std::memory_order_relaxed);
  }
  for (const Letter& letter : opened_) letter(worker);
  opened_.clear();
}

}  // namespace flowsieve
