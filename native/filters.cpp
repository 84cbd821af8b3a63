// Filters on sockets: SO_ATTACH_FILTER and its kin, SO_DETACH_FILTER, SO_LOCK_FILTER, SO_GET_FILTER.
//
// A program comes as the bytes of its struct sock_filter array, in host byte order.
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <sys/socket.h>

#include <cerrno>
#include <vector>

#include "addon.h"
#include "arguments.h"

namespace cbpf {

// attachProgram(fd, level, name, program): only for the options that take a struct sock_fprog, since any other would
// let the kernel read the pointer as something else.
static Napi::Value attach_program(const Napi::CallbackInfo& info) {
  int socket = fd(info, 0, "fd");
  int level = i32(info, 1, "level");
  int name = i32(info, 2, "name");
  View<uint8_t> program = bytes(info, 3, "program");
  bool known = (level == SOL_SOCKET && (name == SO_ATTACH_FILTER || name == SO_ATTACH_REUSEPORT_CBPF)) ||
               (level == SOL_PACKET && name == PACKET_FANOUT_DATA);
  if (!known) throw Napi::RangeError::New(info.Env(), "name: this option takes no program");
  size_t count = program.length / sizeof(sock_filter);
  if (program.length % sizeof(sock_filter) != 0 || count > UINT16_MAX) {
    throw Napi::RangeError::New(info.Env(), "program: expected 0..65535 instructions of 8 bytes");
  }
  sock_fprog fprog = {static_cast<unsigned short>(count), reinterpret_cast<sock_filter*>(program.data)};
  return answer(info.Env(), setsockopt(socket, level, name, &fprog, sizeof fprog));
}

static Napi::Value detach_filter(const Napi::CallbackInfo& info) {
  int unused = 0;
  return answer(info.Env(), setsockopt(fd(info, 0, "fd"), SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof unused));
}

// getFilter(fd): the bytes of the attached classic program, empty when there is none.  The option's length counts
// instructions, not bytes.  The count may grow between the two calls; the second then says EINVAL and all is repeated.
static Napi::Value get_filter(const Napi::CallbackInfo& info) {
  int socket = fd(info, 0, "fd");
  for (int attempt = 0;; attempt++) {
    socklen_t count = 0;
    if (getsockopt(socket, SOL_SOCKET, SO_GET_FILTER, nullptr, &count) != 0) return answer(info.Env(), -1);
    std::vector<sock_filter> program(count + 1);
    if (count == 0) return Napi::Uint8Array::New(info.Env(), 0);
    if (getsockopt(socket, SOL_SOCKET, SO_GET_FILTER, program.data(), &count) == 0) {
      size_t size = count * sizeof(sock_filter);
      Napi::Uint8Array result = Napi::Uint8Array::New(info.Env(), size);
      std::copy_n(reinterpret_cast<uint8_t*>(program.data()), size, result.Data());
      return result;
    }
    if (errno != EINVAL || attempt == 3) return answer(info.Env(), -1);
  }
}

void add_filters(Napi::Env env, Napi::Object exports) {
  exports["attachProgram"] = Napi::Function::New(env, attach_program, "attachProgram");
  exports["detachFilter"] = Napi::Function::New(env, detach_filter, "detachFilter");
  exports["getFilter"] = Napi::Function::New(env, get_filter, "getFilter");
}

}  // namespace cbpf
