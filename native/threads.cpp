#include "threads.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <latch>
#include <mutex>
#include <thread>
#include <vector>

namespace crossrank {

void share_work(int items, int threads, const std::function<void(const Take&)>& worker,
                const std::function<void()>& poll) {
    std::atomic<int> next{0};
    std::exception_ptr first_error;
    std::mutex error_mutex;

    const auto guarded = [&](const Take& take) noexcept {
        try {
            worker(take);
        } catch (...) {
            const std::lock_guard lock(error_mutex);
            if (!first_error) first_error = std::current_exception();
            next = items;
        }
    };
    const Take take = [&]() -> std::optional<int> {
        int item = next.load();
        while (item < items && !next.compare_exchange_weak(item, item + 1)) {
        }
        return item < items ? std::optional(item) : std::nullopt;
    };

    std::vector<std::thread> crew;
    try {
        for (int i = 1; i < std::min(threads, items); ++i)
            crew.emplace_back([&] { guarded(take); });
    } catch (const std::exception&) {
        // No more threads to be had: those that started do the work.
    }
    guarded([&] {
        poll();
        return take();
    });
    for (std::thread& member : crew) member.join();
    if (first_error) std::rethrow_exception(first_error);
}

void work_together(int items, int members, const std::function<void(int, Team)>& worker,
                   const std::function<void()>& poll) {
    std::optional<std::barrier<>> barrier;  // once it is known how many threads could be had
    std::latch counted(1);
    std::exception_ptr error;
    const auto member = [&](int number) noexcept {
        counted.wait();
        const Team team(number, members, &*barrier);
        for (int item = 0; item < items; ++item) {
            if (team.first()) {
                try {
                    poll();
                } catch (...) {
                    error = std::current_exception();
                }
            }
            team.meet();
            if (error) return;
            worker(item, team);
            team.meet();
        }
    };
    std::vector<std::thread> crew;
    try {
        for (int i = 1; i < members; ++i) crew.emplace_back(member, i);
    } catch (const std::exception&) {
        // No more threads to be had: those that started do the work.
    }
    members = 1 + int(crew.size());
    barrier.emplace(members);
    counted.count_down();
    member(0);
    for (std::thread& one : crew) one.join();
    if (error) std::rethrow_exception(error);
}

}  // namespace crossrank
