// Ownership of descriptors; see owned_fds.h.
#include "owned_fds.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace cbpf {

// The (device, inode) of a socket is its sockfs inode, unique among the sockets of the machine.
OwnedFds::~OwnedFds() {
  while (!identities_.empty()) {
    int fd = identities_.begin()->first;
    if (!close(fd)) identities_.erase(fd);
  }
}

int OwnedFds::take(int fd) {
  if (fd < 0) return fd;
  struct stat status;
  if (fstat(fd, &status) != 0) {
    int error = errno;
    ::close(fd);
    errno = error;
    return -1;
  }
  identities_[fd] = {status.st_dev, status.st_ino};
  return fd;
}

bool OwnedFds::has(int fd) {
  auto found = identities_.find(fd);
  if (found == identities_.end()) return false;
  struct stat status;
  if (fstat(fd, &status) == 0 && status.st_dev == found->second.device && status.st_ino == found->second.inode) {
    return true;
  }
  identities_.erase(found);
  return false;
}

bool OwnedFds::release(int fd) { return has(fd) && identities_.erase(fd) == 1; }

bool OwnedFds::close(int fd) {
  if (!release(fd)) return false;
  ::close(fd);
  return true;
}

}  // namespace cbpf
