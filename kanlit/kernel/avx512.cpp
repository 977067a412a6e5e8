// The kernel for x86 processors with AVX-512.
#include "kernel.h"
