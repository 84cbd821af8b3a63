// The oracle's loop: hand packets to the kernel one by one and see what arrives behind the filter.
//
// On every channel used (a unix datagram pair, UDP on lo, a tap with a packet socket behind it) the filter runs inside
// the sending call.  So one look without waiting tells: what is not there was dropped.
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "addon.h"
#include "arguments.h"

namespace cbpf {

// Keeps the calling thread on one CPU while it lives, for programs that load the CPU number.
class OnCpu {
 public:
  explicit OnCpu(int cpu) {
    if (cpu < 0 || sched_getaffinity(0, sizeof before_, &before_) != 0) return;
    cpu_set_t only;
    CPU_ZERO(&only);
    CPU_SET(cpu, &only);
    moved_ = sched_setaffinity(0, sizeof only, &only) == 0;
    failed_ = !moved_;
  }
  ~OnCpu() {
    if (moved_) sched_setaffinity(0, sizeof before_, &before_);
  }
  bool failed() const { return failed_; }

 private:
  cpu_set_t before_;
  bool moved_ = false;
  bool failed_ = false;
};

// More messages than any receive buffer holds.  A stream socket at its end has one more forever.
constexpr int kMostWaiting = 100000;

// What the receiver has: the length of the next message, which is taken away, or -errno.
static int arrived(int receiver) {
  ssize_t length = recv(receiver, nullptr, 0, MSG_DONTWAIT | MSG_TRUNC);
  return length < 0 ? -errno : static_cast<int>(length);
}

// deliver(sender, receiver, packets, table, results, cpu?, address?): sends packet i, `table[2i + 1]` bytes from `table[2i]` of
// `packets`, and sets results[i] to the length that arrived, to -EAGAIN when nothing did, or to another -errno when
// sending failed.  Returns the number of packets that arrived.  The sender is a tap or a socket, which is connected or
// given the address to send to.  Messages that waited before the first packet are thrown away.
static Napi::Value deliver(const Napi::CallbackInfo& info) {
  int sender = owned_fd(info, 0, "sender");
  int receiver = owned_fd(info, 1, "receiver");
  View<uint8_t> packets = bytes(info, 2, "packets");
  View<uint32_t> table = u32s(info, 3, "table");
  View<int32_t> results = i32s(info, 4, "results");
  int cpu = absent(info, 5) ? -1 : static_cast<int>(integer(info, 5, "cpu", 0, CPU_SETSIZE - 1));
  Address to = address(info, 6, "address");
  size_t count = table.length / 2;
  if (table.length % 2 != 0) throw Napi::RangeError::New(info.Env(), "table: expected pairs of offset and length");
  if (results.length < count) throw Napi::RangeError::New(info.Env(), "results: shorter than the table");

  OnCpu pinned(cpu);
  if (pinned.failed()) return answer(info.Env(), -1);
  int type;
  socklen_t type_length = sizeof type;
  bool is_socket = getsockopt(sender, SOL_SOCKET, SO_TYPE, &type, &type_length) == 0;
  for (int waiting = 0; waiting < kMostWaiting && arrived(receiver) >= 0; waiting++) {
  }
  double delivered = 0;
  for (size_t i = 0; i < count; i++) {
    // Loaded once: another thread may write a shared table between check and use.
    size_t offset = __atomic_load_n(&table.data[2 * i], __ATOMIC_RELAXED);
    size_t length = __atomic_load_n(&table.data[2 * i + 1], __ATOMIC_RELAXED);
    if (offset + length > packets.length) {
      throw Napi::RangeError::New(info.Env(), "table: packet " + std::to_string(i) + " reaches past the end");
    }
    const uint8_t* packet = packets.data + offset;
    ssize_t sent = is_socket ? sendto(sender, packet, length, MSG_DONTWAIT | MSG_NOSIGNAL, to.get(), to.length)
                             : write(sender, packet, length);
    results.data[i] = sent < 0 ? -errno : arrived(receiver);
    if (results.data[i] >= 0) delivered++;
  }
  return number(info.Env(), delivered);
}

void add_deliver(Napi::Env env, Napi::Object exports) {
  exports["deliver"] = Napi::Function::New(env, deliver, "deliver");
}

}  // namespace cbpf
