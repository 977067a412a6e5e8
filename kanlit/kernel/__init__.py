"""The functions on the edges of a KAN layer, compiled: optional, the same numbers, faster.

The C++ sources here are compiled when kanlit is installed, for as much of a processor's vector
width as there may be, if there is a compiler for it (GCC from 12, Clang). Where the kernel is not
built, with ``KANLIT_KERNEL=0`` in the environment, on other devices than the CPU and under
transforms of torch (``torch.compile``, export, ``torch.func``, tracing, forward-mode
differentiation, gradients of gradients) the same functions run in plain torch, as
:class:`kanlit.nn.edges.Edges`. Results differ by rounding alone; those of the kernel do not depend
on the number of threads.
"""

from kanlit.kernel.call import forward, kernel_available, sweep, takes

__all__ = ["forward", "kernel_available", "sweep", "takes"]
