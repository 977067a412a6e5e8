// Data shared by all edges of one input feature at a block of points: pieces, powers, silu.
#pragma once

#include "arithmetic.h"
#include "problem.h"
#include "search.h"

#include <type_traits>

namespace kanlit {

// K is the number of coefficients stored per piece, at least k+1; those above k are zero.
template <class T, int K>
struct Block {
    int count;
    Row<std::int32_t> piece;
    Row<T> u, near;
    Row<T> silu[kOrder + 2];  // silu and its derivatives
    // weight[d][m] is the factor of coefficient m in the d-th derivative with respect to x.
    Row<T> weight[kOrder + 2][K];
};

// By silu^(d) = x s^(d) + d s^(d-1), with the derivatives of the logistic function s.
template <class T>
void silu_derivatives(const T* x, Row<T>* silu, int derivatives, int count) {
    if (derivatives == 0) {
        for (int i = 0; i < count; ++i) silu[0][i] = x[i] * sigmoid(x[i]);
        return;
    }
    Row<T> s, s1;
    for (int i = 0; i < count; ++i) {
        s[i] = sigmoid(x[i]);
        s1[i] = s[i] * (T(1) - s[i]);
        silu[0][i] = x[i] * s[i];
        silu[1][i] = s[i] + x[i] * s1[i];
    }
    if (derivatives == 1) return;
    for (int i = 0; i < count; ++i) {
        const T s2 = s1[i] * (T(1) - 2 * s[i]), s3 = s1[i] * (T(1) - 6 * s1[i]);
        silu[2][i] = 2 * s1[i] + x[i] * s2;
        silu[3][i] = 3 * s2 + x[i] * s3;
    }
    if (derivatives <= 3) return;
    for (int i = 0; i < count; ++i) {
        const T s2 = s1[i] * (T(1) - 2 * s[i]), s3 = s1[i] * (T(1) - 6 * s1[i]);
        const T s4 = s2 * (T(1) - 12 * s1[i]);
        const T s5 = s1[i] * (T(1) - 30 * s1[i] * (T(1) - 4 * s1[i]));
        silu[4][i] = 4 * s3 + x[i] * s4;
        silu[5][i] = 5 * s4 + x[i] * s5;
    }
}

template <class T, int K>
void weigh(Block<T, K>& block, const T* inverse_width, int derivatives) {
    const int count = block.count;
    Row<T>* value = block.weight[0];
    for (int i = 0; i < count; ++i) value[0][i] = 1;
    for (int i = 0; i < count; ++i) value[1][i] = block.u[i];
    for (int m = 2; m < K; ++m) {
        for (int i = 0; i < count; ++i) value[m][i] = value[m - 1][i] * block.near[i];
    }
    if (derivatives == 0) return;
    Row<T> factor;
    for (int i = 0; i < count; ++i) factor[i] = inverse_width[block.piece[i]];
    Row<T> power[K];  // powers of near, times the d-th power of du/dx
    for (int i = 0; i < count; ++i) power[0][i] = factor[i];
    for (int m = 1; m < K; ++m) {
        for (int i = 0; i < count; ++i) power[m][i] = power[m - 1][i] * block.near[i];
    }
    for (int d = 1; d <= derivatives; ++d) {
        for (int m = d; m < K; ++m) {
            T falling = 1;  // m! / (m-d)!
            for (int j = 0; j < d; ++j) falling *= T(m - j);
            for (int i = 0; i < count; ++i) block.weight[d][m][i] = falling * power[m - d][i];
        }
        if (d == derivatives) break;
        for (int m = 0; m < K - d; ++m) {
            for (int i = 0; i < count; ++i) power[m][i] *= factor[i];
        }
    }
}

// Fills the block for feature p and the points from start on. Without a search, uses the pieces
// found by the forward call.
template <class T, int K>
void prepare(const Problem<T>& q, std::int64_t p, std::int64_t start, int count,
             const Search<T>* search, bool weights, int derivatives, Block<T, K>& block) {
    const T* x = q.x + p * q.points + start;
    block.count = count;
    if (search == nullptr) {
        std::memcpy(block.piece, q.piece + p * q.points + start, count * sizeof(std::int32_t));
    } else {
        search->find(p, x, count, block.piece);
        if (q.piece != nullptr) {
            std::memcpy(q.piece + p * q.points + start, block.piece, count * sizeof(std::int32_t));
        }
    }
    const T* origin = q.origin + p * q.pieces;
    const T* inverse_width = q.inverse_width + p * q.pieces;
    for (int i = 0; i < count; ++i) {
        const T u = (x[i] - origin[block.piece[i]]) * inverse_width[block.piece[i]];
        block.u[i] = u;
        // Outside the grid only the linear terms are nonzero, but powers of u would overflow.
        const T low = u < T(-1) ? T(-1) : u;
        block.near[i] = low > T(2) ? T(2) : low;
    }
    if (weights) weigh(block, inverse_width, derivatives);
    silu_derivatives(x, block.silu, derivatives, count);
}

// Calls use(std::integral_constant<int, order>) for each order from 1 to M.
template <int M, class Use>
[[gnu::always_inline]] inline void each_order(const Use& use) {
    if constexpr (M > 1) each_order<M - 1>(use);
    use(std::integral_constant<int, M>());
}

// Calls use(stream, its first term, its order) for each stream.
template <class T, class Use>
void each_stream(const Problem<T>& q, const Use& use) {
    std::int64_t s = 0, t = 0;
    for (std::int64_t order = 1; order <= q.highest; ++order) {
        for (std::int64_t rest = q.of_order[order]; rest > 0; --rest, ++s, t += order) {
            use(s, t, order);
        }
    }
}

// The terms of the chain rule at a block of points, and the gradients with respect to them.
template <class T>
struct Streams {
    Row<T>* term;
    Row<T>* grad;  // one more row, for the gradient with respect to x

