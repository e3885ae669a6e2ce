# pyright: basic
"""The hardware under `gluon_shim`: threads, shared memory, barriers, copies, all memory."""

from __future__ import annotations

import threading
import types
from collections.abc import Callable
from typing import Any

import numpy as np


class StuckError(Exception):
    """Nothing can go on."""


class Machine:
    """Threads and copies in flight."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.workers: list[Worker] = []
        self.copies: list[Callable[[], None]] = []
        self.back = threading.Semaphore(0)
        self.failed: BaseException | None = None

    def run(self) -> None:
        """Until all have ended."""
        for worker in self.workers:
            worker.thread.start()
        while alive := [w for w in self.workers if not w.done]:
            able = [w for w in alive if w.condition is None or w.condition()]
            if self.copies and (not able or self.rng.random() < 0.3):
                self.copies.pop(int(self.rng.integers(len(self.copies))))()
                continue
            if not able:  # who polls a counter runs out of time
                able = [w for w in alive if w.polls]
                if not able:
                    self.failed = StuckError([w.name for w in alive])
                    for w in alive:
                        w.go.release()
                    break
            worker = able[int(self.rng.integers(len(able)))]
            worker.go.release()
            self.back.acquire()
            if self.failed is not None:
                break
        if self.failed is not None:
            for w in self.workers:
                if not w.done:
                    w.go.release()
            raise self.failed


class Worker:
    """A partition."""

    def __init__(self, machine: Machine, name: str, body: Callable[[], None]) -> None:
        self.machine, self.name, self.done, self.polls = machine, name, False, False
        self.condition: Callable[[], bool] | None = None
        self.go = threading.Semaphore(0)
        self.products: list[Any] = []
        self.stores: list[list[Callable[[], None]]] = []
        self.stored: list[tuple[Pool, np.ndarray]] = []
        self.thread = threading.Thread(target=self._run, args=(body,), daemon=True)

    def _run(self, body: Callable[[], None]) -> None:
        self.go.acquire()
        HERE.worker = self
        try:
            if self.machine.failed is None:
                body()
        except BaseException as error:
            if self.machine.failed is None:
                self.machine.failed = error
        self.done = True
        self.machine.back.release()

    def pause(self, condition: Callable[[], bool] | None = None, polls: bool = False) -> None:
        """Let others run until a condition holds."""
        self.condition, self.polls = condition, polls
        self.machine.back.release()
        self.go.acquire()
        self.condition, self.polls = None, False
        if self.machine.failed is not None:
            raise self.machine.failed


HERE = threading.local()


def here() -> Worker:
    """Who is running."""
    return HERE.worker


def raw(x: Any) -> Any:
    """As NumPy: tensors have `v`, constants `value`."""
    if type(x).__name__ == "constexpr":
        return x.value
    return getattr(x, "v", x)


class Pool:
    """All memory that descriptors reach. unfenced: what ordinary stores wrote since the last fence
    of their thread, where TMA may still find anything.
    """

    def __init__(self, numbers: int) -> None:
        import torch

        self.tensor = torch.full((numbers,), float("nan"))
        self.numbers = self.tensor.numpy()
        self.unfenced = np.zeros(numbers, bool)
        self.taken, self.parts = (-self.tensor.data_ptr() // 4) % 256, list[tuple[int, int]]()

    def copy(self, tensor: Any) -> Any:
        """A copy that begins at a multiple of 1024 bytes."""
        begin, end = self.taken, self.taken + tensor.numel()
        self.taken = end + (-end + begin) % 256
        self.parts.append((begin, end))
        out = self.tensor[begin:end]
        out.copy_(tensor.reshape(-1))
        return out

    def place(self, tensor: Any) -> int:
        """Where a tensor begins."""
        return (tensor.data_ptr() - self.tensor.data_ptr()) // 4

    def holds(self, tensor: Any) -> bool:
        """Whether a tensor lies here."""
        return 0 <= self.place(tensor) < self.numbers.size

    def note(self, tensor: np.ndarray, places: np.ndarray) -> None:
        """Ordinary stores to places of a tensor, if it lies here."""
        begin = (tensor.ctypes.data - self.numbers.ctypes.data) // 4
        if 0 <= begin < self.numbers.size:
            self.unfenced[begin + places] = True
            here().stored.append((self, begin + places))

    def check(self, begin: int, end: int) -> None:
        """A box lies in one tensor."""
        assert any(a <= begin and end <= b for a, b in self.parts), (begin, end, self.parts)


class Shared:
    """Shared memory: panels of 64 columns, one after the other."""

    def __init__(self, flat: np.ndarray, offset: int, shape: tuple[int, ...]) -> None:
        self.flat, self.offset, self.shape_, self.turned = flat, offset, shape, False

    @property
    def shape(self) -> tuple[int, ...]:
        return self.shape_

    def index(self, i: Any) -> Shared:
        i, rest = int(raw(i)), self.shape_[1:]
        assert 0 <= i < self.shape_[0]
        return Shared(self.flat, self.offset + i * int(np.prod(rest)), rest)

    def slice(self, start: Any, length: Any) -> Shared:
        start, length = int(raw(start)), int(raw(length))
        assert len(self.shape_) == 2 and self.shape_[1] == 64
        assert start >= 0 and start + length <= self.shape_[0] and start % 8 == 0
        return Shared(self.flat, self.offset + start * 64, (length, 64))

    def permute(self, order: Any) -> Shared:
        out = Shared(self.flat, self.offset, self.shape_)
        out.turned = True
        assert tuple(order) == (1, 0)
        return out

    def _reinterpret(self, dtype: Any, shape: Any, layout: Any) -> Shared:
        shape = tuple(int(raw(n)) for n in shape)
        assert np.prod(shape) <= np.prod(self.shape_), (shape, self.shape_)
        return Shared(self.flat, self.offset, shape)

    def _panels(self) -> np.ndarray:
        rows, cols = self.shape_
        return self.flat[self.offset : self.offset + rows * cols].reshape(cols // 64, rows, 64)

    def read(self) -> np.ndarray:
        value = self._panels().transpose(1, 0, 2).reshape(self.shape_).copy()
        return value.T if self.turned else value

    def load(self, layout: Any) -> Any:
        return types.SimpleNamespace(v=self.read())

    def write(self, value: np.ndarray) -> None:
        rows, cols = self.shape_
        self._panels()[...] = value.reshape(rows, cols // 64, 64).transpose(1, 0, 2)

    def store(self, value: Any) -> None:
        assert tuple(value.shape) == tuple(self.shape_), (value.shape, self.shape_)
        self.write(raw(value))


class Bars:
    """mbarriers."""

    def __init__(self, count: int) -> None:
        self.bars = [Bar() for _ in range(count)]

    def index(self, i: Any) -> Bar:
        return self.bars[int(raw(i))]


class Bar:
    """One of them."""

    def __init__(self) -> None:
        self.count = self.pending = self.bytes = self.phase = 0

    def settle(self) -> None:
        assert self.pending >= 0
        if self.pending == 0 and self.bytes == 0:
            self.phase += 1
            self.pending = self.count


def one(bar: Any) -> Bar:
    return bar.bars[0] if isinstance(bar, Bars) else bar


class FakeBarriers:
    """`mbarrier`."""

    MBarrierLayout = staticmethod(lambda: "barriers")

    @staticmethod
    def init(bar: Any, count: int) -> None:
        one(bar).count = one(bar).pending = count

    @staticmethod
    def arrive(bar: Any, count: int = 1, pred: Any = True) -> None:
        if bool(raw(pred)):
            one(bar).pending -= count
            one(bar).settle()
            here().pause()

    @staticmethod
    def expect(bar: Any, size: Any) -> None:
        one(bar).bytes += int(raw(size))
        one(bar).pending -= 1
        one(bar).settle()

    @staticmethod
    def wait(bar: Any, phase: Any) -> None:
        parity, own = int(raw(phase)) & 1, one(bar)
        here().pause(lambda: own.phase & 1 != parity)


class Box:
    """A descriptor: boxes of `height` rows and 64 of `width` columns of all memory."""

    def __init__(self, pool: Any, descriptor: Any) -> None:
        self.pool, self.first = pool, pool.place(descriptor.base)
        (self.height, panel), self.width = descriptor.block_shape, descriptor.shape[1]
        assert panel == 64 and descriptor.strides == [self.width, 1]

    def view(self, coordinates: Any) -> np.ndarray:
        row, column = (int(raw(x)) for x in coordinates)
        begin = self.first + row * self.width + column
        end = begin + (self.height - 1) * self.width + 64
        self.pool.check(begin, end)
        return begin + np.arange(self.height)[:, None] * self.width + np.arange(64)[None, :]


class FakeTma:
    """`tma`."""

    @staticmethod
    def async_copy_global_to_shared(box: Box, at: Any, bar: Any, target: Shared) -> None:
        places, own = box.view(at), one(bar)
        assert tuple(target.shape) == (box.height, 64)

        def copy() -> None:
            value = np.where(box.pool.unfenced[places], np.nan, box.pool.numbers[places])
            target.write(value)
            own.bytes -= places.size * 2
            own.settle()

        here().machine.copies.append(copy)

    @staticmethod
    def async_copy_shared_to_global(box: Box, at: Any, source: Shared) -> None:
        places, held = box.view(at), list[np.ndarray]()
        assert tuple(source.shape) == (box.height, 64)

        def read() -> None:
            if not held:
                held.append(source.read())

        def write() -> None:
            read()
            box.pool.numbers[places] = held[0]

        here().stores.append([read, write])

    @staticmethod
    def store_wait(pending: int) -> None:
        assert pending == 0
        for read, _ in here().stores:
            read()
        here().pause()
