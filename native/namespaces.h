// Running a call inside another network namespace without moving the JavaScript thread.
#pragma once

#include <functional>

namespace cbpf {

// The result of `call`, run in the network namespace of descriptor `netns`, or here and now when netns is negative.
// errno is the call's, or setns()'s when that fails (the result is then -1).
int in_namespace(int netns, const std::function<int()>& call);

}  // namespace cbpf