    static std::int64_t size(const Problem<T>& q) { return (2 * q.terms + 1) * kBlock; }

    Streams(const Problem<T>& q, T* memory)
        : term(reinterpret_cast<Row<T>*>(memory)), grad(term + q.terms) {}

    void load(const Problem<T>& q, std::int64_t p, std::int64_t start, int count) {
        each_stream(q, [&](std::int64_t s, std::int64_t t, std::int64_t) {
            const T* from = q.stream + (s * q.features + p) * q.stream_points;
            if (q.stream_points == 1) {
                for (int i = 0; i < count; ++i) term[t][i] = *from;
            } else {
                std::memcpy(term[t], from + start, count * sizeof(T));
            }
        });
        std::int64_t last = -1;
        for (const Product* product = q.product; product != q.product + q.products; ++product) {
            const T* factor[kOrder];
            for (int f = 0; f < product->factors; ++f) factor[f] = term[product->factor[f]];
            multiply(*product, factor, term[product->term], product->term == last, count);
            last = product->term;
        }
    }

    // Gradients with respect to the incoming derivatives, from those with respect to the terms.
    void unload(const Problem<T>& q, std::int64_t p, std::int64_t start, int count) {
        for (const Product* product = q.product; product != q.product + q.products; ++product) {
            for (int own = 0; own < product->factors; ++own) {
                const T* factor[kOrder];
                for (int f = 0; f < product->factors; ++f) factor[f] = term[product->factor[f]];
                factor[own] = grad[product->term];
                multiply(*product, factor, grad[product->factor[own]], true, count);
            }
        }
        each_stream(q, [&](std::int64_t s, std::int64_t t, std::int64_t) {
            T* to = q.stream_grad + (s * q.features + p) * q.points + start;
            std::memcpy(to, grad[t], count * sizeof(T));
        });
    }

   private:
    static void multiply(const Product& product, const T* const* factor, T* to, bool add,
                         int count) {
        const T number = static_cast<T>(product.count);
        each_order<kOrder>([&](auto factors) {
            if (factors.value != product.factors) return;
            if (add) {
                multiply<factors.value, true>(number, factor, to, count);
            } else {
                multiply<factors.value, false>(number, factor, to, count);
            }
        });
    }

    template <int factors, bool add>
    static void multiply(T number, const T* const* factor, T* __restrict to, int count) {
        const T* x[factors];
        for (int f = 0; f < factors; ++f) x[f] = factor[f];
        for (int i = 0; i < count; ++i) {
            T value = number;
            for (int f = 0; f < factors; ++f) value *= x[f][i];
            to[i] = add ? to[i] + value : value;
        }
    }
};

}  // namespace kanlit
