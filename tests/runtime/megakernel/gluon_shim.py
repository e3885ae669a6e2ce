# pyright: basic
"""Runs the source of the Gluon kernel on the CPU: its functions with a Gluon of NumPy.

Every partition of every CTA is a thread; one runs at a time, and who goes on at a barrier is drawn.
What the hardware may do late is done late: copies of TMA are drawn as well and read their source
when they happen, products when their wait demands them. Layouts and machine code are not held.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.runtime.megakernel.gluon_machine import (
    HERE,
    Bars,
    Box,
    FakeBarriers,
    FakeTma,
    Machine,
    Pool,
    Shared,
    Worker,
    here,
    raw,
)

INTEGERS = {"int32": np.int64, "int64": np.int64, "uint8": np.uint8, "int1": np.bool_}


class Kind:
    """Of a tensor: its layout is not held."""

    layout = None


class T:
    """A tensor."""

    type = Kind

    def __init__(self, v: Any) -> None:
        self.v = np.asarray(v)

    @property
    def shape(self) -> Any:
        return self.v.shape

    def to(self, dtype: Any, bitcast: bool = False) -> T:
        assert not bitcast
        name = getattr(dtype, "name", str(dtype))
        if name in INTEGERS:
            return T(
                np.trunc(self.v).astype(INTEGERS[name])
                if self.v.dtype.kind == "f"
                else self.v.astype(INTEGERS[name])
            )
        return T(self.v.astype(np.float32))

    def reshape(self, shape: Any) -> T:
        return T(self.v.reshape(tuple(int(raw(n)) for n in shape)))

    def permute(self, order: Any) -> T:
        return T(self.v.transpose(order))

    def __getitem__(self, key: Any) -> T:
        return T(self.v[key])

    def __bool__(self) -> bool:
        assert self.v.size == 1
        return bool(self.v)

    def __index__(self) -> int:
        assert self.v.size == 1
        return int(self.v)

    __int__ = __index__

    def __neg__(self) -> T:
        return T(-self.v)


def _divide(a: Any, b: Any) -> Any:
    a, b = np.asarray(a), np.asarray(b)
    return np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))


def _rest(a: Any, b: Any) -> Any:
    return a - _divide(a, b) * b


def _true(a: Any, b: Any) -> Any:
    return np.asarray(a, np.float32) / np.asarray(b, np.float32)


def _float(f: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Numbers of Python do not widen."""

    def apply(a: Any, b: Any) -> Any:
        out = np.asarray(f(a, b))
        return out.astype(np.float32) if out.dtype == np.float64 else out

    return apply


OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "add": _float(np.add), "sub": _float(np.subtract), "mul": _float(np.multiply),
    "truediv": _true, "floordiv": _divide, "mod": _rest, "and": np.bitwise_and,
    "or": np.bitwise_or, "xor": np.bitwise_xor, "lshift": np.left_shift,
    "rshift": np.right_shift, "lt": np.less, "le": np.less_equal, "gt": np.greater,
    "ge": np.greater_equal, "eq": np.equal, "ne": np.not_equal,
}  # fmt: skip


def _operator(f: Callable[[Any, Any], Any], swapped: bool) -> Callable[[T, Any], Any]:
    def apply(self: T, other: Any) -> Any:
        if isinstance(other, Pointer):
            return NotImplemented
        a, b = self.v, raw(other)
        if self.v.dtype == np.uint8:
            a = a.astype(np.int64)
        return T(f(b, a) if swapped else f(a, b))

    return apply


for _name, _f in OPERATORS.items():
    setattr(T, f"__{_name}__", _operator(_f, False))
    if _name not in ("lt", "le", "gt", "ge", "eq", "ne"):
        setattr(T, f"__r{_name}__", _operator(_f, True))


class Pointer:
    """Into a flat array; `dtype.element_ty` as Triton has it."""

    def __init__(self, base: np.ndarray, offset: Any = 0, pool: Pool | None = None) -> None:
        self.base, self.offset, self.pool = base, offset, pool
        self.dtype = types.SimpleNamespace(element_ty="float32")

    def __add__(self, other: Any) -> Pointer:
        return Pointer(self.base, self.offset + raw(other), self.pool)

    __radd__ = __add__

    def places(self, mask: Any, shape: Any = None) -> np.ndarray:
        offset = np.asarray(self.offset)
        if mask is not None:
            offset = np.where(mask, offset, 0)
        assert offset.min() >= 0 and offset.max() < self.base.size, (offset.min(), offset.max())
        return offset


