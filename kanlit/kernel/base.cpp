// The kernel for every processor of the platform.
#include "kernel.h"
