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
        const std::int64_t block = (2 * stride + 2 * kOrder + 2) * kBlock;
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
        for (std::int64_t s = 0; s < q.streams; ++s) {
            std::memset(q.y_stream + s * q.points + start, 0, count * sizeof(T));
        }
    }

    static void forward(const Problem<T>& q, const Block<T, K>& block, const Streams<T>& in,
                        const T* table, std::int64_t start, T*, T* scratch) {
        const int count = block.count;
        const T base = table[q.pieces * stride];
        T* __restrict rows = scratch;
        Row<T>* f = reinterpret_cast<Row<T>*>(rows + stride * kBlock);
        gather(block, table, rows);
        T* __restrict y = q.y + start;
        for (int i = 0; i < count; ++i) {
            T value = rows[i * stride + K - 1];
            for (int m = K - 2; m >= 1; --m) value = value * block.near[i] + rows[i * stride + m];
            value = value * block.u[i] + rows[i * stride];
            y[i] += value + base * block.silu[0][i];
        }
        edges(block, base, rows, q.highest, f);
        each_stream(q, [&](std::int64_t s, std::int64_t t, std::int64_t order) {
            T* __restrict to = q.y_stream + s * q.points + start;
            for (std::int64_t m = 1; m <= order; ++m, ++t) {
                for (int i = 0; i < count; ++i) to[i] += f[m][i] * in.term[t][i];
            }
        });
    }

    static void finish(const Problem<T>&, std::int64_t, std::int64_t, const T*) {}

    // -- gradients ------------------------------------------------------------------------------

    static std::int64_t upstream_size(const Problem<T>&) { return 0; }

    static void turn(const Problem<T>&, std::int64_t, std::int64_t, T*) {}

    static void backward(const Problem<T>& q, const Block<T, K>& block, Streams<T>& in,
                         const T* table, T* table_grad, std::int64_t p, std::int64_t start,
                         const T*, T* scratch) {
        switch (q.highest) {
            case 0: return gradients<0>(q, block, in, table, table_grad, p, start, scratch);
            case 1: return gradients<1>(q, block, in, table, table_grad, p, start, scratch);
            case 2: return gradients<2>(q, block, in, table, table_grad, p, start, scratch);
            case 3: return gradients<3>(q, block, in, table, table_grad, p, start, scratch);
            default: return gradients<kOrder>(q, block, in, table, table_grad, p, start, scratch);
        }
    }

   private:
    // The row of the table for each point, (count, stride).
    static void gather(const Block<T, K>& block, const T* table, T* rows) {
        for (int i = 0; i < block.count; ++i) {
            std::memcpy(rows + i * stride, table + block.piece[i] * stride, stride * sizeof(T));
        }
    }

    // The derivatives of the edge up to order M, but not its values.
    template <int M>
    [[gnu::always_inline]] static void edge(const Block<T, K>& block, T base, const T* rows, int i,
                                            T* f) {
        for (int d = 1; d <= M; ++d) {
            f[d] = base * block.silu[d][i];
            for (int m = d; m < K; ++m) f[d] += block.weight[d][m][i] * rows[i * stride + m];
        }
    }

    // The same at all points, in a row per order.
    static void edges(const Block<T, K>& block, T base, const T* __restrict rows,
                      std::int64_t highest, Row<T>* __restrict derivatives) {
        each_order<kOrder>([&](auto order) {
            if (order.value != highest) return;
            for (int i = 0; i < block.count; ++i) {
                T f[order.value + 1];
                edge<order.value>(block, base, rows, i, f);
                for (int d = 1; d <= order.value; ++d) derivatives[d][i] = f[d];
            }
        });
    }

    // M is the highest order.
    template <int M>
    [[gnu::noinline]] static void gradients(const Problem<T>& q, const Block<T, K>& block,
                                            Streams<T>& in, const T* table, T* table_grad,
                                            std::int64_t p, std::int64_t start, T* scratch) {
        const int count = block.count;
        T* __restrict rows = scratch;
        T* __restrict steps = rows + stride * kBlock;
        Row<T>* __restrict g = reinterpret_cast<Row<T>*>(steps + stride * kBlock);
        Row<T>* __restrict derivatives = g + kOrder;  // derivatives[0] would be g[kOrder]
        // Gradients with respect to the value and the derivatives of the edge.
        std::memcpy(g[0], q.y_grad + start, count * sizeof(T));
        std::memset(g[1], 0, M * sizeof g[0]);
        each_stream(q, [&](std::int64_t s, std::int64_t t, std::int64_t order) {
            const T* __restrict from = q.y_stream_grad + s * q.points + start;
            for (std::int64_t m = 1; m <= order; ++m, ++t) {
                for (int i = 0; i < count; ++i) g[m][i] += from[i] * in.term[t][i];
            }
        });
        if (table != nullptr) {
            const T base = table[q.pieces * stride];
            T* __restrict x_grad = q.x_grad + p * q.points + start;
            gather(block, table, rows);
            for (int i = 0; i < count; ++i) {
                T f[M + 2];
                edge<M + 1>(block, base, rows, i, f);
                T sum = g[0][i] * f[1];
                for (int m = 1; m <= M; ++m) {
                    sum += g[m][i] * f[m + 1];
                    derivatives[m][i] = f[m];
                }
                x_grad[i] = sum;
            }
            each_stream(q, [&](std::int64_t s, std::int64_t t, std::int64_t order) {
                const T* __restrict from = q.y_stream_grad + s * q.points + start;
                for (std::int64_t m = 1; m <= order; ++m, ++t) {
                    for (int i = 0; i < count; ++i) in.grad[t][i] = from[i] * derivatives[m][i];
                }
            });
        }
        T base_grad = 0;
#pragma omp simd reduction(+ : base_grad)
        for (int i = 0; i < count; ++i) {
            for (int m = 0; m <= M; ++m) base_grad += g[m][i] * block.silu[m][i];
        }
        for (int i = 0; i < count; ++i) {
            for (int m = 0; m < stride; ++m) {
                T step = 0;
                for (int d = 0; m < K && d <= m && d <= M; ++d) {
                    step += g[d][i] * block.weight[d][m][i];
                }
                steps[i * stride + m] = step;
            }
        }
        for (int i = 0; i < count; ++i) {
            T* __restrict to = table_grad + block.piece[i] * stride;
            for (int m = 0; m < stride; ++m) to[m] += steps[i * stride + m];
        }
        table_grad[q.pieces * stride] += base_grad;
    }
};

}  // namespace kanlit
