// A layer's values, derivatives and gradients, and the functions that Python calls.
#pragma once

#include "column.h"
#include "rows.h"
#include "threads.h"

namespace kanlit {

constexpr std::int64_t kShared = 4 << 20;   // bytes of tables that are built once for all points
constexpr std::int64_t kLocal = 256 << 10;  // bytes of sums that fit into the L2 cache
constexpr std::int64_t kChunk = 4096;       // points per partial sum of gradients
constexpr std::int64_t kChunks = 8;
constexpr std::int64_t kMoved = 8;          // work per number of a transposition

inline std::int64_t least(std::int64_t a, std::int64_t b) { return a < b ? a : b; }
inline std::int64_t most(std::int64_t a, std::int64_t b) { return a > b ? a : b; }
inline std::int64_t parts(std::int64_t whole, std::int64_t part) {
    return (whole + part - 1) / part;
}

// Estimated work of a forward or backward call, in numbers processed.
template <class T>
std::int64_t work_of(const Problem<T>& q) {
    const std::int64_t each = (q.order + 1) * q.outputs * (1 + q.terms) + 16;
    return q.points * q.features * each;
}

template <class T>
T sum_of_points(const T* values, std::int64_t points) {
    T total = 0;
    for (std::int64_t at = 0; at < points; at += kBlock) {
        const std::int64_t end = least(at + kBlock, points);
        T sum = 0;
#pragma omp simd reduction(+ : sum)
        for (std::int64_t i = at; i < end; ++i) sum += values[i];
        total += sum;
    }
    return total;
}

// Layout defines the memory layout of the tables and the direction of vectorization.
template <class Layout, class T = typename Layout::Scalar>
void forward(const Problem<T>& q) {
    const std::int64_t size = Layout::table_size(q);
    const bool shared = q.features * size * std::int64_t(sizeof(T)) <= kShared;
    Array<T> tables(shared ? q.features * size : 0);
    if (shared) {
        const std::int64_t work = q.features * size * (q.order + 1);
        parallel(q.features, threads_for(work, q.threads), [&](std::int64_t p) {
            Array<T> scratch(Layout::scratch_size(q));
            Layout::build(q, p, tables.get() + p * size, scratch.get());
        });
    }
    const std::int64_t point_bytes = most(1, Layout::sums_size(q, 1) * std::int64_t(sizeof(T)));
    const std::int64_t span = shared ? 2 * kBlock : most(2, kLocal / point_bytes / kBlock) * kBlock;
    const Search<T> search(q);
    const int derivatives = static_cast<int>(q.highest);
    const std::int64_t threads = threads_for(work_of(q), q.threads);
    parallel(parts(q.points, span), threads, [&](std::int64_t task) {
        const std::int64_t begin = task * span, end = least(begin + span, q.points);
        Array<T> table(shared ? 0 : size), scratch(Layout::scratch_size(q));
        Array<T> sums(Layout::sums_size(q, span)), memory(Streams<T>::size(q));
        Streams<T> streams(q, memory.get());
        Block<T, Layout::coefficients> block;
        Layout::start(q, begin, end - begin, sums.get());
        for (std::int64_t p = 0; p < q.features; ++p) {
            const T* own = shared ? tables.get() + p * size : table.get();
            if (!shared) Layout::build(q, p, table.get(), scratch.get());
            for (std::int64_t at = begin; at < end; at += kBlock) {
                const int count = static_cast<int>(least(kBlock, end - at));
                prepare(q, p, at, count, &search, derivatives > 0, derivatives, block);
                streams.load(q, p, at, count);
                T* to = sums.get() + Layout::sums_size(q, at - begin);
                Layout::forward(q, block, streams, own, at, to, scratch.get());
            }
        }
        Layout::finish(q, begin, end - begin, sums.get());
    });
}

template <class Layout, class T = typename Layout::Scalar>
void backward(const Problem<T>& q) {
    const std::int64_t size = Layout::table_size(q);
    // The gradients of different features are independent. With few features, points are split into
    // chunks to use more threads. The chunks depend only on the number of points, so that the sums
    // are the same for any number of threads.
    const std::int64_t chunks =
        q.features >= kChunks
            ? 1
            : most(1, least(parts(q.points, kChunk), parts(kChunks, q.features)));
    const std::int64_t chunk = parts(parts(q.points, chunks), kBlock) * kBlock;
    const bool inputs = q.x_grad != nullptr;
    const int derivatives = static_cast<int>(q.highest) + (inputs ? 1 : 0);
    Array<T> upstream(Layout::upstream_size(q));
    const std::int64_t blocks = parts(q.points, kBlock);
    const std::int64_t turned = q.points * q.outputs * (1 + q.streams);
    parallel(blocks + q.outputs, threads_for(kMoved * turned, q.threads), [&](std::int64_t task) {
        if (task < blocks) {
            const std::int64_t begin = task * kBlock;
            Layout::turn(q, begin, least(kBlock, q.points - begin), upstream.get());
        } else {
            const std::int64_t o = task - blocks;
            q.bias_grad[o] = sum_of_points(q.y_grad + o * q.points, q.points);
        }
    });
    Array<T> partial(chunks > 1 ? chunks * q.features * size : 0);
    const std::int64_t threads = threads_for(work_of(q), q.threads);
    parallel(chunks * q.features, threads, [&](std::int64_t task) {
        const std::int64_t p = task % q.features, begin = task / q.features * chunk;
        const std::int64_t end = least(begin + chunk, q.points);
        Array<T> table(inputs ? size : 0), own(chunks > 1 ? 0 : size);
        Array<T> scratch(Layout::scratch_size(q)), memory(Streams<T>::size(q));
        Streams<T> streams(q, memory.get());
        Block<T, Layout::coefficients> block;
        T* grad = chunks > 1 ? partial.get() + task * size : own.get();
        for (std::int64_t i = 0; i < size; ++i) grad[i] = 0;
        if (inputs) Layout::build(q, p, table.get(), scratch.get());
        for (std::int64_t at = begin; at < end; at += kBlock) {
            const int count = static_cast<int>(least(kBlock, end - at));
            prepare<T>(q, p, at, count, nullptr, true, derivatives, block);
            streams.load(q, p, at, count);
            Layout::backward(q, block, streams, table.get(), grad, p, at, upstream.get(),
                             scratch.get());
            if (q.stream_grad != nullptr) streams.unload(q, p, at, count);
        }
        if (chunks == 1) Layout::fold(q, p, grad, scratch.get());
    });
    if (chunks > 1) {
        const std::int64_t summed = chunks * q.features * size;
        parallel(q.features, threads_for(summed, q.threads), [&](std::int64_t p) {
            Array<T> scratch(Layout::scratch_size(q));
            T* sum = partial.get() + p * size;
            for (std::int64_t c = 1; c < chunks; ++c) {
                const T* more = partial.get() + (c * q.features + p) * size;
                for (std::int64_t i = 0; i < size; ++i) sum[i] += more[i];
            }
            Layout::fold(q, p, sum, scratch.get());
        });
    }
}

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

template <bool values, class Layout, class T = typename Layout::Scalar>
void run_in(const Problem<T>& q) {
    if constexpr (values) {
        forward<Layout>(q);
    } else {
        backward<Layout>(q);
    }
}

template <bool values, class T, int K>
void run_with(const Problem<T>& q) {
    constexpr int widest = kVectorBytes / int(sizeof(T));
    if (q.outputs == 1) {
        run_in<values, Column<T, K>>(q);
    } else if (widest <= 4 || q.outputs <= 4) {
        run_in<values, Rows<T, K, (widest < 4 ? widest : 4)>>(q);
    } else if (widest == 8 || q.outputs <= 8) {
        run_in<values, Rows<T, K, (widest < 8 ? widest : 8)>>(q);
    } else {
        run_in<values, Rows<T, K, widest>>(q);
    }
}

template <bool values, class T>
int run(const Problem<T>* q) {
    if (q->lowest[q->pieces - 1] + q->order + 1 != q->bases) return 2;  // unsupported knots
    try {
        q->order <= 3 ? run_with<values, T, 4>(*q) : run_with<values, T, 6>(*q);
        return 0;
    } catch (...) {
        return 1;  // out of memory
    }
}

}  // namespace kanlit

#if defined(_WIN32)
#define KANLIT_PUBLIC extern "C" __declspec(dllexport)
#else
#define KANLIT_PUBLIC extern "C" __attribute__((visibility("default")))
#endif

KANLIT_PUBLIC std::int64_t kanlit_abi() { return kAbi; }
KANLIT_PUBLIC std::int64_t kanlit_problem_size() { return sizeof(Problem<float>); }
KANLIT_PUBLIC int kanlit_forward_float32(const Problem<float>* q) {
    return kanlit::run<true>(q);
}
KANLIT_PUBLIC int kanlit_forward_float64(const Problem<double>* q) {
    return kanlit::run<true>(q);
}
KANLIT_PUBLIC int kanlit_backward_float32(const Problem<float>* q) {
    return kanlit::run<false>(q);
}
KANLIT_PUBLIC int kanlit_backward_float64(const Problem<double>* q) {
    return kanlit::run<false>(q);
}
