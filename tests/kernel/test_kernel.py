"""The compiled kernel gives what plain torch gives, or leaves the work to it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad

from kanlit import kernel
from kanlit.chain_rule import Along, closure
from kanlit.kernel import call, library
from kanlit.kernel.threads import torch_on_one_thread
from kanlit.nn import KAN, KANLayer
from kanlit.splines import Outside

if not kernel.kernel_available():
    pytest.skip("the compiled kernel is not built, or switched off", allow_module_level=True)

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-13}
ORDERS = [[(0,)], [(0, 0), (0, 1), (1, 1)], [(0, 0, 0), (1,)], [(0, 0, 0, 0), (0, 0, 1, 1)]]

each_type = pytest.mark.parametrize("dtype", TOLERANCE, ids=["float32", "float64"])
each_outside = pytest.mark.parametrize("outside", ["linear", "zero"])


def builds() -> dict[str, Any]:
    """Every library that this processor can run: the kernel's own code differs between them."""
    level = torch.backends.cpu.get_cpu_capability()
    folder, loaded = Path(library.__file__).parent, {}
    for name in library._BUILDS.get(level, ("_base",)):
        for path in folder.glob(f"{name}.*"):
            if (opened := library._opened(path)) is not None:
                loaded[name] = opened
    return loaded


each_build = pytest.mark.parametrize("build", builds().values(), ids=builds().keys())


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kernel's calls while the test runs."""
    calls: list[str] = []
    run = call._run

    def counting(name: str, *arguments: Any, **named: Any) -> None:
        calls.append(name)
        run(name, *arguments, **named)

    monkeypatch.setattr(call, "_run", counting)
    return calls


def make_layer(
    inputs: int,
    outputs: int,
    grid_size: int = 4,
    degree: int = 3,
    outside: Outside = "linear",
    dtype: torch.dtype = torch.float64,
    crowded: bool = False,
) -> KANLayer:
    """A layer with uneven knots, in [-1, 1], and no parameter at a special value."""
    layer = KANLayer(
        inputs, outputs, grid_size=grid_size, spline_order=degree, outside=outside, dtype=dtype
    )
    gaps = 0.3 + torch.rand(inputs, grid_size, dtype=torch.float64)
    if crowded:  # all but a few breakpoints within a hundredth of the grid
        gaps[:, 3:] *= 0.02 / grid_size
    ends = torch.ones(inputs, 1, dtype=torch.float64)
    inner = 2 * (gaps.cumsum(1) / gaps.sum(1, keepdim=True))[:, :-1] - 1
    knots = layer.knots_for(torch.cat([-ends, inner, ends], dim=1))
    layer.set_grid(knots, torch.randn(outputs, inputs, grid_size + degree, dtype=dtype))
    with torch.no_grad():
        for parameter in (layer.base_weight, layer.edge_scale, layer.bias):
            parameter.normal_()
    return layer


def points(layer: KANLayer, count: int) -> Tensor:
    """``(n, in)``: on all breakpoints, inside, outside and far outside, in another order each."""
    columns = []
    for edges in layer.breakpoints:
        inside = 2.4 * torch.rand(count, dtype=edges.dtype) - 1.2
        column = torch.cat([edges, inside, edges.new_tensor([-30.0, 25.0, -1e3, 1e3])])
        columns.append(column[torch.randperm(len(column))])
    return torch.stack(columns, dim=1)


def everything(
    layer: KANLayer, x: Tensor, wanted: Sequence[Along] = ((0, 0), (0, 1), (1, 1))
) -> dict[str, Tensor]:
    """Outputs and all gradients, of the layer and of its sweep."""
    parameters = dict(layer.named_parameters())
    generator = torch.Generator().manual_seed(1)

    def randn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=x.dtype)

    alongs = closure(wanted)[1:]
    results: dict[str, Tensor] = {}

    def record(kind: str, ys: tuple[Tensor, ...], inputs: dict[str, Tensor]) -> None:
        loss = sum(((y * randn(*y.shape)).sum() for y in ys), x.new_zeros(()))
        names = {**parameters, **inputs}
        grads = torch.autograd.grad(loss, list(names.values()))
        results.update({f"{kind} {i}": y.detach() for i, y in enumerate(ys)})
        results.update({f"{kind} by {name}": g for name, g in zip(names, grads, strict=True)})

    free = x.clone().requires_grad_()
    record("layer", (layer(free),), {"x": free})
    value = x.T.contiguous().requires_grad_()
    streams = randn(len(alongs), *x.T.shape).requires_grad_()
    record("sweep", layer.sweep(value, streams, alongs), {"x": value, "streams": streams})
    return results


