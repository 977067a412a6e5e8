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
    static std::int64_t scratch_size(const Problem<T>& q) { return q.bases * width(q); }
    static std::int64_t streams(const Problem<T>& q) { return 1 + q.variables + q.pairs; }

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

    static void forward(const Problem<T>& q, const Block<T, K>& block, const Streams<T>& streams_,
                        const T* table, std::int64_t, T* sums, T*) {
        if (q.variables == 0) {
            values(q, block, table, sums);
        } else {
            sweep(q, block, streams_, table, sums);
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

    [[gnu::noinline]] static void sweep(const Problem<T>& q, const Block<T, K>& block,
                                        const Streams<T>& in, const T* table, T* sums) {
        const std::int64_t wide = width(q), D = q.variables, S = q.pairs;
        for (std::int64_t v = 0; v < wide; v += W) {
            const V base = load<V>(table + q.pieces * K * wide + v);
            for (int i = 0; i < block.count; ++i) {
                const T* row = table + block.piece[i] * K * wide + v;
                V f = load<V>(row + (K - 1) * wide);
                V f1 = base * block.silu[1][i], f2 = base * block.silu[2][i];
                for (int m = K - 2; m >= 1; --m) f = f * block.near[i] + load<V>(row + m * wide);
                for (int m = 1; m < K; ++m) f1 += block.weight[1][m][i] * load<V>(row + m * wide);
                for (int m = 2; m < K; ++m) f2 += block.weight[2][m][i] * load<V>(row + m * wide);
                f = f * block.u[i] + load<V>(row) + base * block.silu[0][i];
                T* to = sums + i * streams(q) * wide + v;
                store(to, load<V>(to) + f);
                to += wide;
                for (std::int64_t d = 0; d < D; ++d, to += wide) {
                    store(to, load<V>(to) + f1 * in.slope[d][i]);
                }
                for (std::int64_t s = 0; s < S; ++s, to += wide) {
                    store(to, load<V>(to) + f2 * in.product[s][i] + f1 * in.bend[s][i]);
                }
            }
        }
    }

    static void finish(const Problem<T>& q, std::int64_t start, std::int64_t count, const T* sums) {
        const std::int64_t wide = width(q), all = streams(q), n = q.points;
        for (std::int64_t stream = 0; stream < all; ++stream) {
            T* y = stream == 0             ? q.y
                   : stream <= q.variables ? q.y_first + (stream - 1) * q.outputs * n
                                           : q.y_second + (stream - 1 - q.variables) * q.outputs * n;
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
            const T* y = stream == 0 ? q.y_grad
                         : stream <= q.variables
                             ? q.y_first_grad + (stream - 1) * q.outputs * n
                             : q.y_second_grad + (stream - 1 - q.variables) * q.outputs * n;
            for (std::int64_t o = 0; o < wide; ++o) {
                for (std::int64_t i = start; i < start + count; ++i) {
                    upstream[(i * all + stream) * wide + o] = o < q.outputs ? y[o * n + i] : T(0);
                }
            }
        }
    }

    static void backward(const Problem<T>& q, const Block<T, K>& block, const Streams<T>& in,
                         const T* table, T* table_grad, std::int64_t p, std::int64_t start,
                         const T* upstream, T*) {
        upstream += start * streams(q) * width(q);
        if (q.variables > 0) {
            if (q.variables == 2 && q.pairs == 2) {
                sweep_backward<2, 2>(q, block, in, table, table_grad, p, start, upstream);
            } else {
                sweep_backward<-1, -1>(q, block, in, table, table_grad, p, start, upstream);
            }
        } else if (table != nullptr) {
            values_backward<true>(q, block, table, table_grad, p, start, upstream);
        } else {
            values_backward<false>(q, block, table, table_grad, p, start, upstream);
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

    template <int D_, int S_>
    [[gnu::noinline]] static void sweep_backward(const Problem<T>& q, const Block<T, K>& block,
                                                 const Streams<T>& in, const T* table,
                                                 T* table_grad, std::int64_t p, std::int64_t start,
                                                 const T* upstream) {
        const std::int64_t wide = width(q), n = q.points;
        const std::int64_t D = D_ < 0 ? q.variables : D_, S = S_ < 0 ? q.pairs : S_;
        const std::int64_t place = p * n + start, stride = q.features * n;
        const bool inputs = table != nullptr;
        const bool first = q.first_grad != nullptr, second = q.second_grad != nullptr;
        for (std::int64_t v = 0; v < wide; v += W) {
            const std::int64_t base_at = q.pieces * K * wide + v;
            const V base = inputs ? load<V>(table + base_at) : V{};
            V base_grad{};
            const auto add = [v](T* to, V products) {
                const T sum = sum_of<T, W>(products);
                *to = v == 0 ? sum : *to + sum;
            };
            for (int i = 0; i < block.count; ++i) {
                const T* g = upstream + i * (1 + D + S) * wide + v;
                const T* g_first = g + wide;
                const T* g_second = g_first + D * wide;
                const V g0 = load<V>(g);
                V g1{}, g2{};  // gradients with respect to the edges' derivatives
                for (std::int64_t d = 0; d < D; ++d) {
                    g1 += in.slope[d][i] * load<V>(g_first + d * wide);
                }
                for (std::int64_t s = 0; s < S; ++s) {
                    const V gs = load<V>(g_second + s * wide);
                    g1 += in.bend[s][i] * gs;
                    g2 += in.product[s][i] * gs;
                }
                const std::int64_t at = block.piece[i] * K * wide + v;
                if (inputs) {
                    const T* row = table + at;
                    V f1 = base * block.silu[1][i], f2 = base * block.silu[2][i];
                    V f3 = base * block.silu[3][i];
                    for (int m = 1; m < K; ++m) {
                        f1 += block.weight[1][m][i] * load<V>(row + m * wide);
                    }
                    for (int m = 2; m < K; ++m) {
                        f2 += block.weight[2][m][i] * load<V>(row + m * wide);
                    }
                    for (int m = 3; m < K; ++m) {
                        f3 += block.weight[3][m][i] * load<V>(row + m * wide);
                    }
                    add(q.x_grad + place + i, g0 * f1 + g1 * f2 + g2 * f3);
                    for (std::int64_t d = 0; first && d < D; ++d) {
                        V product = f1 * load<V>(g_first + d * wide);
                        for (std::int64_t s = 0; s < S; ++s) {
                            const std::int64_t one = q.pair[2 * s], two = q.pair[2 * s + 1];
                            const T other = (one == d ? in.slope[two][i] : T(0)) +
                                            (two == d ? in.slope[one][i] : T(0));
                            product += other * (f2 * load<V>(g_second + s * wide));
                        }
                        add(q.first_grad + d * stride + place + i, product);
                    }
                    for (std::int64_t s = 0; second && s < S; ++s) {
                        add(q.second_grad + s * stride + place + i,
                            f1 * load<V>(g_second + s * wide));
                    }
                }
                T* grad = table_grad + at;
                store(grad, load<V>(grad) + g0);
                for (int m = 1; m < K; ++m) {
                    V step = block.weight[0][m][i] * g0 + block.weight[1][m][i] * g1;
                    if (m >= 2) step += block.weight[2][m][i] * g2;
                    store(grad + m * wide, load<V>(grad + m * wide) + step);
                }
                base_grad += g0 * block.silu[0][i] + g1 * block.silu[1][i] + g2 * block.silu[2][i];
            }
            store(table_grad + base_at, load<V>(table_grad + base_at) + base_grad);
        }
    }
};

}  // namespace kanlit