class Product:
    """A product in flight."""

    def __init__(self, a: Any, b: Shared, acc: Any, use_acc: Any) -> None:
        self.a, self.b, self.acc, self.use = a, b, acc, bool(raw(use_acc))
        self.done: np.ndarray | None = None
        columns = b.shape[0] if b.turned else b.shape[1]
        self.shape = (a.shape[0], columns)
        self.type = Kind

    def finish(self) -> None:
        if self.done is None:
            a = self.a.read() if isinstance(self.a, Shared) else raw(self.a)
            start: Any = 0.0
            if self.use:
                start = self.acc.done if isinstance(self.acc, Product) else raw(self.acc)
            self.done = (np.asarray(a, np.float32) @ self.b.read() + start).astype(np.float32)


def warpgroup_mma(a: Any, b: Any, acc: Any, use_acc: Any = True, is_async: bool = True) -> Product:
    made = Product(a, b, acc, use_acc)
    here().products.append(made)
    return made


def warpgroup_mma_wait(num_outstanding: int, deps: Any) -> Any:
    mine = here().products
    while len(mine) > num_outstanding:
        mine.pop(0).finish()
    here().pause()
    out = [T(x.done) if isinstance(x, Product) and x.done is not None else x for x in deps]
    return out[0] if len(out) == 1 else tuple(out)


class FakeGluon:
    """`gl`."""

    int32, int64, uint8, float32, bfloat16 = "int32", "int64", "uint8", "float32", "bfloat16"
    constexpr = object
    static_range = staticmethod(lambda *a: range(*(int(raw(x)) for x in a)))
    BlockedLayout = SliceLayout = NVMMASharedLayout = DotOperandLayout = staticmethod(
        lambda *a, **k: None
    )
    NVMMADistributedLayout = BlockedLayout
    exp2 = staticmethod(lambda x: T(np.exp2(raw(x)).astype(np.float32)))
    rsqrt = staticmethod(lambda x: T((1 / np.sqrt(raw(x))).astype(np.float32)))
    where = staticmethod(
        lambda c, a, b: T(_float(lambda x, y: np.where(raw(c), x, y))(raw(a), raw(b)))
    )
    minimum = staticmethod(lambda a, b: T(_float(np.minimum)(raw(a), raw(b))))
    maximum = staticmethod(lambda a, b: T(_float(np.maximum)(raw(a), raw(b))))
    sum = staticmethod(
        lambda x, axis: T(
            raw(x).sum(axis, dtype=np.float32 if raw(x).dtype.kind == "f" else np.int64)
        )
    )
    max = staticmethod(lambda x, axis: T(raw(x).max(axis)))
    min = staticmethod(lambda x, axis: T(raw(x).min(axis)))
    expand_dims = staticmethod(lambda x, axis: T(np.expand_dims(raw(x), axis)))
    split = staticmethod(lambda x: (T(raw(x)[..., 0]), T(raw(x)[..., 1])))
    join = staticmethod(lambda a, b: T(np.stack((raw(a), raw(b)), -1)))
    convert_layout = staticmethod(lambda x, layout, assert_trivial=False: x)
    to_tensor = staticmethod(lambda x: T(raw(x)))
    thread_barrier = staticmethod(lambda: None)

    @staticmethod
    def arange(start: int, end: int, layout: Any = None) -> T:
        return T(np.arange(int(raw(start)), int(raw(end))))

    @staticmethod
    def zeros(shape: Any, dtype: Any, layout: Any = None) -> T:
        return T(np.zeros(tuple(int(raw(n)) for n in shape), np.float32))

    @staticmethod
    def full(shape: Any, value: Any, dtype: Any, layout: Any = None) -> T:
        return T(np.full(tuple(int(raw(n)) for n in shape), raw(value), np.float32))

    @staticmethod
    def multiple_of(x: T, n: Any) -> T:
        assert (raw(x) % raw(n) == 0).all(), (raw(x), raw(n))
        return x

    @staticmethod
    def load(at: Pointer, mask: Any = None, other: Any = None, cache_modifier: str = "") -> T:
        mask = None if mask is None else raw(mask)
        value = at.base[at.places(mask)]
        if mask is not None:
            value = np.where(mask, value, np.asarray(raw(other)).astype(value.dtype))
        return T(value.astype(np.int64) if value.dtype == np.int32 else value)

    @staticmethod
    def store(at: Pointer, value: Any, mask: Any = None) -> None:
        offset = np.asarray(at.offset)
        mask = (
            np.ones(offset.shape, bool)
            if mask is None
            else np.broadcast_to(raw(mask), offset.shape)
        )
        places = offset[mask]
        if places.size:
            assert places.min() >= 0 and places.max() < at.base.size
            at.base[places] = np.broadcast_to(raw(value), offset.shape)[mask]
            if at.pool is not None:
                at.pool.note(at.base, places)

    @staticmethod
    def atomic_add(at: Pointer, value: int, sem: str, scope: str) -> None:
        assert (sem, scope) == ("release", "gpu")
        at.base[int(at.offset)] += value
        here().pause()

    @staticmethod
    def atomic_min(at: Pointer, value: Any) -> None:
        at.base[int(at.offset)] = min(int(at.base[int(at.offset)]), int(raw(value)))

    @staticmethod
    def allocate_shared_memory(dtype: Any, shape: Any, layout: Any) -> Any:
        shape = tuple(int(raw(n)) for n in shape)
        if dtype == "int64":
            return Bars(shape[0])
        return Shared(np.full(int(np.prod(shape)), np.nan, np.float32), 0, shape)

    @staticmethod
    def warp_specialize(parts: Any, warps: Any, registers: Any) -> None:
        HERE.parts = parts

    @staticmethod
    def program_id(axis: int) -> int:
        return HERE.cta