def in_torch(compute: Callable[[], Any]) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "supports", lambda *tensors: False)
        return compute()


def assert_same(ours: dict[str, Tensor], theirs: dict[str, Tensor], tolerance: float) -> None:
    for name, expected in theirs.items():
        assert ours[name].shape == expected.shape, name
        error = (ours[name] - expected).norm() / (expected.norm() + 1e-30)
        assert error < tolerance, f"{name}: {error:.1e}"


# -- the same numbers ---------------------------------------------------------------------------


@each_build
@each_type
@each_outside
@pytest.mark.parametrize("degree", [1, 2, 3, 4, 5])
def test_values_and_gradients_are_those_of_torch(
    degree: int,
    outside: Outside,
    dtype: torch.dtype,
    build: Any,
    monkeypatch: pytest.MonkeyPatch,
    counted: list[str],
) -> None:
    monkeypatch.setattr(call, "load", lambda: build)
    for inputs, outputs in ((1, 1), (3, 1), (2, 3), (3, 6), (2, 37)):
        layer = make_layer(inputs, outputs, 5, degree, outside, dtype)
        x = points(layer, 150)
        ours = everything(layer, x)
        assert counted == ["forward", "backward"] * 2
        theirs = in_torch(partial(everything, layer, x))
        assert_same(ours, theirs, TOLERANCE[dtype])
        counted.clear()


@each_build
@pytest.mark.parametrize("wanted", ORDERS, ids=["first", "second", "third", "fourth"])
def test_sweep_of_any_order_is_that_of_torch(
    wanted: list[Along], build: Any, monkeypatch: pytest.MonkeyPatch, counted: list[str]
) -> None:
    monkeypatch.setattr(call, "load", lambda: build)
    for inputs, outputs, degree in ((1, 1, 5), (2, 1, 3), (2, 3, 5), (3, 6, 4), (2, 10, 5)):
        layer = make_layer(inputs, outputs, 5, degree)
        x = points(layer, 150)
        ours = everything(layer, x, wanted)
        assert counted == ["forward", "backward"] * 2
        theirs = in_torch(partial(everything, layer, x, wanted))
        assert_same(ours, theirs, 1e-12)
        counted.clear()


def test_orders_above_those_of_the_kernel_are_left_to_torch(counted: list[str]) -> None:
    alongs = closure([(0,) * 5])[1:]
    make_layer(1, 1, degree=5).sweep(
        torch.rand(1, 3).double(), torch.rand(5, 1, 3).double(), alongs
    )
    assert not counted


@pytest.mark.parametrize("outputs", [1, 5])
@pytest.mark.parametrize("wanted", [[(5,)], [(0, 1), (2,)], [(0, 1), (0, 3), (3, 3), (1, 3)]])
def test_sweep_takes_any_multi_indices(wanted: list[Along], outputs: int) -> None:
    layer = make_layer(2, outputs)
    x = points(layer, 40).T.contiguous().requires_grad_()
    alongs = closure(wanted)[1:]
    streams = torch.randn(len(alongs), *x.shape, dtype=torch.float64, requires_grad=True)

    def run() -> dict[str, Tensor]:
        ys = layer.sweep(x, streams, alongs)
        grads = torch.autograd.grad(sum(y.square().sum() for y in ys), (x, streams))  # type: ignore[arg-type]
        return {str(i): t.detach() for i, t in enumerate((*ys, *grads))}

    assert_same(run(), in_torch(run), 1e-13)


