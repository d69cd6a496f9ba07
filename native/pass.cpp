#include "pass.h"

#ifndef _WIN32
#include <unistd.h>
#endif

#include <system_error>

namespace crossrank {

namespace {
struct Unwanted {};
}  // namespace

std::int64_t current_process() {
#ifdef _WIN32
    return 0;  // nothing is forked there
#else
    return getpid();
#endif
}

Pass::Pass(const Encoder& encoder, const Batch& batch, int threads, float* logits,
           const Pass* after) {
    const auto before = after && after->process_ == process_ ? after->state_ : nullptr;
    const auto work = [=, &encoder, state = state_] {
        if (before) {
            std::unique_lock lock(before->mutex);
            before->changed.wait(lock, [&] { return before->over; });
        }
        std::exception_ptr error;
        const auto poll = [&] {
            if (state->unwanted) throw Unwanted();
        };
        try {
            encoder.run(batch, threads, poll, logits);
        } catch (...) {
            error = std::current_exception();
        }
        const std::lock_guard lock(state->mutex);
        state->over = true;
        state->error = error;
        state->changed.notify_all();
    };
    try {
        thread_ = std::thread(work);
    } catch (const std::system_error&) {
        work();  // no more threads to be had
    }
}

Pass::~Pass() {
    if (process_ != current_process()) {
        new std::shared_ptr(state_);  // somebody may have been waiting in it
        new std::thread(std::move(thread_));  // neither to be joined nor to be detached
        return;
    }
    state_->unwanted = true;
    if (thread_.joinable()) thread_.join();
}

bool Pass::wait_for(std::chrono::milliseconds time) {
    std::unique_lock lock(state_->mutex);
    if (!state_->changed.wait_for(lock, time, [&] { return state_->over; })) return false;
    if (state_->error) std::rethrow_exception(state_->error);
    return true;
}

}  // namespace crossrank
