// Argument of a kernel call. kanlit/kernel/library.py describes the same struct to ctypes: change
// both together and increment kAbi in both.
#pragma once

#include <cstdint>

constexpr std::int64_t kAbi = 1;

// Points come last in every array. A null pointer means absent or not requested.
template <class T>
struct Problem {
    std::int64_t features;       // in
    std::int64_t outputs;        // out
    std::int64_t points;         // n
    std::int64_t pieces;         // P, including the two outside the grid
    std::int64_t order;          // k
    std::int64_t bases;          // G+k
    std::int64_t variables;      // D, 0 for values only
    std::int64_t pairs;          // S
    std::int64_t first_points;   // n, or 1 if first is the same at all points
    std::int64_t second_points;  // n or 1
    std::int64_t threads;        // maximum number of threads

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
    const T* x;                // (in, n)
    const T* first;            // (D, in, n or 1)
    const T* second;           // (S, in, n or 1)
    const std::int64_t* pair;  // (S, 2), indices of variables

    // The piece of each point: written by the forward call, read by the backward call.
    std::int32_t* piece;  // (in, n)

    // Outputs of the forward call.
    T* y;         // (out, n)
    T* y_first;   // (D, out, n)
    T* y_second;  // (S, out, n)

    // Backward call: gradients with respect to the outputs (read) and to all inputs (written).
    // Without x_grad, first_grad and second_grad are null, too.
    const T* y_grad;
    const T* y_first_grad;
    const T* y_second_grad;
    T* x_grad;
    T* first_grad;   // (D, in, n)
    T* second_grad;  // (S, in, n)
    T* weight_grad;
    T* scale_grad;
    T* base_grad;
    T* bias_grad;
};
