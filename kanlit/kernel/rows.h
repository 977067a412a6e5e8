// Layers with several outputs: vectorized over the outputs of one point.
#pragma once

#include "block.h"

namespace kanlit {

// K coefficients per piece, W lanes. The table of a feature contains K rows per piece and one row
// of base weights; each row covers all outputs and is zero-padded to whole vectors.
template <class T, int K, int W>
struct Rows {
    using Scalar = T;
    using V = typename Lanes<T, W>::Vector;
    static constexpr int coefficients = K;

    static std::int64_t width(const Problem<T>& q) { return (q.outputs + W - 1) / W * W; }
    static std::int64_t table_size(const Problem<T>& q) { return (q.pieces * K + 1) * width(q); }
    static std::int64_t scratch_size(const Problem<T>& q) {
        const std::int64_t products = (q.terms + 1) * W * W;
        return q.bases * width(q) > products ? q.bases * width(q) : products;
    }
    static std::int64_t streams(const Problem<T>& q) { return 1 + q.streams; }

    // -- coefficients to polynomials, and gradients back ----------------------------------------

    static void build(const Problem<T>& q, std::int64_t p, T* table, T* scratch) {
        const std::int64_t wide = width(q), terms = q.order + 1;
        for (std::int64_t b = 0; b < q.bases * wide; ++b) scratch[b] = 0;
        for (std::int64_t o = 0; o < q.outputs; ++o) {
            const T scale = q.scale[o * q.features + p];
            const T* weight = q.weight + (o * q.features + p) * q.bases;
            for (std::int64_t b = 0; b < q.bases; ++b) scratch[b * wide + o] = scale * weight[b];
        }
        const T* polynomials = q.polynomials + p * q.pieces * terms * terms;
        for (std::int64_t piece = 0; piece < q.pieces; ++piece) {
            const T* rows = scratch + q.lowest[piece] * wide;
            for (std::int64_t m = 0; m < K; ++m) {
                T* to = table + (piece * K + m) * wide;
                for (std::int64_t v = 0; v < wide; v += W) {
                    V sum{};
                    if (m < terms) {
                        const T* a = polynomials + (piece * terms + m) * terms;
                        for (std::int64_t r = 0; r < terms; ++r) {
                            sum += a[r] * load<V>(rows + r * wide + v);
                        }
                    }
                    store(to + v, sum);
                }
            }
        }
        T* base = table + q.pieces * K * wide;
        for (std::int64_t o = 0; o < wide; ++o) {
            base[o] = o < q.outputs ? q.base[o * q.features + p] : T(0);
        }
    }

    static void fold(const Problem<T>& q, std::int64_t p, const T* table_grad, T* scratch) {
        const std::int64_t wide = width(q), terms = q.order + 1;
        for (std::int64_t b = 0; b < q.bases * wide; ++b) scratch[b] = 0;
        const T* polynomials = q.polynomials + p * q.pieces * terms * terms;
        for (std::int64_t piece = 0; piece < q.pieces; ++piece) {
            T* rows = scratch + q.lowest[piece] * wide;
            const T* from = table_grad + piece * K * wide;
            const T* a = polynomials + piece * terms * terms;
            for (std::int64_t r = 0; r < terms; ++r) {
                for (std::int64_t v = 0; v < wide; v += W) {
                    V sum = load<V>(rows + r * wide + v);
                    for (std::int64_t m = 0; m < terms; ++m) {
                        sum += a[m * terms + r] * load<V>(from + m * wide + v);
                    }
                    store(rows + r * wide + v, sum);
                }
            }
        }
        for (std::int64_t o = 0; o < q.outputs; ++o) {
            const std::int64_t edge = o * q.features + p;
            const T scale = q.scale[edge];
            const T* weight = q.weight + edge * q.bases;
            T* weight_grad = q.weight_grad + edge * q.bases;
            T sum = 0;
            for (std::int64_t b = 0; b < q.bases; ++b) {
                const T grad = scratch[b * wide + o];
                weight_grad[b] = scale * grad;
                sum += weight[b] * grad;
            }
            q.scale_grad[edge] = sum;
            q.base_grad[edge] = table_grad[q.pieces * K * wide + o];
        }
    }

    // -- values ---------------------------------------------------------------------------------

    static std::int64_t sums_size(const Problem<T>& q, std::int64_t span) {
        return span * streams(q) * width(q);
    }

    static void start(const Problem<T>& q, std::int64_t, std::int64_t count, T* sums) {
        for (std::int64_t i = 0; i < sums_size(q, count); ++i) sums[i] = 0;
    }

    static void forward(const Problem<T>& q, const Block<T, K>& block, const Streams<T>& in,
                        const T* table, std::int64_t, T* sums, T*) {
        switch (q.highest) {
            case 0: return values(q, block, table, sums);
            case 1: return sweep<1>(q, block, in, table, sums);
            case 2: return sweep<2>(q, block, in, table, sums);
            case 3: return sweep<3>(q, block, in, table, sums);
            default: return sweep<kOrder>(q, block, in, table, sums);
        }
    }

