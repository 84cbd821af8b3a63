// Arguments from JavaScript, checked: a function here returns a value that is safe to hand to the kernel, or throws
// TypeError or RangeError naming the argument.  Nothing is coerced, so no user code runs while arguments are read.
#pragma once

#include <napi.h>
#include <sys/socket.h>

#include <cstddef>
#include <cstdint>

namespace cbpf {

// An integer in low..high; -0, fractions, NaN and everything that is no number are refused.
int64_t integer(const Napi::CallbackInfo& info, size_t index, const char* name, int64_t low, int64_t high);

int32_t i32(const Napi::CallbackInfo& info, size_t index, const char* name);
uint32_t u32(const Napi::CallbackInfo& info, size_t index, const char* name);

// A file descriptor number, 0 or more; the descriptor need not be open.
int fd(const Napi::CallbackInfo& info, size_t index, const char* name);

// A descriptor that this environment opened through the addon and has not given away.
int owned_fd(const Napi::CallbackInfo& info, size_t index, const char* name);

// Memory of a typed array of one element type.  It may be shared with another thread: read what is checked once.
template <typename Element>
struct View {
  Element* data;
  size_t length;  // in elements
};

View<uint8_t> bytes(const Napi::CallbackInfo& info, size_t index, const char* name);
View<uint32_t> u32s(const Napi::CallbackInfo& info, size_t index, const char* name);
View<int32_t> i32s(const Napi::CallbackInfo& info, size_t index, const char* name);

// True for an argument that is absent, undefined or null.
bool absent(const Napi::CallbackInfo& info, size_t index);

// A struct sockaddr given as bytes; absent and empty mean none.
struct Address {
  sockaddr_storage storage;
  socklen_t length;
  const sockaddr* get() const { return length == 0 ? nullptr : reinterpret_cast<const sockaddr*>(&storage); }
};
Address address(const Napi::CallbackInfo& info, size_t index, const char* name);

// Text without NUL of fewer than `size` UTF-8 bytes, written with its NUL to `out`.
void text(const Napi::CallbackInfo& info, size_t index, const char* name, char* out, size_t size);

Napi::Value number(Napi::Env env, double value);

// The result of a system call: itself, or -errno when it is -1.
Napi::Value answer(Napi::Env env, long result);

}  // namespace cbpf
