"""A module whose network is the last of several, one for each window of time."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from kanlit.compat import original_module
from kanlit.modules.base import KANModule
from kanlit.nn import Windows

__all__ = ["WindowedModule"]

_EDGES = "window_edges"  # in a state


class WindowedModule(KANModule):
    """A KANModule that can divide time into windows, each with a network of its own.

    Only ``network``, that of the last window begun, is trained. The number of windows is part of
    the state: loading one adds or removes networks.

    Attributes:
        earlier: Networks of the earlier windows, frozen.
        window_edges: Ends of the windows begun ``(windows + 1,)``; None without windows.
    """

    window_edges: Tensor | None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.earlier = nn.ModuleList()
        self.register_buffer(_EDGES, None)
        self._last_ends: tuple[float, float] | None = None  # once begun in this process

    def begin_window(self, index: int, start: float, end: float) -> bool:
        """Begins a window, or changes its ends if it is the last one begun.

        A new window's network starts from the weights and grids of the last, of which a copy is
        frozen.

        Args:
            index: Number of windows before it.
            start: Its start, the end of the window before.
            end: Its end.

        Returns:
            Whether there is one more network than before.
        """
        is_new = index > len(self.earlier)
        if is_new:
            self._freeze_copy()
        known = next(self.network.parameters()).new_empty(0)
        if self.window_edges is not None:
            known = self.window_edges[:index]
        self.window_edges = torch.cat([known, known.new_tensor([start, end])])
        self._last_ends = start, end
        return is_new

    def leave_windows(self) -> None:
        """Removes the windows: ``network`` has all of the time."""
        self.earlier, self.window_edges, self._last_ends = nn.ModuleList(), None, None

    def setup(self, stage: str) -> None:
        super().setup(stage)
        if stage == "fit" and self.trainer.global_step == 0:
            self.leave_windows()

    def configure_model(self) -> None:
        is_start = self._start is not None
        super().configure_model()
        if is_start:  # a new run starts from the network of the last window
            self.leave_windows()

    def all_windows(self, column: int) -> Windows:
        """The networks of all windows as one.

        Args:
            column: Index of the time among the network's inputs.
        """
        networks: Any = [*self.earlier, self.network]
        return Windows(networks, self._edges(), column)

    def window(self, k: int, column: int) -> Windows:
        """The network of window k alone, counted from 0, or from -1 for the last."""
        networks: Any = [*self.earlier, self.network]
        k %= len(networks)
        return Windows([networks[k]], self._edges()[k : k + 2], column)

    def _edges(self) -> Tensor:
        assert self.window_edges is not None
        return self.window_edges

    def _freeze_copy(self) -> None:
        self.earlier.append(copy.deepcopy(original_module(self.network)).requires_grad_(False))

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        edges = state_dict.get(prefix + _EDGES)
        if not isinstance(edges, Tensor) or edges.ndim != 1 or len(edges) < 2:
            self.leave_windows()
        else:
            self.window_edges = next(self.network.parameters()).new_empty(len(edges))
            del self.earlier[len(edges) - 2 :]
            while len(self.earlier) < len(edges) - 2:
                self._freeze_copy()
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
