// Work shared among threads that live for one call: nothing survives that a fork could break.
#pragma once

#include <algorithm>
#include <barrier>
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

// Threads that work on one item at a time, each on its part of it.
class Team {
public:
    Team(int member, int members, std::barrier<>* barrier)
        : member_(member), members_(members), barrier_(barrier) {}

    struct Part {
        int first, end;
    };

    // This member's part of `rows`: whole tiles, so that no two members write to the same one.
    Part part(int rows, int tile) const {
        const int tiles = (rows + tile - 1) / tile, each = (tiles + members_ - 1) / members_ * tile;
        return {std::min(member_ * each, rows), std::min((member_ + 1) * each, rows)};
    }
    bool mine(int item) const { return item % members_ == member_; }
    int member() const { return member_; }
    bool first() const { return member_ == 0; }

    // Waits for the others.
    void meet() const {
        if (barrier_) barrier_->arrive_and_wait();
    }

private:
    int member_, members_;
    std::barrier<>* barrier_;  // null: there are no others
};

// Calls worker(item, team) for one item after the other, in up to `members` threads at once, the
// calling one among them, which calls poll() before each item; what that throws ends the work and
// is rethrown. worker itself must not throw.
void work_together(int items, int members, const std::function<void(int, Team)>& worker,
                   const std::function<void()>& poll);

}  // namespace crossrank
