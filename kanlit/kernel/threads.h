// Runs tasks on several threads.
//
// OpenMP is not used, because a parallel region waits for all of its threads, even for those that the
// system has not scheduled yet. On a busy machine this takes many times as long as the work itself.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

#if !defined(_WIN32)
#include <pthread.h>
#endif

namespace kanlit {

// Work, in numbers processed, above which the cost of waking a thread is negligible.
constexpr std::int64_t kThreadWork = 1 << 20;

inline std::int64_t threads_for(std::int64_t numbers, std::int64_t threads) {
    return numbers < kThreadWork ? 1 : threads;
}

// Numbered tasks. Each task is run once, by the thread that takes its number.
class Job {
   public:
    explicit Job(std::int64_t count) : count_(count) {}

    void work() noexcept {
        try {
            for (std::int64_t i; (i = next_++) < count_;) task(i);
        } catch (...) {
            failed_ = true;
        }
    }
    bool failed() const { return failed_; }

    // Used by the pool, under its lock.
    std::int64_t places = 0;               // workers that may still join
    std::atomic<std::int64_t> joined{0};  // workers that are running tasks

   protected:
    ~Job() = default;
    virtual void task(std::int64_t i) = 0;

   private:
    const std::int64_t count_;
    std::atomic<std::int64_t> next_{0};
    std::atomic<bool> failed_{false};
};

// Waking a thread takes about as long as this.
constexpr std::chrono::microseconds kPatience(50);

// Whether a condition comes true soon, which saves the cost of sleeping and waking. Meanwhile, other
// threads may use the core.
template <class Condition>
bool soon(const Condition& condition) {
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > end) return false;
        std::this_thread::yield();
    }
    return true;
}

// Threads that sleep until there is a job. The calling thread works, too: it runs all tasks that no
// worker has started, and waits only for those that a worker is running.
class Pool {
   public:
    // The pool of this process. It is never deleted: its threads sleep until the process ends.
    static Pool& get() {
        static std::atomic<Pool*> pool{nullptr};
#if !defined(_WIN32)
        // A forked process has none of the threads of its parent.
        static const int registered = pthread_atfork(nullptr, nullptr, [] { pool = nullptr; });
        static_cast<void>(registered);
#endif
        Pool* found = pool;
        if (found == nullptr) {
            Pool* own = new Pool;
            if (pool.compare_exchange_strong(found, own)) {
                found = own;
            } else {
                delete own;
            }
        }
        return *found;
    }

    // Runs all tasks of a job on this thread and at most the given number of workers.
    void run(Job& job, std::int64_t workers) {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            start(workers);
            jobs_.push_back(&job);
            job.places = workers;
        }
        for (std::int64_t i = 0; i < workers; ++i) wake_.notify_one();
        job.work();
        std::unique_lock<std::mutex> lock(mutex_);
        remove(job);
        lock.unlock();
        const auto done = [&] { return job.joined == 0; };
        if (soon(done)) return;
        lock.lock();
        done_.wait(lock, done);
    }

   private:
    void start(std::int64_t workers) {
        try {
            for (; started_ < workers; ++started_) std::thread([this] { serve(); }).detach();
        } catch (...) {
            // No more threads are available: the existing ones do the work.
        }
    }

    void remove(const Job& job) {
        jobs_.erase(std::remove(jobs_.begin(), jobs_.end(), &job), jobs_.end());
    }

    void serve() {
        std::unique_lock<std::mutex> lock(mutex_);
        for (;;) {
            wake_.wait(lock, [&] { return !jobs_.empty(); });
            Job& job = *jobs_.front();
            ++job.joined;
            if (--job.places == 0) remove(job);
            lock.unlock();
            job.work();
            lock.lock();
            // All tasks of the job are taken, so no other worker needs to join.
            remove(job);
            if (--job.joined == 0) done_.notify_all();
        }
    }

    std::mutex mutex_;
    std::condition_variable wake_, done_;
    std::vector<Job*> jobs_;
    std::int64_t started_ = 0;
};

// Runs task(0) … task(count - 1), each once, on at most the given number of threads. The result of a
// task must not depend on the thread that runs it, nor on the order.
template <class Task>
void parallel(std::int64_t count, std::int64_t threads, const Task& task) {
    struct Tasks final : Job {
        Tasks(std::int64_t count, const Task& task) : Job(count), run(task) {}
        // Compiled once: a second, inlined copy could add in another order.
        [[gnu::noinline]] void task(std::int64_t i) override { run(i); }
        const Task& run;
    } tasks(count, task);
    if (threads <= 1 || count <= 1) {
        for (std::int64_t i = 0; i < count; ++i) tasks.task(i);
        return;
    }
    Pool::get().run(tasks, std::min(threads, count) - 1);
    if (tasks.failed()) throw std::bad_alloc();
}

}  // namespace kanlit
