// Layers with one output: vectorized over points.
#pragma once

#include "block.h"

namespace kanlit {

// The table of a feature contains the K coefficients of each piece, followed by the base weight.
template <class T, int K>
struct Column {
    using Scalar = T;
    static constexpr int coefficients = K;
    static constexpr int stride = K <= 4 ? 4 : 8;  // a power of two, which compilers can interleave

    static std::int64_t table_size(const Problem<T>& q) { return (q.pieces + 1) * stride; }
    static std::int64_t scratch_size(const Problem<T>& q) {
        const std::int64_t block = (2 * stride + 4) * kBlock;
        return q.bases > block ? q.bases : block;
    }

    // -- coefficients to polynomials, and gradients back ----------------------------------------

    static void build(const Problem<T>& q, std::int64_t p, T* table, T*) {
        const std::int64_t terms = q.order + 1;
        const T* a = q.polynomials + p * q.pieces * terms * terms;
        const T* weight = q.weight + p * q.bases;
        for (std::int64_t piece = 0; piece < q.pieces; ++piece, a += terms * terms) {
            const T* c = weight + q.lowest[piece];
            for (std::int64_t m = 0; m < stride; ++m) {
                T sum = 0;
                for (std::int64_t r = 0; m < terms && r < terms; ++r) {
                    sum += a[m * terms + r] * (q.scale[p] * c[r]);
                }
                table[piece * stride + m] = sum;
            }
        }
        table[q.pieces * stride] = q.base[p];
    }

    static void fold(const Problem<T>& q, std::int64_t p, const T* table_grad, T* scratch) {
        const std::int64_t terms = q.order + 1;
        const T* a = q.polynomials + p * q.pieces * terms * terms;
        for (std::int64_t b = 0; b < q.bases; ++b) scratch[b] = 0;
        for (std::int64_t piece = 0; piece < q.pieces; ++piece, a += terms * terms) {
            const T* from = table_grad + piece * stride;
            T* to = scratch + q.lowest[piece];
            for (std::int64_t r = 0; r < terms; ++r) {
                T sum = to[r];
                for (std::int64_t m = 0; m < terms; ++m) sum += a[m * terms + r] * from[m];
                to[r] = sum;
            }
        }
        const T* weight = q.weight + p * q.bases;
        T* weight_grad = q.weight_grad + p * q.bases;
        T sum = 0;
        for (std::int64_t b = 0; b < q.bases; ++b) {
            weight_grad[b] = q.scale[p] * scratch[b];
            sum += weight[b] * scratch[b];
        }
        q.scale_grad[p] = sum;
        q.base_grad[p] = table_grad[q.pieces * stride];
    }

    // -- values ---------------------------------------------------------------------------------

    // Sums are accumulated directly in the outputs.
    static std::int64_t sums_size(const Problem<T>&, std::int64_t) { return 0; }

    static void start(const Problem<T>& q, std::int64_t start, std::int64_t count, T*) {
        for (std::int64_t i = start; i < start + count; ++i) q.y[i] = q.bias[0];
        for (std::int64_t d = 0; d < q.variables; ++d) {
            std::memset(q.y_first + d * q.points + start, 0, count * sizeof(T));
        }
        for (std::int64_t s = 0; s < q.pairs; ++s) {
            std::memset(q.y_second + s * q.points + start, 0, count * sizeof(T));
        }
    }

    static void forward(const Problem<T>& q, const Block<T, K>& block, const Streams<T>& in,
                        const T* table, std::int64_t start, T*, T* scratch) {
        const int count = block.count;
        const T base = table[q.pieces * stride];
        T* __restrict rows = scratch;
        T* __restrict f1 = rows + stride * kBlock;
        T* __restrict f2 = f1 + kBlock;
        gather(block, table, rows);
        T* __restrict y = q.y + start;
        for (int i = 0; i < count; ++i) {
            T value = rows[i * stride + K - 1];
            for (int m = K - 2; m >= 1; --m) value = value * block.near[i] + rows[i * stride + m];
            value = value * block.u[i] + rows[i * stride];
            y[i] += value + base * block.silu[0][i];
        }
        if (q.variables == 0) return;
        for (int i = 0; i < count; ++i) {
            f1[i] = slope(block, base, rows, i);
            f2[i] = bend(block, base, rows, i);
        }
        for (std::int64_t d = 0; d < q.variables; ++d) {
            T* __restrict to = q.y_first + d * q.points + start;
            for (int i = 0; i < count; ++i) to[i] += f1[i] * in.slope[d][i];
        }
        for (std::int64_t s = 0; s < q.pairs; ++s) {
            T* __restrict to = q.y_second + s * q.points + start;
            for (int i = 0; i < count; ++i) {
                to[i] += f2[i] * in.product[s][i] + f1[i] * in.bend[s][i];
            }
        }
    }

    static void finish(const Problem<T>&, std::int64_t, std::int64_t, const T*) {}

    // -- gradients ------------------------------------------------------------------------------

    static std::int64_t upstream_size(const Problem<T>&) { return 0; }

    static void turn(const Problem<T>&, std::int64_t, std::int64_t, T*) {}

