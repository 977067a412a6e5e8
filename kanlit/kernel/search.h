// Finds the piece of each point: the number of edges (piece boundaries) not above it.
#pragma once

#include "array.h"
#include "problem.h"

namespace kanlit {

constexpr int kBlock = 128;  // points per block; all arrays of a block fit into the L1 cache

template <class T>
using Row = T[kBlock];

// Like torch.searchsorted(right=True); NaN is beyond all edges. With few edges, all are compared.
// With many, a table of equal buckets over the grid gives the number of edges before each bucket
// and only edges inside the bucket are compared. If one bucket contains many edges, bisection.
template <class T>
class Search {
   public:
    explicit Search(const Problem<T>& q)
        : edges_(q.edges),
          count_(static_cast<std::int32_t>(q.pieces - 1)),
          buckets_(count_ > kFew && q.points >= 8 * count_ ? 4 * count_ : 0),
          padded_(buckets_ > 0 ? q.features * 2 * count_ : 0),
          before_(buckets_ > 0 ? q.features * (buckets_ + 1) : 0),
          crowd_(buckets_ > 0 ? q.features : 0) {
        for (std::int64_t p = 0; buckets_ > 0 && p < q.features; ++p) count_edges(p);
    }

    void find(std::int64_t p, const T* x, int n, std::int32_t* piece) const {
        const T* edges = edges_ + p * count_;
        if (count_ <= kFew) {
            for (int i = 0; i < n; ++i) piece[i] = 0;
            for (std::int32_t j = 0; j < count_; ++j) {
                const T edge = edges[j];
                for (int i = 0; i < n; ++i) piece[i] += !(edge > x[i]);
            }
        } else if (buckets_ > 0 && crowd_.get()[p] <= kFew / 4) {
            look_up(p, x, n, piece);
        } else {
            halve(edges, x, n, piece);
        }
    }

   private:
    static constexpr std::int32_t kFew = 16;

    // Nondecreasing in x, so an edge in a lower bucket is below x.
    [[gnu::always_inline]] static std::int32_t bucket_of(T x, T low, T scale, T last) {
        T place = (x - low) * scale;
        place = place > T(0) ? place : T(0);
        place = place < last ? place : last;
        return static_cast<std::int32_t>(place);
    }

    T scale_of(const T* edges) const { return T(buckets_) / (edges[count_ - 1] - edges[0]); }

    void count_edges(std::int64_t p) {
        const T* edges = edges_ + p * count_;
        T* padded = padded_.get() + p * 2 * count_;
        std::int32_t* before = before_.get() + p * (buckets_ + 1);
        const T scale = scale_of(edges), last = T(buckets_ - 1);
        std::int32_t bucket = 0, crowd = 0;
        before[0] = 0;
        for (std::int32_t j = 0; j < count_; ++j) {
            padded[j] = edges[j];
            padded[count_ + j] = std::numeric_limits<T>::infinity();
            const std::int32_t own = bucket_of(edges[j], edges[0], scale, last);
            while (bucket < own) before[++bucket] = j;
        }
        while (bucket < buckets_) before[++bucket] = count_;
        for (std::int32_t b = 0; b < buckets_; ++b) {
            const std::int32_t inside = before[b + 1] - before[b];
            crowd = inside > crowd ? inside : crowd;
        }
        crowd_.get()[p] = crowd;
    }

    void look_up(std::int64_t p, const T* x, int n, std::int32_t* piece) const {
        const T* edges = padded_.get() + p * 2 * count_;
        const std::int32_t* before = before_.get() + p * (buckets_ + 1);
        const T low = edges[0], scale = scale_of(edges), last = T(buckets_ - 1);
        for (int i = 0; i < n; ++i) piece[i] = before[bucket_of(x[i], low, scale, last)];
        for (std::int32_t step = crowd_.get()[p]; step > 0; --step) {
            for (int i = 0; i < n; ++i) piece[i] += !(edges[piece[i]] > x[i]);
        }
        // For infinite x the padding is counted, too, and NaN belongs to no bucket.
        for (int i = 0; i < n; ++i) {
            piece[i] = piece[i] > count_ || x[i] != x[i] ? count_ : piece[i];
        }
    }

    void halve(const T* edges, const T* x, int n, std::int32_t* piece) const {
        for (int i = 0; i < n; ++i) piece[i] = 0;
        std::int32_t length = count_;
        while (length > 1) {
            const std::int32_t half = length / 2;
            for (int i = 0; i < n; ++i) {
                piece[i] += !(edges[piece[i] + half - 1] > x[i]) ? half : 0;
            }
            length -= half;
        }
        for (int i = 0; i < n; ++i) piece[i] += !(edges[piece[i]] > x[i]);
    }

    const T* edges_;
    std::int32_t count_, buckets_;
    Array<T> padded_;             // (in, 2 (P-1)), the edges followed by infinity
    Array<std::int32_t> before_;  // (in, buckets + 1), number of edges before each bucket
    Array<std::int32_t> crowd_;   // (in,), largest number of edges in a bucket
};

}  // namespace kanlit
