// Argument of a kernel call. kanlit/kernel/library.py describes the same struct to ctypes: change
// both together and increment kAbi in both.
#pragma once

#include <cstdint>

constexpr std::int64_t kAbi = 2;
constexpr int kOrder = 4;  // highest order of derivatives

// One product in the chain rule: term += count * x_a * x_b * …, where x_a are streams.
struct Product {
    std::int64_t term;
    std::int64_t count;
    std::int64_t factors;
    std::int64_t factor[kOrder];  // the terms that are x_a, x_b, …
};

// Points come last in every array. A null pointer means absent or not requested.
template <class T>
struct Problem {
    std::int64_t features;       // in
    std::int64_t outputs;        // out
    std::int64_t points;         // n
    std::int64_t pieces;         // P, including the two outside the grid
    std::int64_t order;          // k
    std::int64_t bases;          // G+k
    std::int64_t streams;        // S, number of derivatives, 0 for values only
    std::int64_t highest;        // M, their highest order, up to kOrder
    std::int64_t terms;          // T, sum of their orders
    std::int64_t products;       // number of products in the chain rule
    std::int64_t stream_points;  // n, or 1 if streams are the same at all points
    std::int64_t threads;        // maximum number of threads
    std::int64_t of_order[kOrder + 1];  // number of streams of each order; orders rise

    // The basis, which depends only on the knots.
    const T* edges;                // (in, P-1)
    const T* origin;               // (in, P)
    const T* inverse_width;        // (in, P)
    const T* polynomials;          // (in, P, k+1, k+1)
    const std::int64_t* lowest;    // (P,), index of local basis function 0

    // Parameters.
    const T* weight;  // c (out, in, G+k)
    const T* scale;   // s (out, in)
    const T* base;    // r (out, in)
    const T* bias;    // b (out,)

    // Inputs.
    const T* x;       // (in, n)
    const T* stream;  // (S, in, n or 1)

    // The chain rule. A stream of order o has o consecutive terms, the factors of the first to the
    // o-th derivative of an edge. Its first term is the stream itself, the others are sums of
    // products of streams.
    const Product* product;  // those of a term come together

    // The piece of each point: written by the forward call, read by the backward call.
    std::int32_t* piece;  // (in, n)

    // Outputs of the forward call.
    T* y;         // (out, n)
    T* y_stream;  // (S, out, n)

    // Backward call: gradients with respect to the outputs (read) and to all inputs (written).
    // Without x_grad, stream_grad is null, too.
    const T* y_grad;
    const T* y_stream_grad;
    T* x_grad;
    T* stream_grad;  // (S, in, n)
    T* weight_grad;
    T* scale_grad;
    T* base_grad;
    T* bias_grad;
};
