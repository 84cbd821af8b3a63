// Sockets: making, naming, setting, sending, receiving, closing.  All are non-blocking and closed on exec.
//
// Addresses are struct sockaddr bytes, written and read in TypeScript.
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "addon.h"
#include "arguments.h"
#include "namespaces.h"

namespace cbpf {

static Napi::Uint8Array copy_bytes(Napi::Env env, const void* data, size_t length) {
  Napi::Uint8Array out = Napi::Uint8Array::New(env, length);
  if (length > 0) std::memcpy(out.Data(), data, length);
  return out;
}

// openSocket(domain, type, protocol, netns?)
static Napi::Value open_socket(const Napi::CallbackInfo& info) {
  int domain = i32(info, 0, "domain");
  int type = i32(info, 1, "type");
  int protocol = i32(info, 2, "protocol");
  int netns = absent(info, 3) ? -1 : fd(info, 3, "netns");
  int made = in_namespace(netns, [&] { return socket(domain, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol); });
  return answer(info.Env(), state(info.Env()).fds.take(made));
}

// openPair(domain, type): two connected descriptors, or -errno
static Napi::Value open_pair(const Napi::CallbackInfo& info) {
  int domain = i32(info, 0, "domain");
  int type = i32(info, 1, "type");
  int ends[2];
  if (socketpair(domain, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) return answer(info.Env(), -1);
  // Owned before anything is made for JavaScript, which fails in a thread that is being terminated.
  OwnedFds& fds = state(info.Env()).fds;
  for (int& end : ends) end = fds.take(end);
  Napi::Array out = Napi::Array::New(info.Env(), 2);
  for (uint32_t i = 0; i < 2; i++) out[i] = number(info.Env(), ends[i]);
  return out;
}

// closeFd(fd): only what was opened here and not released
static Napi::Value close_fd(const Napi::CallbackInfo& info) {
  int socket = owned_fd(info, 0, "fd");
  state(info.Env()).polls.close_on(socket);
  state(info.Env()).fds.close(socket);
  return answer(info.Env(), 0);
}

// releaseFd(fd): from now on somebody else closes it
static Napi::Value release_fd(const Napi::CallbackInfo& info) {
  int socket = owned_fd(info, 0, "fd");
  state(info.Env()).polls.close_on(socket);
  state(info.Env()).fds.release(socket);
  return answer(info.Env(), 0);
}

static Napi::Value bind_socket(const Napi::CallbackInfo& info) {
  int socket = owned_fd(info, 0, "fd");
  Address to = address(info, 1, "address");
  return answer(info.Env(), bind(socket, to.get(), to.length));
}

static Napi::Value connect_socket(const Napi::CallbackInfo& info) {
  int socket = owned_fd(info, 0, "fd");
  Address to = address(info, 1, "address");
  return answer(info.Env(), connect(socket, to.get(), to.length));
}

// socketName(fd): the bytes of getsockname(), or -errno
static Napi::Value socket_name(const Napi::CallbackInfo& info) {
  sockaddr_storage name = {};
  socklen_t length = sizeof name;
  if (getsockname(fd(info, 0, "fd"), reinterpret_cast<sockaddr*>(&name), &length) != 0) return answer(info.Env(), -1);
  return copy_bytes(info.Env(), &name, std::min<size_t>(length, sizeof name));
}

// setOption(fd, level, name, value): an int, or the bytes of a struct.  Structs are limited to options whose struct
// holds no pointer: the kernel would follow it.
static Napi::Value set_option(const Napi::CallbackInfo& info) {
  int socket = fd(info, 0, "fd");
  int level = i32(info, 1, "level");
  int name = i32(info, 2, "name");
  if (info[3].IsNumber()) {
    int value = i32(info, 3, "value");
    return answer(info.Env(), setsockopt(socket, level, name, &value, sizeof value));
  }
  View<uint8_t> value = bytes(info, 3, "value");
  bool plain = (level == SOL_SOCKET && name == SO_BINDTODEVICE) ||
               (level == SOL_PACKET && (name == PACKET_ADD_MEMBERSHIP || name == PACKET_DROP_MEMBERSHIP));
  if (!plain) throw Napi::RangeError::New(info.Env(), "name: this option takes no bytes here");
  return answer(info.Env(), setsockopt(socket, level, name, value.data, static_cast<socklen_t>(value.length)));
}

// getOption(fd, level, name, size): up to `size` bytes of the option's value, or -errno.  Eight times the memory is
// set aside because SO_GET_FILTER counts in instructions of 8 bytes; it has its own function, and is refused here with
// SO_PEERPIDFD (77), which would open a descriptor.
static Napi::Value get_option(const Napi::CallbackInfo& info) {
  int socket = fd(info, 0, "fd");
  int level = i32(info, 1, "level");
  int name = i32(info, 2, "name");
  socklen_t length = static_cast<socklen_t>(integer(info, 3, "size", 0, 4096));
  if (level == SOL_SOCKET && (name == SO_GET_FILTER || name == 77)) {
    throw Napi::RangeError::New(info.Env(), "name: this option cannot be read here");
  }
  std::vector<uint8_t> value(8 * length + 8);
  if (getsockopt(socket, level, name, value.data(), &length) != 0) return answer(info.Env(), -1);
  return copy_bytes(info.Env(), value.data(), std::min<size_t>(length, value.size()));
}

// sendBytes(fd, bytes, address?): the number of bytes sent; a tap is written to
static Napi::Value send_bytes(const Napi::CallbackInfo& info) {
  int socket = owned_fd(info, 0, "fd");
  View<uint8_t> data = bytes(info, 1, "bytes");
  Address to = address(info, 2, "address");
  ssize_t sent = sendto(socket, data.data, data.length, MSG_DONTWAIT | MSG_NOSIGNAL, to.get(), to.length);
  if (sent < 0 && errno == ENOTSOCK) sent = write(socket, data.data, data.length);
  return answer(info.Env(), sent);
}

// Control messages as [{ level, type, data }].  Descriptors sent along are open already: they are closed here, since
// nobody asked for them.
static Napi::Array control_messages(Napi::Env env, msghdr& message) {
  Napi::Array out = Napi::Array::New(env);
  for (cmsghdr* item = CMSG_FIRSTHDR(&message); item != nullptr; item = CMSG_NXTHDR(&message, item)) {
    size_t length = item->cmsg_len - CMSG_LEN(0);
    if (item->cmsg_level == SOL_SOCKET && item->cmsg_type == SCM_RIGHTS) {
      for (size_t at = 0; at + sizeof(int) <= length; at += sizeof(int)) {
        int passed;
        std::memcpy(&passed, CMSG_DATA(item) + at, sizeof passed);
        close(passed);
      }
      continue;
    }
    Napi::Object entry = Napi::Object::New(env);
    entry["level"] = number(env, item->cmsg_level);
    entry["type"] = number(env, item->cmsg_type);
    entry["data"] = copy_bytes(env, CMSG_DATA(item), length);
    out[out.Length()] = entry;
  }
  return out;
}

// receive(fd, into): { length, flags, address, control } of the next message, or -errno (-EAGAIN when there is none).
// `length` is the message's own, also when `into` is shorter.
static Napi::Value receive(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int socket = owned_fd(info, 0, "fd");
  View<uint8_t> into = bytes(info, 1, "into");
  sockaddr_storage from = {};
  alignas(cmsghdr) uint8_t control[512];
  iovec part = {into.data, into.length};
  msghdr message = {};
  message.msg_name = &from;
  message.msg_namelen = sizeof from;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t length = recvmsg(socket, &message, MSG_DONTWAIT | MSG_TRUNC);
  if (length < 0) return answer(env, -1);
  Napi::Array messages = control_messages(env, message);
  Napi::Object out = Napi::Object::New(env);
  out["length"] = number(env, static_cast<double>(length));
  out["flags"] = number(env, message.msg_flags);
  out["address"] = copy_bytes(env, &from, std::min<size_t>(message.msg_namelen, sizeof from));
  out["control"] = messages;
  return out;
}

void add_sockets(Napi::Env env, Napi::Object exports) {
  exports["openSocket"] = Napi::Function::New(env, open_socket, "openSocket");
  exports["openPair"] = Napi::Function::New(env, open_pair, "openPair");
  exports["closeFd"] = Napi::Function::New(env, close_fd, "closeFd");
  exports["releaseFd"] = Napi::Function::New(env, release_fd, "releaseFd");
  exports["bindSocket"] = Napi::Function::New(env, bind_socket, "bindSocket");
  exports["connectSocket"] = Napi::Function::New(env, connect_socket, "connectSocket");
  exports["socketName"] = Napi::Function::New(env, socket_name, "socketName");
  exports["setOption"] = Napi::Function::New(env, set_option, "setOption");
  exports["getOption"] = Napi::Function::New(env, get_option, "getOption");
  exports["sendBytes"] = Napi::Function::New(env, send_bytes, "sendBytes");
  exports["receive"] = Napi::Function::New(env, receive, "receive");
}

}  // namespace cbpf
