// Checks of arguments; see arguments.h.
#include "arguments.h"

#include <cerrno>
#include <cmath>
#include <cstring>
#include <string>

#include "addon.h"

namespace cbpf {

[[noreturn]] static void wrong_type(Napi::Env env, const char* name, const char* wanted) {
  throw Napi::TypeError::New(env, std::string(name) + ": expected " + wanted);
}

int64_t integer(const Napi::CallbackInfo& info, size_t index, const char* name, int64_t low, int64_t high) {
  Napi::Value value = info[index];
  if (!value.IsNumber()) wrong_type(info.Env(), name, "a number");
  double number = value.As<Napi::Number>().DoubleValue();
  if (!(number >= static_cast<double>(low) && number <= static_cast<double>(high)) || number != std::trunc(number)) {
    throw Napi::RangeError::New(info.Env(), std::string(name) + ": expected an integer in " + std::to_string(low) +
                                                ".." + std::to_string(high));
  }
  return static_cast<int64_t>(number);
}

int32_t i32(const Napi::CallbackInfo& info, size_t index, const char* name) {
  return static_cast<int32_t>(integer(info, index, name, INT32_MIN, INT32_MAX));
}

uint32_t u32(const Napi::CallbackInfo& info, size_t index, const char* name) {
  return static_cast<uint32_t>(integer(info, index, name, 0, UINT32_MAX));
}

int fd(const Napi::CallbackInfo& info, size_t index, const char* name) {
  return static_cast<int>(integer(info, index, name, 0, INT32_MAX));
}

int owned_fd(const Napi::CallbackInfo& info, size_t index, const char* name) {
  int number = fd(info, index, name);
  if (!state(info.Env()).fds.has(number)) {
    throw Napi::RangeError::New(info.Env(), std::string(name) + ": fd " + std::to_string(number) +
                                                " is not open here, or was not opened by this addon");
  }
  return number;
}

// SharedArrayBuffers pass too: every reader of shared numbers loads them once before checking them.
template <typename Element>
static View<Element> view(const Napi::CallbackInfo& info, size_t index, const char* name, napi_typedarray_type wanted,
                          const char* wanted_text) {
  napi_env env = info.Env();
  Napi::Value value = info[index];
  if (!value.IsTypedArray()) wrong_type(info.Env(), name, wanted_text);
  napi_typedarray_type type;
  size_t length;
  void* data;
  napi_value buffer;
  if (napi_get_typedarray_info(env, value, &type, &length, &data, &buffer, nullptr) != napi_ok) {
    wrong_type(info.Env(), name, wanted_text);
  }
  if (type != wanted) wrong_type(info.Env(), name, wanted_text);
  bool detached = false;
  napi_is_detached_arraybuffer(env, buffer, &detached);
  if (detached) wrong_type(info.Env(), name, "an array whose buffer is not detached");
  static Element none;  // an empty array may have no memory; a null pointer means something else to the kernel
  return {data == nullptr ? &none : static_cast<Element*>(data), data == nullptr ? 0 : length};
}

View<uint8_t> bytes(const Napi::CallbackInfo& info, size_t index, const char* name) {
  return view<uint8_t>(info, index, name, napi_uint8_array, "a Uint8Array");
}

View<uint32_t> u32s(const Napi::CallbackInfo& info, size_t index, const char* name) {
  return view<uint32_t>(info, index, name, napi_uint32_array, "a Uint32Array");
}

View<int32_t> i32s(const Napi::CallbackInfo& info, size_t index, const char* name) {
  return view<int32_t>(info, index, name, napi_int32_array, "an Int32Array");
}

bool absent(const Napi::CallbackInfo& info, size_t index) {
  Napi::Value value = info[index];
  return value.IsUndefined() || value.IsNull();
}

Address address(const Napi::CallbackInfo& info, size_t index, const char* name) {
  Address out = {};
  if (absent(info, index)) return out;
  View<uint8_t> given = bytes(info, index, name);
  if (given.length > sizeof out.storage) throw Napi::RangeError::New(info.Env(), std::string(name) + ": too long");
  std::memcpy(&out.storage, given.data, given.length);
  out.length = static_cast<socklen_t>(given.length);
  return out;
}

void text(const Napi::CallbackInfo& info, size_t index, const char* name, char* out, size_t size) {
  Napi::Value value = info[index];
  if (!value.IsString()) wrong_type(info.Env(), name, "a string");
  std::string utf8 = value.As<Napi::String>().Utf8Value();
  if (utf8.size() >= size || utf8.find('\0') != std::string::npos) {
    throw Napi::RangeError::New(info.Env(), std::string(name) + ": expected fewer than " + std::to_string(size) +
                                                " bytes without NUL");
  }
  std::memcpy(out, utf8.c_str(), utf8.size() + 1);
}

Napi::Value number(Napi::Env env, double value) { return Napi::Number::New(env, value); }

Napi::Value answer(Napi::Env env, long result) {
  int error = errno;
  return number(env, result < 0 ? -static_cast<double>(error) : static_cast<double>(result));
}

}  // namespace cbpf
