// Sockets of other processes, for looking at their filters.
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "addon.h"
#include "arguments.h"

namespace cbpf {

// duplicateFd(pid, fd): a descriptor here of the same socket as `fd` of process `pid`; ENOTSOCK for another file, which
// nobody here has a use for.  Needs the right to ptrace that process; Linux 5.6.
static Napi::Value duplicate_fd(const Napi::CallbackInfo& info) {
  constexpr long kPidfdOpen = 434;  // the same numbers on every architecture; older C headers lack the names
  constexpr long kPidfdGetfd = 438;
  int pid = static_cast<int>(integer(info, 0, "pid", 1, INT32_MAX));
  int wanted = fd(info, 1, "fd");
  long process = syscall(kPidfdOpen, pid, 0);
  if (process < 0) return answer(info.Env(), -1);
  long made = syscall(kPidfdGetfd, process, wanted, 0);
  int error = errno;
  close(static_cast<int>(process));
  struct stat about;
  if (made >= 0 && (fstat(static_cast<int>(made), &about) != 0 || !S_ISSOCK(about.st_mode))) {
    close(static_cast<int>(made));
    made = -1;
    error = ENOTSOCK;
  }
  errno = error;
  return answer(info.Env(), state(info.Env()).fds.take(static_cast<int>(made)));
}

void add_foreign(Napi::Env env, Napi::Object exports) {
  exports["duplicateFd"] = Napi::Function::New(env, duplicate_fd, "duplicateFd");
}

}  // namespace cbpf
