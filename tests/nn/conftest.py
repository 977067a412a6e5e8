"""What the tests of layers and of networks share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kanlit import kernel
from kanlit.nn import KANLayer


@pytest.fixture
def force_path(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Has every layer take one of three ways to the same numbers: narrow, wide or kernel."""

    def force(path: str) -> None:
        if path == "kernel":
            if not kernel.kernel_available():
                pytest.skip("the compiled kernel is not built, or switched off")
            return
        monkeypatch.setattr(kernel, "supports", lambda *tensors: False)
        monkeypatch.setattr(KANLayer, "_dense", lambda self, derivatives=False: path == "wide")

    return force
