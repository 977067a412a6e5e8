// Data shared by all edges of one input feature at a block of points: pieces, powers, silu.
#pragma once

#include "arithmetic.h"
#include "problem.h"
#include "search.h"

namespace kanlit {

// K is the number of coefficients stored per piece, at least k+1; those above k are zero.
template <class T, int K>
struct Block {
    int count;
    Row<std::int32_t> piece;
    Row<T> u, near;
    Row<T> silu[4];  // silu and its derivatives
    // weight[d][m] is the factor of coefficient m in the d-th derivative with respect to x.
    Row<T> weight[4][K];
};

template <class T>
void silu_derivatives(const T* x, Row<T>* silu, int derivatives, int count) {
    if (derivatives == 0) {
        for (int i = 0; i < count; ++i) silu[0][i] = x[i] * sigmoid(x[i]);
        return;
    }
    for (int i = 0; i < count; ++i) {
        const T s = sigmoid(x[i]), s1 = s * (T(1) - s);
        silu[0][i] = x[i] * s;
        silu[1][i] = s + x[i] * s1;
        silu[2][i] = s;
        silu[3][i] = s1;
    }
    if (derivatives == 1) return;
    for (int i = 0; i < count; ++i) {
        const T s = silu[2][i], s1 = silu[3][i];
        const T s2 = s1 * (T(1) - 2 * s), s3 = s2 * (T(1) - 2 * s) - 2 * s1 * s1;
        silu[2][i] = 2 * s1 + x[i] * s2;
        silu[3][i] = 3 * s2 + x[i] * s3;
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

// The streams of derivatives at a block of points: x_d, x_d·x_e and x_de.
template <class T>
struct Streams {
    Row<T>* slope;
    Row<T>* product;
    Row<T>* bend;

    static std::int64_t size(const Problem<T>& q) { return (q.variables + 2 * q.pairs) * kBlock; }

    Streams(const Problem<T>& q, T* memory)
        : slope(reinterpret_cast<Row<T>*>(memory)),
          product(slope + q.variables),
          bend(product + q.pairs) {}

    void load(const Problem<T>& q, std::int64_t p, std::int64_t start, int count) {
        for (std::int64_t d = 0; d < q.variables; ++d) {
            fill(q.first, d * q.features + p, q.first_points, start, count, slope[d]);
        }
        for (std::int64_t s = 0; s < q.pairs; ++s) {
            fill(q.second, s * q.features + p, q.second_points, start, count, bend[s]);
            const T* d = slope[q.pair[2 * s]];
            const T* e = slope[q.pair[2 * s + 1]];
            for (int i = 0; i < count; ++i) product[s][i] = d[i] * e[i];
        }
    }

   private:
    static void fill(const T* from, std::int64_t row, std::int64_t points, std::int64_t start,
                     int count, T* to) {
        if (points == 1) {
            for (int i = 0; i < count; ++i) to[i] = from[row];
        } else {
            std::memcpy(to, from + row * points + start, count * sizeof(T));
        }
    }
};

}  // namespace kanlit