# A polyline has another slope on each piece: a point in the wrong one shows. Few edges, many, and
# crowded ones are searched in different ways, and so are few points.
@each_build
@each_type
@pytest.mark.parametrize(
    ("grid_size", "crowded", "count"),
    [(3, False, 60), (16, False, 900), (90, False, 900), (90, True, 900), (90, False, 5)],
    ids=["few", "more", "many", "crowded", "many for a few points"],
)
def test_every_point_finds_its_piece(
    grid_size: int,
    crowded: bool,
    count: int,
    dtype: torch.dtype,
    build: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(call, "load", lambda: build)
    layer = make_layer(2, 1, grid_size, degree=1, dtype=dtype, crowded=crowded)
    edges = layer.breakpoints
    below, above = (torch.nextafter(edges, edges + step) for step in (-1, 1))
    x = torch.cat([points(layer, count).T, below, above], dim=1)
    slope = torch.ones(1, *x.shape, dtype=dtype)

    def run() -> dict[str, Tensor]:
        with torch.no_grad():
            return {"slope": layer.sweep(x, slope, [(0,)])[1]}

    assert_same(run(), in_torch(run), TOLERANCE[dtype])


@each_type
@pytest.mark.parametrize("outputs", [1, 5])
def test_points_that_are_no_numbers_give_what_they_give_in_torch(
    outputs: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    for grid_size in (4, 40):
        layer = make_layer(2, outputs, grid_size, dtype=dtype)
        x = points(layer, 400)
        x[3, 0] = x[5, 1] = torch.nan
        x[7, 0], x[9, 1] = torch.inf, -torch.inf
        ours = everything(layer, x)
        with monkeypatch.context() as narrow:  # in polynomial pieces, as the kernel has it
            narrow.setattr(KANLayer, "_dense", lambda self, derivatives=False: False)
            theirs = in_torch(partial(everything, layer, x))
        # A product of all bases makes inf - inf of an infinite point: no number either.
        with monkeypatch.context() as wide:
            wide.setattr(KANLayer, "_dense", lambda self, derivatives=False: True)
            product = in_torch(partial(everything, layer, x))["layer 0"]
        assert torch.equal(ours["layer 0"].isfinite(), product.isfinite())
        for name in ("layer 0", "layer by x", "layer by coefficients", "sweep 0"):
            assert torch.equal(ours[name].isnan(), theirs[name].isnan()), name
        finite = torch.isfinite(x).all(1)
        for name in ("layer 0", "layer by x"):
            close = ours[name][finite] - theirs[name][finite]
            assert close.norm() < TOLERANCE[dtype] * theirs[name][finite].norm()


def test_silu_is_right_for_every_size_of_its_argument() -> None:
    for dtype, bound in ((torch.float32, 3e-7), (torch.float64, 1e-15)):
        layer = KANLayer(1, 1, dtype=dtype)
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.zero_()
            layer.base_weight.fill_(1)
        size = torch.logspace(-12, 30, 2000, dtype=torch.float64).to(dtype)
        x = torch.cat([size, -size, torch.linspace(-120, 120, 4001, dtype=dtype)]).unsqueeze(1)
        with torch.no_grad():
            y = layer(x).double()
        expected = x.double() * torch.sigmoid(x.double())
        assert ((y - expected).abs() <= bound * expected.abs() + 1e-35).all()


# -- threads ------------------------------------------------------------------------------------


@each_type
@pytest.mark.parametrize(
    ("inputs", "outputs", "grid_size"), [(1, 3, 4), (2, 10, 3), (10, 1, 30), (3, 160, 300)]
)
def test_results_do_not_depend_on_the_number_of_threads(
    inputs: int, outputs: int, grid_size: int, dtype: torch.dtype
) -> None:
    layer = make_layer(inputs, outputs, grid_size, dtype=dtype)
    x = points(layer, 40_000 if outputs < 100 else 900)
    results, before = [], torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(everything(layer, x))
    finally:
        torch.set_num_threads(before)
    for name, one in results[0].items():
        assert all(torch.equal(one, more[name]) for more in results[1:]), name


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="counts threads as Linux does")
def test_a_forked_process_starts_threads_of_its_own_for_large_calls_alone() -> None:
    layer, before = make_layer(2, 10), torch.get_num_threads()
    small, large = points(layer, 4000), points(layer, 20_000)
    expected = layer(large).detach()  # on one thread

    def own_threads(x: Tensor) -> int:
        with torch.no_grad(), torch_on_one_thread():  # OpenMP does not survive a fork
            y = layer(x)
            assert x is small or torch.equal(y, expected)
        return len(os.listdir("/proc/self/task")) - 1

    try:
        torch.set_num_threads(2)
        own_threads(large)  # the parent's thread is not the child's
        child = os.fork()
        if child == 0:
            signal.alarm(20)  # not to wait for ever
            counts = [own_threads(x) for x in (small, large, large)]
            os._exit(0 if counts == [0, 1, 1] else 1)
        assert os.waitpid(child, 0)[1] == 0
    finally:
        torch.set_num_threads(before)


# -- gradients ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("outputs", [1, 2])
def test_second_gradients_of_a_sweep_pass_gradgradcheck(outputs: int, dense: bool) -> None:
    layer = make_layer(2, outputs, 2)
    x = (1.8 * torch.rand(2, 3, dtype=torch.float64) - 0.9).requires_grad_()
    alongs = closure([(0, 0), (0, 1)])[1:]
    streams = torch.randn(len(alongs), 2, 3, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in layer.named_parameters()]

    def run(x: Tensor, streams: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
        edges = layer._edges()._replace(**dict(zip(names, values, strict=True)))
        assert kernel.supports(edges, x, streams)
        return kernel.sweep(edges, x, streams, alongs, dense)

    inputs = (x, streams, *layer.parameters())
    assert torch.autograd.gradcheck(run, inputs)
    assert torch.autograd.gradgradcheck(run, inputs)


def test_second_gradients_hold_where_inputs_depend_on_the_same_parameters() -> None:
    layer = make_layer(2, 2, 2)
    x = 1.8 * torch.rand(3, 2, dtype=torch.float64) - 0.9
    names = [name for name, _ in layer.named_parameters()]

    def run(*values: Tensor) -> Tensor:
        edges = layer._edges()._replace(**dict(zip(names, values, strict=True)))
        hidden = kernel.forward(edges, x.T.contiguous(), dense=False).tanh()
        return kernel.forward(edges, 0.3 * hidden, dense=False)

    assert torch.autograd.gradgradcheck(run, tuple(layer.parameters()))


def test_a_penalty_on_gradients_has_the_gradients_of_torch() -> None:
    network = KAN([2, 4, 1], dtype=torch.float64)
    x = (2 * torch.rand(30, 2, dtype=torch.float64) - 1).requires_grad_()

    def run() -> dict[str, Tensor]:
        (slope,) = torch.autograd.grad(network(x).sum(), x, create_graph=True)
        grads = torch.autograd.grad(slope.square().sum(), list(network.parameters())[:-1])
        return {str(i): grad for i, grad in enumerate(grads)}

    assert_same(run(), in_torch(run), 1e-12)


@pytest.mark.parametrize("free", ["coefficients", "base_weight", "edge_scale", "bias", "x"])
def test_what_is_frozen_gets_no_gradient(free: str) -> None:
    layer = make_layer(2, 3)
    x = points(layer, 20)
    expected = in_torch(lambda: everything(layer, x))[f"layer by {free}"]
    for parameter in layer.parameters():
        parameter.requires_grad_(False)
    tensors = {**dict(layer.named_parameters()), "x": x}
    tensors[free].requires_grad_()
    generator = torch.Generator().manual_seed(1)
    (layer(x) * torch.randn(len(x), 3, generator=generator, dtype=x.dtype)).sum().backward()
    for name, tensor in tensors.items():
        if name == free:
            assert tensor.grad is not None
            assert (tensor.grad - expected).norm() < 1e-13 * expected.norm()
        else:
            assert tensor.grad is None


def test_no_points_give_gradients_of_zero() -> None:
    for outputs in (1, 3):
        layer = make_layer(2, outputs)
        layer(torch.empty(0, 2, dtype=torch.float64)).sum().backward()
        for parameter in layer.parameters():
            assert parameter.grad is not None
            assert (parameter.grad == 0).all()


# -- what the kernel leaves to torch ------------------------------------------------------------


def transforms() -> dict[str, Callable[[KANLayer, Tensor], Tensor]]:
    def vmap(layer: KANLayer, x: Tensor) -> Tensor:
        return torch.func.vmap(layer)(x)

    def jacrev(layer: KANLayer, x: Tensor) -> Tensor:
        return torch.func.jacrev(layer)(x)

    def jacfwd(layer: KANLayer, x: Tensor) -> Tensor:
        return torch.func.jacfwd(layer)(x)

    def hessian(layer: KANLayer, x: Tensor) -> Tensor:
        return torch.func.hessian(lambda x: layer(x).sum())(x)

    def forward_mode(layer: KANLayer, x: Tensor) -> Tensor:
        with forward_ad.dual_level():
            tangent = forward_ad.unpack_dual(layer(forward_ad.make_dual(x, x.cos()))).tangent
            assert tangent is not None
            return tangent

    def traced(layer: KANLayer, x: Tensor) -> Tensor:
        return torch.jit.trace(layer, (x,))(x)

    def exported(layer: KANLayer, x: Tensor) -> Tensor:
        return torch.export.export(layer, (x,)).module()(x)

    def batched_gradients(layer: KANLayer, x: Tensor) -> Tensor:
        return torch.autograd.functional.jacobian(layer, x, vectorize=True)

    return {f.__name__: f for f in list(locals().values()) if callable(f)}


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning", "ignore:torch.searchsorted"
)
@pytest.mark.parametrize("transform", transforms().values(), ids=transforms().keys())
def test_transforms_of_torch_see_plain_torch(transform: Any, counted: list[str]) -> None:
    layer = make_layer(2, 3)
    x = points(layer, 5)
    ours = transform(layer, x)
    # Gradients of a batch of outputs are asked after an ordinary forward call.
    assert counted in ([], ["forward"])
    torch.testing.assert_close(ours, in_torch(lambda: transform(layer, x)), rtol=1e-12, atol=1e-12)


def test_other_types_and_shapes_get_the_errors_of_torch(counted: list[str]) -> None:
    layer = make_layer(2, 3)
    with pytest.raises(RuntimeError, match="dtype"):
        layer(torch.rand(4, 2))
    with pytest.raises(RuntimeError, match="shape"):
        layer(torch.rand(5, 3, dtype=torch.float64))
    x = torch.rand(2, 4, dtype=torch.float64)
    for streams in (x.new_ones(1, 3, 4), x.new_ones(1, 2, 3)):
        with pytest.raises(RuntimeError, match=r"size|bound"):
            layer.sweep(x, streams, [(0,)])
    with pytest.raises(RuntimeError, match=r"shape \(1, 4\), but the layer takes \(2, 4\)"):
        layer.sweep(x[:1], x[None], [(0,)])
    with pytest.raises(ValueError, match="2 multi-indices, but 1 streams"):
        layer.sweep(x, x[None], [(0,), (0, 0)])
    for alongs in ([], [(0, 1)], [(0, 0), (0,)], [(), (0,)]):
        with pytest.raises(ValueError, match="of lower order"):
            layer.sweep(x, x[None].expand(len(alongs), -1, -1), alongs)
    assert not counted


def test_coefficients_of_another_grid_are_refused() -> None:
    layer = make_layer(2, 3)
    edges = layer._edges()._replace(coefficients=torch.zeros(3, 2, 5, dtype=torch.float64))
    with pytest.raises(RuntimeError, match="do not match its knots"):
        kernel.forward(edges, torch.rand(2, 4, dtype=torch.float64), dense=False)


# -- whether it is there ------------------------------------------------------------------------


@pytest.fixture
def fresh() -> Iterator[None]:
    library.load.cache_clear()
    yield
    library.load.cache_clear()


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(("value", "available"), [("0", False), ("1", True)])
def test_environment_switches_it_off(
    value: str, available: bool, monkeypatch: pytest.MonkeyPatch, counted: list[str]
) -> None:
    monkeypatch.setenv("KANLIT_KERNEL", value)
    layer = make_layer(2, 3)
    assert layer(torch.rand(4, 2, dtype=layer.knots.dtype)).shape == (4, 3)
    assert kernel.kernel_available() == available
    assert bool(counted) == available


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("fault", ["missing", "not a library", "another ABI", "another struct"])
def test_without_a_fitting_library_layers_run_in_torch(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counted: list[str]
) -> None:
    layer = make_layer(2, 3)
    x = points(layer, 20)
    expected = in_torch(lambda: layer(x))
    if fault == "another ABI":
        monkeypatch.setattr(library, "_ABI", library._ABI + 1)
    elif fault == "another struct":
        monkeypatch.setattr(library, "Problem", type("Problem", (library.ctypes.Structure,), {}))
    else:
        monkeypatch.setattr(library, "__file__", str(tmp_path / "library.py"))
        if fault == "not a library":
            for built in Path(call.__file__).parent.glob("_*.so"):
                (tmp_path / built.name).write_text("no library")
    assert not kernel.kernel_available()
    assert torch.equal(layer(x), expected)
    assert not counted
