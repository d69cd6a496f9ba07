// A batch that goes through an encoder in a thread of its own, after another one.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>

#include "encoder.h"

namespace crossrank {

std::int64_t current_process();

// Begun when it is made; it begins to compute when `after` is over, so that each has the cores to
// itself. What it is given must outlive it. Made and destroyed by whoever uses it, one at a time.
class Pass {
public:
    Pass(const Encoder& encoder, const Batch& batch, int threads, float* logits, const Pass* after);
    Pass(const Pass&) = delete;
    Pass& operator=(const Pass&) = delete;

    // Ends it early, if it is not over: nobody wants the logits any more. In a child of fork, where
    // its thread does not exist, it leaves everything as it lies.
    ~Pass();

    // Whether the logits are there, waited for so long at most. Throws what the encoder threw.
    bool wait_for(std::chrono::milliseconds time);

private:
    struct State {
        std::mutex mutex;
        std::condition_variable changed;
        bool over = false;
        std::exception_ptr error;
        std::atomic<bool> unwanted{false};
    };

    std::shared_ptr<State> state_ = std::make_shared<State>();
    std::int64_t process_ = current_process();
    std::thread thread_;
};

}  // namespace crossrank
