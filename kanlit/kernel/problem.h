// What one call works on. kanlit/kernel/library.py describes the same struct to ctypes: whoever
// changes it here changes it there, and counts kAbi up in both.
#pragma once

#include <cstdint>

constexpr std::int64_t kAbi = 1;

// Points come last in every array. A null pointer stands for what is absent or not wanted.
template <class T>
struct Problem {
    std::int64_t features;       // in
    std::int64_t outputs;        // out
    std::int64_t points;         // n
    std::int64_t pieces;         // P, the two outside the grid with them
    std::int64_t order;          // k
    std::int64_t bases;          // G+k
    std::int64_t variables;      // D, 0 where values alone are wanted
    std::int64_t pairs;          // S
    std::int64_t first_points;   // n or 1: first is the same at all points
    std::int64_t second_points;  // n or 1
    std::int64_t threads;        // at most so many

    // The bases, from the knots alone.
    const T* edges;                // (in, P-1)
    const T* origin;               // (in, P)
    const T* inverse_width;        // (in, P)
    const T* polynomials;          // (in, P, k+1, k+1)
    const std::int64_t* lowest;    // (P,), the basis that local basis 0 is

    // Parameters.
    const T* weight;  // c (out, in, G+k)
    const T* scale;   // s (out, in)
    const T* base;    // r (out, in)
    const T* bias;    // b (out,)

    // Inputs.
    const T* x;                // (in, n)
    const T* first;            // (D, in, n or 1)
    const T* second;           // (S, in, n or 1)
    const std::int64_t* pair;  // (S, 2), numbers of variables

    // The piece of each point: the forward call writes it, the backward call reads it.
    std::int32_t* piece;  // (in, n)

    // Outputs of the forward call.
    T* y;         // (out, n)
    T* y_first;   // (D, out, n)
    T* y_second;  // (S, out, n)

    // The backward call: gradients at the outputs, and at all that went in. Without x_grad there
    // are none of first and second either.
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
