// The descriptors that this environment opened through the addon, and that nobody else will close.
//
// A number alone says little: somebody may have closed the descriptor and the kernel given the number away again.  So
// each is kept with the identity of the open file, and one that no longer fits is forgotten, never closed.
#pragma once

#include <sys/types.h>

#include <unordered_map>

namespace cbpf {

class OwnedFds {
 public:
  OwnedFds() = default;
  OwnedFds(const OwnedFds&) = delete;
  OwnedFds& operator=(const OwnedFds&) = delete;
  ~OwnedFds();

  // Takes a descriptor fresh from the kernel; a negative number is passed through with errno kept.
  int take(int fd);
  // True for a descriptor taken, neither closed nor released, that is still the same open file.
  bool has(int fd);
  // Closes an owned descriptor; false when it is not owned.
  bool close(int fd);
  // Gives an owned descriptor away without closing it; false when it is not owned.
  bool release(int fd);

 private:
  struct Identity {
    dev_t device;
    ino_t inode;
  };
  std::unordered_map<int, Identity> identities_;
};

}  // namespace cbpf