def polled(at: Pointer, want: T, limit: T, light: Any = 0) -> T:
    """Stands in for the function of that name."""
    places, wanted = np.asarray(at.offset), raw(want)

    def seen() -> bool:
        return bool((at.base[places] >= wanted).all())

    if int(np.max(raw(limit))) > 0:
        here().pause(seen, polls=True)
    return T(np.full(32, int(seen())))


def waited(at: Pointer, want: T, limit: T) -> T:
    """Stands in for the function of that name."""
    return T(raw(polled(at, want, limit))[0])


def settle(light: Any) -> None:
    """Stands in for the function of that name."""
    here().pause()
    for _, write in here().stores:
        write()
    here().stores.clear()


def fence_proxies() -> None:
    """Stands in for the function of that name."""
    for pool, places in here().stored:
        pool.unfenced[places] = False
    here().stored.clear()


FAKES: dict[str, Any] = {
    "gl": FakeGluon, "mbarrier": FakeBarriers, "tma": FakeTma, "warpgroup_mma": warpgroup_mma,
    "warpgroup_mma_wait": warpgroup_mma_wait, "fence_async_shared": lambda: None,
    "polled": polled, "waited": waited, "settle": settle, "fence_proxies": fence_proxies,
    "stamp": lambda *a: None, "loiter": lambda *a: None,
}  # fmt: skip


def python_of(kernel: Any) -> Callable[..., None]:
    """A kernel, and all that it calls, as plain functions."""
    spaces: dict[str, dict[str, Any]] = {}

    def plain(value: Any) -> Any:
        inner = getattr(value, "fn", None) or getattr(value, "__wrapped__", None)
        if isinstance(inner, types.FunctionType):
            if inner.__name__ in FAKES:
                return FAKES[inner.__name__]
            return types.FunctionType(
                inner.__code__, space(inner), inner.__name__, inner.__defaults__
            )
        return value.value if type(value).__name__ == "constexpr" else value

    def space(function: types.FunctionType) -> dict[str, Any]:
        source = function.__globals__
        name = source["__name__"]
        if name not in spaces:
            own = spaces[name] = dict(source)
            for key, value in source.items():
                own[key] = FAKES[key] if key in FAKES else plain(value)
        return spaces[name]

    return plain(kernel)


def launch(kernel: Any, ctas: int, arguments: dict[str, Any], pool: Pool, seed: int) -> None:
    """All CTAs at once."""
    body, machine = python_of(kernel), Machine(seed)
    given = {}
    for name, value in arguments.items():
        if hasattr(value, "block_shape"):
            value = Box(pool, value)
        elif hasattr(value, "data_ptr"):
            value = Pointer(value.reshape(-1).numpy(), pool=pool)
        elif name.endswith("_at") or name.startswith("slot") or name in ("epoch", "filled"):
            value = T(value)
        given[name] = value
    for cta in range(ctas):
        HERE.cta = cta
        body(**given)
        for number, (function, args) in enumerate(HERE.parts):
            name = f"CTA {cta} partition {number}"
            task = (lambda f, a: lambda: f(*a))(function, args)
            machine.workers.append(Worker(machine, name, task))
    machine.run()
