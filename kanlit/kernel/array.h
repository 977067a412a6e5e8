// Memory that is freed at the end of its scope.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace kanlit {

// An array aligned to cache lines and padded to whole ones.
template <class T>
class Array {
   public:
    explicit Array(std::int64_t count) {
        if (count <= 0) return;
        const std::size_t bytes = (count * sizeof(T) + 63) / 64 * 64;
        data_ = static_cast<T*>(std::aligned_alloc(64, bytes));
        if (data_ == nullptr) throw std::bad_alloc();
    }
    ~Array() { std::free(data_); }
    Array(const Array&) = delete;
    Array& operator=(const Array&) = delete;
    T* get() const { return data_; }

   private:
    T* data_ = nullptr;
};

}  // namespace kanlit
