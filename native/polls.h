// Watching descriptors from the event loop: "something can be read" calls a JavaScript function.
//
// A watch belongs to its descriptor and is known by its number; JavaScript holds no pointer.
#pragma once

#include <napi.h>

#include <unordered_map>

namespace cbpf {

class Poll;

class Polls {
 public:
  Polls() = default;
  Polls(const Polls&) = delete;
  Polls& operator=(const Polls&) = delete;
  ~Polls();

  // 0, or a negative errno: EEXIST when the descriptor is watched already.
  int open(Napi::Env env, int fd, Napi::Function callback);
  // The watch of a descriptor, or null.
  Poll* on(int fd);
  // Ends the watch of a descriptor, if there is one; its callback is not called again.
  void close_on(int fd);
  // Forgets a watch that the end of the environment closes.
  void forget(int fd) { polls_.erase(fd); }

 private:
  std::unordered_map<int, Poll*> polls_;
};

}  // namespace cbpf
