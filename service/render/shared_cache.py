"""Arrays that are read or computed once for all threads, and kept in memory within a budget of bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, Protocol, TypeVar


class Sized(Protocol):
    """What says how much memory it takes."""

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        ...


Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value", bound=Sized)


class SharedCache(Generic[Key, Value]):
    """Arrays by key, within a budget of bytes; the least recently used is dropped first. Safe to share between threads.

    Parameters
    ----------
    max_bytes
        Most bytes of all arrays; 0 keeps none.

    Attributes
    ----------
    size : int
        Bytes of the arrays that are kept.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.size = 0
        self._kept: OrderedDict[Key, Value] = OrderedDict()
        self._reading: dict[Key, Future[Value]] = {}
        self._lock = threading.Lock()

    def __contains__(self, key: Key) -> bool:
        return key in self._kept

    def get(self, key: Key, read: Callable[[], Value]) -> Value:
        """Return the array of a key; `read` makes it, unless it is here or another thread is about to.

        Errors of `read` reach all that wait for it, and are not kept.
        """
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.move_to_end(key)
                return kept
            reading = self._reading.get(key)
            if reading is None:
                mine = self._reading[key] = Future()
        if reading is not None:
            return reading.result()
        try:
            value = read()
        except BaseException as error:
            mine.set_exception(error)
            raise
        else:
            mine.set_result(value)
            self._keep(key, value)
        finally:
            with self._lock:
                del self._reading[key]
        return value

    def _keep(self, key: Key, value: Value) -> None:
        size = value.nbytes
        if size > self.max_bytes:
            return
        with self._lock:
            self._kept[key] = value
            self.size += size
            while self.size > self.max_bytes:
                self.size -= self._kept.popitem(last=False)[1].nbytes