    [[gnu::noinline]] static void values(const Problem<T>& q, const Block<T, K>& block,
                                         const T* table, T* sums) {
        const std::int64_t wide = width(q);
        for (std::int64_t v = 0; v < wide; v += W) {
            const V base = load<V>(table + q.pieces * K * wide + v);
            for (int i = 0; i < block.count; ++i) {
                const T* row = table + block.piece[i] * K * wide + v;
                V value = load<V>(row + (K - 1) * wide);
                for (int m = K - 2; m >= 1; --m) {
                    value = value * block.near[i] + load<V>(row + m * wide);
                }
                value = value * block.u[i] + load<V>(row);
                T* to = sums + i * wide + v;
                store(to, load<V>(to) + (value + base * block.silu[0][i]));
            }
        }
    }

    // The derivatives of the edges up to order M at point i, but not their values.
    template <int M>
    [[gnu::always_inline]] static void edges(const Block<T, K>& block, V base, const T* row,
                                             std::int64_t wide, int i, V* f) {
        for (int d = 1; d <= M; ++d) {
            f[d] = base * block.silu[d][i];
            for (int m = d; m < K; ++m) f[d] += block.weight[d][m][i] * load<V>(row + m * wide);
        }
    }

    // M is the highest order.
    template <int M>
    [[gnu::noinline]] static void sweep(const Problem<T>& q, const Block<T, K>& block,
                                        const Streams<T>& in, const T* table, T* sums) {
        const std::int64_t wide = width(q), all = streams(q);
        for (std::int64_t v = 0; v < wide; v += W) {
            const V base = load<V>(table + q.pieces * K * wide + v);
            for (int i = 0; i < block.count; ++i) {
                const T* row = table + block.piece[i] * K * wide + v;
                V f[M + 1];
                f[0] = load<V>(row + (K - 1) * wide);
                for (int m = K - 2; m >= 1; --m) {
                    f[0] = f[0] * block.near[i] + load<V>(row + m * wide);
                }
                f[0] = f[0] * block.u[i] + load<V>(row) + base * block.silu[0][i];
                edges<M>(block, base, row, wide, i, f);
                T* to = sums + i * all * wide + v;
                store(to, load<V>(to) + f[0]);
                const Row<T>* term = in.term;
                each_order<M>([&](auto order) {
                    for (std::int64_t s = 0; s < q.of_order[order.value]; ++s) {
                        to += wide;
                        V sum = load<V>(to);
                        for (int m = 1; m <= order.value; ++m) sum += f[m] * (*term++)[i];
                        store(to, sum);
                    }
                });
            }
        }
    }

    static void finish(const Problem<T>& q, std::int64_t start, std::int64_t count, const T* sums) {
        const std::int64_t wide = width(q), all = streams(q), n = q.points;
        for (std::int64_t stream = 0; stream < all; ++stream) {
            T* y = stream == 0 ? q.y : q.y_stream + (stream - 1) * q.outputs * n;
            for (std::int64_t o = 0; o < q.outputs; ++o) {
                const T bias = stream == 0 ? q.bias[o] : T(0);
                for (std::int64_t i = 0; i < count; ++i) {
                    y[o * n + start + i] = sums[(i * all + stream) * wide + o] + bias;
                }
            }
        }
    }

    // -- gradients ------------------------------------------------------------------------------

    // Gradients with respect to the outputs, transposed so that outputs come last:
    // (n, streams, width).
    static std::int64_t upstream_size(const Problem<T>& q) {
        return q.points * streams(q) * width(q);
    }

    static void turn(const Problem<T>& q, std::int64_t start, std::int64_t count, T* upstream) {
        const std::int64_t wide = width(q), all = streams(q), n = q.points;
        for (std::int64_t stream = 0; stream < all; ++stream) {
            const T* y =
                stream == 0 ? q.y_grad : q.y_stream_grad + (stream - 1) * q.outputs * n;
            for (std::int64_t o = 0; o < wide; ++o) {
                for (std::int64_t i = start; i < start + count; ++i) {
                    upstream[(i * all + stream) * wide + o] = o < q.outputs ? y[o * n + i] : T(0);
                }
            }
        }
    }

    static void backward(const Problem<T>& q, const Block<T, K>& block, Streams<T>& in,
                         const T* table, T* table_grad, std::int64_t p, std::int64_t start,
                         const T* upstream, T* scratch) {
        upstream += start * streams(q) * width(q);
        if (q.highest == 0 && table != nullptr) {
            values_backward<true>(q, block, table, table_grad, p, start, upstream);
        } else if (q.highest == 0) {
            values_backward<false>(q, block, table, table_grad, p, start, upstream);
        } else if (table != nullptr) {
            backward_of_order<true>(q, block, in, table, table_grad, upstream, scratch);
            std::memcpy(q.x_grad + p * q.points + start, in.grad[q.terms],
                        block.count * sizeof(T));
        } else {
            backward_of_order<false>(q, block, in, table, table_grad, upstream, scratch);
        }
    }

