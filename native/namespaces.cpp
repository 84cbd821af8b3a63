// Network namespaces; see namespaces.h.
//
// A namespace belongs to a thread, and a socket stays for life in the one it was made in.  So a short-lived thread
// enters the namespace, makes the descriptor there and ends: the JavaScript thread is never in a foreign namespace,
// not even when something fails.
#include "namespaces.h"

#include <fcntl.h>
#include <sched.h>

#include <cerrno>
#include <thread>

#include "addon.h"
#include "arguments.h"

namespace cbpf {

static int in_thread(const std::function<int()>& call) {
  int result = -1;
  int error = EAGAIN;
  try {
    std::thread([&] {
      result = call();
      error = errno;
    }).join();
  } catch (const std::system_error&) {  // no thread to be had: EAGAIN, as pthread_create() says
  }
  errno = error;
  return result;
}

int in_namespace(int netns, const std::function<int()>& call) {
  if (netns < 0) return call();
  return in_thread([&] { return setns(netns, CLONE_NEWNET) == 0 ? call() : -1; });
}

// newNamespace(): a descriptor of a fresh, empty network namespace.  It lives as long as the descriptor and what was
// made in it.  Needs CAP_SYS_ADMIN.
static Napi::Value new_namespace(const Napi::CallbackInfo& info) {
  int netns = in_thread([] {
    return unshare(CLONE_NEWNET) == 0 ? open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC) : -1;
  });
  return answer(info.Env(), state(info.Env()).fds.take(netns));
}

void add_namespaces(Napi::Env env, Napi::Object exports) {
  exports["newNamespace"] = Napi::Function::New(env, new_namespace, "newNamespace");
}

}  // namespace cbpf
