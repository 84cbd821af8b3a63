// Closing a descriptor on the thread pool.  The close of a packet socket waits, in the kernel, until no packet is under
// way through any socket's old filter (packet_release() calls synchronize_net()): some milliseconds, too long for the
// JavaScript thread, and just what replacing a filter needs to know.
#include <node_api.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "addon.h"
#include "arguments.h"

namespace cbpf {

struct Closing {
  int fd;
  napi_ref callback = nullptr;
  napi_async_work work = nullptr;
};

static void execute(napi_env, void* data) {
  Closing* closing = static_cast<Closing*>(data);
  close(closing->fd);
  closing->fd = -1;
}

// Also comes, without a chance to call JavaScript, when the environment ends; Node waits for it.
static void complete(napi_env env, napi_status, void* data) {
  std::unique_ptr<Closing> closing(static_cast<Closing*>(data));
  if (closing->fd >= 0) close(closing->fd);  // cancelled before it ran
  napi_handle_scope scope;
  if (napi_open_handle_scope(env, &scope) == napi_ok) {
    napi_value callback = nullptr;
    napi_value receiver = nullptr;
    if (napi_get_reference_value(env, closing->callback, &callback) == napi_ok && callback != nullptr &&
        napi_get_undefined(env, &receiver) == napi_ok) {
      napi_call_function(env, receiver, callback, 0, nullptr, nullptr);  // what it throws is an uncaught exception
    }
    napi_close_handle_scope(env, scope);
  }
  napi_delete_reference(env, closing->callback);
  napi_delete_async_work(env, closing->work);
}

// closeOnThread(fd, callback): 0, and `callback()` once the descriptor is closed.
static Napi::Value close_on_thread(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int socket = owned_fd(info, 0, "fd");
  if (!info[1].IsFunction()) throw Napi::TypeError::New(env, "callback: expected a function");
  auto closing = std::make_unique<Closing>();
  napi_value name = Napi::String::New(env, "cbpf.close");
  if (napi_create_reference(env, info[1], 1, &closing->callback) != napi_ok) return number(env, -ENOMEM);
  if (napi_create_async_work(env, nullptr, name, execute, complete, closing.get(), &closing->work) != napi_ok) {
    napi_delete_reference(env, closing->callback);
    return number(env, -ENOMEM);
  }
  closing->fd = socket;
  if (napi_queue_async_work(env, closing->work) != napi_ok) {
    napi_delete_async_work(env, closing->work);
    napi_delete_reference(env, closing->callback);
    return number(env, -ENOMEM);
  }
  closing.release();  // complete() deletes it
  state(env).polls.close_on(socket);
  state(env).fds.release(socket);
  return number(env, 0);
}

void add_close_on_thread(Napi::Env env, Napi::Object exports) {
  exports["closeOnThread"] = Napi::Function::New(env, close_on_thread, "closeOnThread");
}

}  // namespace cbpf
