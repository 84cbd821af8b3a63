// Watches of descriptors; see polls.h.
//
// A uv_poll_t must outlive its uv_close(), which ends on a later turn of the loop, and an environment may end (a worker
// be terminated) at any moment.  So each watch has an asynchronous cleanup hook, which holds the environment until the
// handle is closed, and deletes itself in the close callback.
#include "polls.h"

#include <uv.h>

#include <cerrno>

#include "addon.h"
#include "arguments.h"

namespace cbpf {

class Poll {
 public:
  // Null when libuv or Node refuse; `error` is then a negative errno.
  static Poll* open(Napi::Env env, Polls* owner, int fd, Napi::Function callback, int* error) {
    uv_loop_t* loop = nullptr;
    if (napi_get_uv_event_loop(env, &loop) != napi_ok) return *error = -EINVAL, nullptr;
    Poll* poll = new Poll(env, owner, fd, callback);
    if (poll->callback_ == nullptr || poll->context_ == nullptr) return *error = -ENOMEM, delete poll, nullptr;
    *error = uv_poll_init(loop, &poll->handle_, fd);
    if (*error != 0) return delete poll, nullptr;  // never became a handle of the loop
    poll->handle_.data = poll;
    napi_add_async_cleanup_hook(env, environment_ends, poll, &poll->hook_);
    *error = uv_poll_start(&poll->handle_, UV_READABLE, readable);
    if (*error != 0) return poll->close(), nullptr;
    return poll;
  }

  void ref(bool keeps_alive) {
    auto* handle = reinterpret_cast<uv_handle_t*>(&handle_);
    keeps_alive ? uv_ref(handle) : uv_unref(handle);
  }

  // 0 or a negative errno.  A paused watch does not keep the event loop alive.
  int active(bool watching) {
    return watching ? uv_poll_start(&handle_, UV_READABLE, readable) : uv_poll_stop(&handle_);
  }

  void close() {
    owner_ = nullptr;
    auto* handle = reinterpret_cast<uv_handle_t*>(&handle_);
    if (uv_is_closing(handle)) return;
    uv_close(handle, [](uv_handle_t* closed) {
      Poll* poll = static_cast<Poll*>(closed->data);
      if (poll->hook_ != nullptr) napi_remove_async_cleanup_hook(poll->hook_);
      delete poll;
    });
  }

 private:
  Poll(Napi::Env env, Polls* owner, int fd, Napi::Function callback) : env_(env), owner_(owner), fd_(fd) {
    napi_create_reference(env, callback, 1, &callback_);
    napi_async_init(env, nullptr, Napi::String::New(env, "cbpf.poll"), &context_);
  }

  ~Poll() {
    napi_delete_reference(env_, callback_);
    napi_async_destroy(env_, context_);
  }

  // Through napi_make_callback, so that microtasks run after it and AsyncLocalStorage holds; what it throws is an
  // uncaught exception, as from any event.  Plain Node-API, because nothing may throw through libuv: in a thread that
  // is being terminated every one of these calls can fail.
  static void readable(uv_poll_t* handle, int status, int) {
    Poll* poll = static_cast<Poll*>(handle->data);
    napi_env env = poll->env_;
    napi_handle_scope scope;
    if (napi_open_handle_scope(env, &scope) != napi_ok) return;
    poll->call(status);
    napi_close_handle_scope(env, scope);
  }

  void call(int status) {
    napi_value receiver, callback, argument, thrown;
    if (napi_get_global(env_, &receiver) != napi_ok) return;
    if (napi_get_reference_value(env_, callback_, &callback) != napi_ok) return;
    if (napi_create_int32(env_, status, &argument) != napi_ok) return;
    napi_env env = env_;  // the callback may close this watch
    if (napi_make_callback(env, context_, receiver, callback, 1, &argument, nullptr) != napi_pending_exception) return;
    if (napi_get_and_clear_last_exception(env, &thrown) == napi_ok) napi_fatal_exception(env, thrown);
  }

  static void environment_ends(napi_async_cleanup_hook_handle, void* data) {
    Poll* poll = static_cast<Poll*>(data);
    if (poll->owner_ != nullptr) poll->owner_->forget(poll->fd_);
    poll->close();
  }

  napi_env env_;
  Polls* owner_;  // null once closed
  int fd_;
  napi_ref callback_ = nullptr;
  napi_async_context context_ = nullptr;
  uv_poll_t handle_;
  napi_async_cleanup_hook_handle hook_ = nullptr;
};

Polls::~Polls() {
  for (auto& entry : polls_) entry.second->close();
}

int Polls::open(Napi::Env env, int fd, Napi::Function callback) {
  if (on(fd) != nullptr) return -EEXIST;
  int error = 0;
  Poll* poll = Poll::open(env, this, fd, callback, &error);
  if (poll != nullptr) polls_[fd] = poll;
  return error;
}

Poll* Polls::on(int fd) {
  auto found = polls_.find(fd);
  return found == polls_.end() ? nullptr : found->second;
}

void Polls::close_on(int fd) {
  Poll* poll = on(fd);
  if (poll == nullptr) return;
  polls_.erase(fd);
  poll->close();
}

// pollOpen(fd, callback)
static Napi::Value poll_open(const Napi::CallbackInfo& info) {
  int watched = owned_fd(info, 0, "fd");
  if (!info[1].IsFunction()) throw Napi::TypeError::New(info.Env(), "callback: expected a function");
  return number(info.Env(), state(info.Env()).polls.open(info.Env(), watched, info[1].As<Napi::Function>()));
}

static bool boolean(const Napi::CallbackInfo& info, size_t index, const char* name) {
  if (!info[index].IsBoolean()) throw Napi::TypeError::New(info.Env(), std::string(name) + ": expected a boolean");
  return info[index].As<Napi::Boolean>();
}

// pollRef(fd, keepsAlive)
static Napi::Value poll_ref(const Napi::CallbackInfo& info) {
  Poll* poll = state(info.Env()).polls.on(owned_fd(info, 0, "fd"));
  bool keeps_alive = boolean(info, 1, "keepsAlive");
  if (poll == nullptr) return number(info.Env(), -ENOENT);
  poll->ref(keeps_alive);
  return number(info.Env(), 0);
}

// pollActive(fd, watching)
static Napi::Value poll_active(const Napi::CallbackInfo& info) {
  Poll* poll = state(info.Env()).polls.on(owned_fd(info, 0, "fd"));
  bool watching = boolean(info, 1, "watching");
  return number(info.Env(), poll == nullptr ? -ENOENT : poll->active(watching));
}

// pollClose(fd)
static Napi::Value poll_close(const Napi::CallbackInfo& info) {
  int watched = owned_fd(info, 0, "fd");
  bool there = state(info.Env()).polls.on(watched) != nullptr;
  state(info.Env()).polls.close_on(watched);
  return number(info.Env(), there ? 0 : -ENOENT);
}

void add_polls(Napi::Env env, Napi::Object exports) {
  exports["pollOpen"] = Napi::Function::New(env, poll_open, "pollOpen");
  exports["pollRef"] = Napi::Function::New(env, poll_ref, "pollRef");
  exports["pollActive"] = Napi::Function::New(env, poll_active, "pollActive");
  exports["pollClose"] = Napi::Function::New(env, poll_close, "pollClose");
}

}  // namespace cbpf
