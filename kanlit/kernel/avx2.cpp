// The kernel for x86 processors with AVX2 and FMA.
#include "kernel.h"
