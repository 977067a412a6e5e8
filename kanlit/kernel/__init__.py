"""Optional compiled CPU kernel for the edge functions of a KAN layer.

The C++ sources are compiled when kanlit is installed, once per vector width, if a compiler is
available (GCC 12 or newer, Clang). Plain torch (:class:`kanlit.nn.edges.Edges`) computes the same
functions if the kernel is not built, with ``KANLIT_KERNEL=0`` in the environment, on other devices
and under torch transforms (``torch.compile``, export, ``torch.func``, tracing, forward-mode
differentiation, gradients of gradients). Results differ only by rounding; those of the kernel do
not depend on the number of threads.
"""

from kanlit.kernel.call import HIGHEST_ORDER, forward, kernel_available, supports, sweep

__all__ = ["HIGHEST_ORDER", "forward", "kernel_available", "supports", "sweep"]
