// SIMD vectors and a logistic function that compilers can vectorize.
#pragma once

#include <cstdint>
#include <cstring>
#include <limits>

namespace kanlit {

template <class T, int W>
struct Lanes {
    typedef T Vector __attribute__((vector_size(sizeof(T) * W)));
};

template <class V, class T>
[[gnu::always_inline]] inline V load(const T* from) {
    V v;
    std::memcpy(&v, from, sizeof v);
    return v;
}

template <class V, class T>
[[gnu::always_inline]] inline void store(T* to, V v) {
    std::memcpy(to, &v, sizeof v);
}

// Sum of the lanes in a fixed order.
template <class T, int W>
[[gnu::always_inline]] inline T sum_of(typename Lanes<T, W>::Vector v) {
    if constexpr (W == 2) {
        return v[0] + v[1];
    } else if constexpr (W == 4) {
        return sum_of<T, 2>(__builtin_shufflevector(v, v, 0, 1) +
                            __builtin_shufflevector(v, v, 2, 3));
    } else if constexpr (W == 8) {
        return sum_of<T, 4>(__builtin_shufflevector(v, v, 0, 1, 2, 3) +
                            __builtin_shufflevector(v, v, 4, 5, 6, 7));
    } else {
        static_assert(W == 16);
        return sum_of<T, 8>(__builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
                            __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15));
    }
}

// Sums of the lanes of each of N vectors in memory: with N = W, lane i is the sum of vector i.
template <class T, int W, int N = W>
[[gnu::always_inline]] inline typename Lanes<T, W>::Vector sums_of(const T* from) {
    using V = typename Lanes<T, W>::Vector;
    if constexpr (N == 1) {
        return load<V>(from);
    } else {
        const V a = sums_of<T, W, N / 2>(from), b = sums_of<T, W, N / 2>(from + N / 2 * W);
        if constexpr (W == 2) {
            return __builtin_shufflevector(a, b, 0, 2) + __builtin_shufflevector(a, b, 1, 3);
        } else if constexpr (W == 4) {
            return __builtin_shufflevector(a, b, 0, 2, 4, 6) +
                   __builtin_shufflevector(a, b, 1, 3, 5, 7);
        } else if constexpr (W == 8) {
            return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14) +
                   __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15);
        } else {
            static_assert(W == 16);
            return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26,
                                           28, 30) +
                   __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27,
                                           29, 31);
        }
    }
}

template <class T>
struct Exponential;

template <>
struct Exponential<float> {
    using Bits = std::int32_t;
    static constexpr int degree = 7, mantissa = 23;
    static constexpr Bits offset = 127;
    static constexpr float limit = 87.0f;         // exp neither overflows nor loses digits
    static constexpr float rounding = 12582912.f;  // 1.5 · 2^23: adding it rounds to an integer
    static constexpr float high = 0.693359375f, low = -2.12194440e-4f;  // ln 2 in two parts
};

template <>
struct Exponential<double> {
    using Bits = std::int64_t;
    static constexpr int degree = 13, mantissa = 52;
    static constexpr Bits offset = 1023;
    static constexpr double limit = 708.0;
    static constexpr double rounding = 6755399441055744.0;  // 1.5 · 2^52
    static constexpr double high = 6.93147180369123816490e-01, low = 1.90821492927058770002e-10;
};

// 1 / (1 + exp(-x)), to a few units in the last place; 0 below -limit; NaN stays NaN.
template <class T>
[[gnu::always_inline]] inline T sigmoid(T x) {
    using E = Exponential<T>;
    T z = -x;
    z = z < -E::limit ? -E::limit : z;
    z = z > E::limit ? E::limit : z;
    const T shifted = z * T(1.44269504088896340736) + E::rounding;
    const T whole = shifted - E::rounding;
    const T rest = (z - whole * E::high) - whole * E::low;
    T factorial[E::degree + 1] = {1};
    for (int m = 1; m <= E::degree; ++m) factorial[m] = factorial[m - 1] / T(m);
    T power = factorial[E::degree];
    for (int m = E::degree - 1; m >= 0; --m) power = power * rest + factorial[m];
    typename E::Bits bits, zero;
    const T nothing = E::rounding;
    std::memcpy(&bits, &shifted, sizeof bits);
    std::memcpy(&zero, &nothing, sizeof zero);
    bits = (bits - zero + E::offset) << E::mantissa;
    T scale;
    std::memcpy(&scale, &bits, sizeof scale);
    const T result = T(1) / (T(1) + power * scale);
    return x < -E::limit ? T(0) : result;
}

}  // namespace kanlit
