// Work shared among threads that live for one call: nothing survives that a fork could break.
#pragma once

#include <functional>
#include <optional>

namespace crossrank {

// Hands out the next item, or nothing when there is none left or the work was called off.
using Take = std::function<std::optional<int>()>;

// Calls worker(take) on up to `threads` threads, the calling one among them, which also calls
// poll() before each item it takes. The first exception, of a worker or of poll, stops the
// handing out and is rethrown once all have come back.
void share_work(int items, int threads, const std::function<void(const Take&)>& worker,
                const std::function<void()>& poll);

}  // namespace crossrank