    template <bool inputs, class... Arguments>
    static void backward_of_order(const Problem<T>& q, const Arguments&... arguments) {
        switch (q.highest) {
            case 1: return sweep_backward<inputs, 1>(q, arguments...);
            case 2:  // most often in two variables
                return q.of_order[1] == 2 && q.of_order[2] == 2
                           ? sweep_backward<inputs, 2, 2, 2>(q, arguments...)
                           : sweep_backward<inputs, 2>(q, arguments...);
            case 3: return sweep_backward<inputs, 3>(q, arguments...);
            default: return sweep_backward<inputs, kOrder>(q, arguments...);
        }
    }

    template <bool inputs>
    [[gnu::noinline]] static void values_backward(const Problem<T>& q, const Block<T, K>& block,
                                                  const T* table, T* table_grad, std::int64_t p,
                                                  std::int64_t start, const T* upstream) {
        const std::int64_t wide = width(q);
        T* x_grad = inputs ? q.x_grad + p * q.points + start : nullptr;
        for (std::int64_t v = 0; v < wide; v += W) {
            const std::int64_t base_at = q.pieces * K * wide + v;
            const V base = inputs ? load<V>(table + base_at) : V{};
            V base_grad{};
            for (int i = 0; i < block.count; ++i) {
                const V g = load<V>(upstream + i * wide + v);
                const std::int64_t at = block.piece[i] * K * wide + v;
                if constexpr (inputs) {
                    V slope = base * block.silu[1][i];
                    for (int m = 1; m < K; ++m) {
                        slope += block.weight[1][m][i] * load<V>(table + at + m * wide);
                    }
                    const T sum = sum_of<T, W>(g * slope);
                    x_grad[i] = v == 0 ? sum : x_grad[i] + sum;
                }
                T* grad = table_grad + at;
                store(grad, load<V>(grad) + g);
                for (int m = 1; m < K; ++m) {
                    T* to = grad + m * wide;
                    store(to, load<V>(to) + block.weight[0][m][i] * g);
                }
                base_grad += g * block.silu[0][i];
            }
            store(table_grad + base_at, load<V>(table_grad + base_at) + base_grad);
        }
    }

    // M is the highest order; the numbers of streams of each order may be known.
    template <bool inputs, int M, int... known>
    [[gnu::noinline]] static void sweep_backward(const Problem<T>& q, const Block<T, K>& block,
                                                 const Streams<T>& in, const T* table,
                                                 T* table_grad, const T* upstream, T* scratch) {
        const std::int64_t wide = width(q), all = streams(q);
        for (std::int64_t v = 0; v < wide; v += W) {
            const std::int64_t base_at = q.pieces * K * wide + v;
            const V base = inputs ? load<V>(table + base_at) : V{};
            V base_grad{};
            for (int start = 0; start < block.count; start += W) {
                const int stop = start + W < block.count ? start + W : block.count;
                for (int i = start; i < stop; ++i) {
                    const std::int64_t at = block.piece[i] * K * wide + v;
                    V f[M + 2];
                    if constexpr (inputs) edges<M + 1>(block, base, table + at, wide, i, f);
                    const T* from = upstream + i * all * wide + v;
                    V g[M + 1] = {load<V>(from)};  // gradients by the edges' derivatives
                    const Row<T>* term = in.term;
                    T* product = scratch + (i - start) * W;
                    each_order<M>([&](auto order) {
                        constexpr int counts[] = {0, known...};
                        constexpr bool fixed = sizeof...(known) > 0;
                        const std::int64_t number =
                            fixed ? counts[fixed ? order.value : 0] : q.of_order[order.value];
                        for (std::int64_t s = 0; s < number; ++s) {
                            from += wide;
                            const V gs = load<V>(from);
                            for (int m = 1; m <= order.value; ++m) {
                                g[m] += gs * (*term++)[i];
                                if constexpr (inputs) store(product, gs * f[m]);
                                product += W * W;
                            }
                        }
                    });
                    if constexpr (inputs) {
                        V sum = g[0] * f[1];
                        for (int m = 1; m <= M; ++m) sum += g[m] * f[m + 1];
                        store(product, sum);
                    }
                    T* to = table_grad + at;
                    store(to, load<V>(to) + g[0]);
                    for (int m = 1; m < K; ++m) {
                        V step = block.weight[0][m][i] * g[0];
                        for (int d = 1; d <= M && d <= m; ++d) step += block.weight[d][m][i] * g[d];
                        store(to + m * wide, load<V>(to + m * wide) + step);
                    }
                    for (int m = 0; m <= M; ++m) base_grad += g[m] * block.silu[m][i];
                }
                // Rows are long enough for whole vectors, whatever the last lanes hold.
                for (std::int64_t t = 0; inputs && t <= q.terms; ++t) {
                    const V sums = sums_of<T, W>(scratch + t * W * W);
                    T* to = in.grad[t] + start;
                    store(to, v == 0 ? sums : load<V>(to) + sums);
                }
            }
            store(table_grad + base_at, load<V>(table_grad + base_at) + base_grad);
        }
    }
};

}  // namespace kanlit
