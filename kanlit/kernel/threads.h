// Runs tasks on several threads.
#pragma once

#include <atomic>
#include <cstdint>
#include <new>
#include <thread>
#include <vector>

#if !defined(_WIN32)
#include <dlfcn.h>
#endif

namespace kanlit {

// What `#pragma omp parallel` calls: (function, argument, threads, flags).
using Region = void (*)(void (*)(void*), void*, unsigned, unsigned);

// The one of the OpenMP library that torch has loaded, or null. Its threads wait for work, so that
// a region costs a few microseconds, and they would compete with threads of our own: for some
// milliseconds after an operation of torch they wait by spinning.
inline Region openmp() {
#if defined(_WIN32)
    return nullptr;
#else
    static const Region region = reinterpret_cast<Region>(dlsym(RTLD_DEFAULT, "GOMP_parallel"));
    return region;
#endif
}

// Numbers handled in the time that it takes to start and join a thread.
inline std::int64_t thread_work() { return openmp() != nullptr ? 1 << 18 : 1 << 21; }

template <class Task>
class Tasks {
   public:
    Tasks(std::int64_t count, const Task& task) : count_(count), task_(task) {}

    static void run(void* tasks) noexcept { static_cast<Tasks*>(tasks)->work(); }
    bool failed() const { return failed_; }

   private:
    void work() noexcept {
        try {
            for (std::int64_t i; (i = next_++) < count_;) task_(i);
        } catch (...) {
            failed_ = true;
        }
    }

    const std::int64_t count_;
    const Task& task_;
    std::atomic<std::int64_t> next_{0};
    std::atomic<bool> failed_{false};
};

// Runs task(0) … task(count - 1), each once, on up to so many threads. What a task computes
// must not depend on which thread runs it, nor when.
template <class Task>
void parallel(std::int64_t count, std::int64_t threads, const Task& task) {
    if (threads <= 1 || count <= 1) {
        for (std::int64_t i = 0; i < count; ++i) task(i);
        return;
    }
    Tasks<Task> tasks(count, task);
    if (const Region region = openmp()) {
        // As many as torch uses, even for fewer tasks: to change the number ends threads.
        region(Tasks<Task>::run, &tasks, static_cast<unsigned>(threads), 0);
    } else {
        std::vector<std::thread> helpers;
        try {
            for (std::int64_t i = 1; i < threads && i < count; ++i) {
                helpers.emplace_back(Tasks<Task>::run, &tasks);
            }
        } catch (...) {
            // No more threads to be had: those that run do the work.
        }
        Tasks<Task>::run(&tasks);
        for (auto& helper : helpers) helper.join();
    }
    if (tasks.failed()) throw std::bad_alloc();
}

}  // namespace kanlit