    static void backward(const Problem<T>& q, const Block<T, K>& block, const Streams<T>& in,
                         const T* table, T* table_grad, std::int64_t p, std::int64_t start,
                         const T*, T* scratch) {
        const int count = block.count;
        const bool sweep = q.variables > 0;
        T* __restrict rows = scratch;
        T* __restrict steps = rows + stride * kBlock;
        T* __restrict g1 = steps + stride * kBlock;
        T* __restrict g2 = g1 + kBlock;
        T* __restrict f1 = g2 + kBlock;
        T* __restrict f2 = f1 + kBlock;
        const T* __restrict g0 = q.y_grad + start;
        if (sweep) edge_gradients(q, in, start, count, g1, g2);
        if (table != nullptr) {
            const T base = table[q.pieces * stride];
            T* __restrict x_grad = q.x_grad + p * q.points + start;
            gather(block, table, rows);
            if (sweep) {
                for (int i = 0; i < count; ++i) {
                    T jerk = base * block.silu[3][i];
                    for (int m = 3; m < K; ++m) {
                        jerk += block.weight[3][m][i] * rows[i * stride + m];
                    }
                    f1[i] = slope(block, base, rows, i);
                    f2[i] = bend(block, base, rows, i);
                    x_grad[i] = g0[i] * f1[i] + g1[i] * f2[i] + g2[i] * jerk;
                }
                stream_gradients(q, in, p, start, count, f1, f2);
            } else {
                for (int i = 0; i < count; ++i) x_grad[i] = g0[i] * slope(block, base, rows, i);
            }
        }
        T base_grad = 0;
#pragma omp simd reduction(+ : base_grad)
        for (int i = 0; i < count; ++i) base_grad += g0[i] * block.silu[0][i];
        for (int i = 0; i < count; ++i) {
            for (int m = 0; m < K; ++m) steps[i * stride + m] = g0[i] * block.weight[0][m][i];
            for (int m = K; m < stride; ++m) steps[i * stride + m] = 0;
        }
        if (sweep) {
#pragma omp simd reduction(+ : base_grad)
            for (int i = 0; i < count; ++i) {
                base_grad += g1[i] * block.silu[1][i] + g2[i] * block.silu[2][i];
            }
            for (int i = 0; i < count; ++i) {
                steps[i * stride + 1] += g1[i] * block.weight[1][1][i];
                for (int m = 2; m < K; ++m) {
                    steps[i * stride + m] +=
                        g1[i] * block.weight[1][m][i] + g2[i] * block.weight[2][m][i];
                }
            }
        }
        for (int i = 0; i < count; ++i) {
            T* __restrict to = table_grad + block.piece[i] * stride;
            for (int m = 0; m < stride; ++m) to[m] += steps[i * stride + m];
        }
        table_grad[q.pieces * stride] += base_grad;
    }

   private:
    // The row of the table for each point, (count, stride).
    static void gather(const Block<T, K>& block, const T* table, T* rows) {
        for (int i = 0; i < block.count; ++i) {
            std::memcpy(rows + i * stride, table + block.piece[i] * stride, stride * sizeof(T));
        }
    }

    [[gnu::always_inline]] static T slope(const Block<T, K>& block, T base, const T* rows, int i) {
        T sum = base * block.silu[1][i];
        for (int m = 1; m < K; ++m) sum += block.weight[1][m][i] * rows[i * stride + m];
        return sum;
    }

    [[gnu::always_inline]] static T bend(const Block<T, K>& block, T base, const T* rows, int i) {
        T sum = base * block.silu[2][i];
        for (int m = 2; m < K; ++m) sum += block.weight[2][m][i] * rows[i * stride + m];
        return sum;
    }

    // Gradients with respect to the first and second derivatives of the edges.
    static void edge_gradients(const Problem<T>& q, const Streams<T>& in, std::int64_t start,
                               int count, T* __restrict g1, T* __restrict g2) {
        for (int i = 0; i < count; ++i) g1[i] = g2[i] = 0;
        for (std::int64_t d = 0; d < q.variables; ++d) {
            const T* g = q.y_first_grad + d * q.points + start;
            for (int i = 0; i < count; ++i) g1[i] += g[i] * in.slope[d][i];
        }
        for (std::int64_t s = 0; s < q.pairs; ++s) {
            const T* g = q.y_second_grad + s * q.points + start;
            for (int i = 0; i < count; ++i) {
                g1[i] += g[i] * in.bend[s][i];
                g2[i] += g[i] * in.product[s][i];
            }
        }
    }

    // Gradients with respect to the incoming derivatives.
    static void stream_gradients(const Problem<T>& q, const Streams<T>& in, std::int64_t p,
                                 std::int64_t start, int count, const T* __restrict f1,
                                 const T* __restrict f2) {
        const std::int64_t step = q.features * q.points;
        const std::int64_t place = p * q.points + start;
        for (std::int64_t s = 0; q.second_grad != nullptr && s < q.pairs; ++s) {
            const T* g = q.y_second_grad + s * q.points + start;
            T* __restrict to = q.second_grad + s * step + place;
            for (int i = 0; i < count; ++i) to[i] = g[i] * f1[i];
        }
        if (q.first_grad == nullptr) return;
        T* first = q.first_grad + place;
        for (std::int64_t d = 0; d < q.variables; ++d) {
            const T* g = q.y_first_grad + d * q.points + start;
            T* __restrict to = first + d * step;
            for (int i = 0; i < count; ++i) to[i] = g[i] * f1[i];
        }
        for (std::int64_t s = 0; s < q.pairs; ++s) {
            const std::int64_t d = q.pair[2 * s], e = q.pair[2 * s + 1];
            const T* g = q.y_second_grad + s * q.points + start;
            T* __restrict one = first + d * step;
            for (int i = 0; i < count; ++i) one[i] += g[i] * f2[i] * in.slope[e][i];
            T* __restrict two = first + e * step;
            for (int i = 0; i < count; ++i) two[i] += g[i] * f2[i] * in.slope[d][i];
        }
    }
};

}  // namespace kanlit
