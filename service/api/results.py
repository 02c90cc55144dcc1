"""Results as local files: a reader of netCDF needs a file, but the store may be a bucket."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from service.api.work_pool import WorkPool
from service.locked_folder import locked_folder
from service.render.block_cache import BlockCache
from service.render.forecast_reader import RainFile, RankCache
from service.store import MissingObject, ObjectStore

MAX_HEADERS: Final = 128
COPY_THREADS, COPIES_WAITING = 4, 60
FOLDER_PREFIX: Final = "echocast-results-"


@dataclass(eq=False)
class _Copy:
    """A local copy of an object, and how many requests use it."""

    path: Path
    size: int = 0
    users: int = 0
    fetching: asyncio.Task[None] | None = field(default=None, repr=False)


class ResultFiles:
    """Local files of objects, and their headers. For one event loop.

    Objects of a bucket are copied to a temporary folder, within a budget of bytes: the least recently used copy is
    deleted first, those in use never.

    Parameters
    ----------
    store
        The store of the objects.
    max_bytes
        Most bytes of all copies that are not in use.
    blocks
        Where blocks of the results are kept that were read for places and areas; None keeps none.
    ranks
        Where ranks of frames are kept that were drawn on a map; None keeps none.
    """

    def __init__(
        self,
        store: ObjectStore,
        max_bytes: int,
        blocks: BlockCache | None = None,
        ranks: RankCache | None = None,
    ) -> None:
        self.blocks = blocks or BlockCache(0)
        self._ranks = ranks
        self._store = store
        self._max_bytes = max_bytes
        self._pool = WorkPool("copies of results", threads=COPY_THREADS, waiting=COPIES_WAITING)
        self._folder: Path | None = None
        self._stack = ExitStack()
        self._copies: OrderedDict[str, _Copy] = OrderedDict()
        self._headers: OrderedDict[Path, RainFile] = OrderedDict()
        self._headers_lock = threading.Lock()

    @asynccontextmanager
    async def held(self, *keys: str) -> AsyncIterator[list[Path]]:
        """Local files of the objects `keys`, which stay as long as the block runs.

        Raises
        ------
        MissingObject
            A bucket has no such object. (In a local folder the file is absent then.)
        Busy
            Too many objects wait to be copied.
        """
        if self._store.folder is not None:
            yield [self._store.folder / key for key in keys]
            return
        held: list[_Copy] = []
        try:
            for key in keys:
                held.append(await self._hold(key))
            yield [copy.path for copy in held]
        finally:
            for copy in held:
                copy.users -= 1
            self._evict()

    def rain(self, path: Path) -> RainFile:
        """Return the opened file of a path that is held. Blocks.

        Raises
        ------
        MissingObject
            The object was deleted.
        CannotShow
            The file cannot be drawn.
        """
        if not path.is_file():
            raise MissingObject("no such object", where=path.name, hint="It was deleted, or never written")
        with self._headers_lock:
            file = self._headers.get(path)
            if file is not None:
                self._headers.move_to_end(path)
                return file
        file = RainFile.open(path, self.blocks, self._ranks)
        with self._headers_lock:
            self._headers[path] = file
            while len(self._headers) > MAX_HEADERS:
                self._headers.popitem(last=False)
        return file

    def close(self) -> None:
        """Delete the copies."""
        self._pool.close()
        self._folder = None
        self._stack.close()

    async def _hold(self, key: str) -> _Copy:
        copy = self._copies.get(key)
        if copy is None:
            copy = self._copies[key] = _Copy(self._copies_folder() / key.replace("/", "_"))
            copy.fetching = asyncio.create_task(self._fetch(key, copy))
        self._copies.move_to_end(key)
        copy.users += 1
        try:
            if copy.fetching is not None:
                await asyncio.shield(copy.fetching)
        except BaseException:
            copy.users -= 1
            raise
        return copy

    async def _fetch(self, key: str, copy: _Copy) -> None:
        try:
            await self._pool.run(self._store.fetch, key, copy.path)
            copy.size = copy.path.stat().st_size
            copy.fetching = None
        except BaseException:
            del self._copies[key]
            copy.path.unlink(missing_ok=True)
            raise

    def _evict(self) -> None:
        """Delete copies that nobody uses, until the others fit."""
        size = sum(copy.size for copy in self._copies.values())
        for key, copy in list(self._copies.items()):
            if size <= self._max_bytes:
                return
            if not copy.users and copy.fetching is None:
                size -= copy.size
                del self._copies[key]
                copy.path.unlink(missing_ok=True)

    def _copies_folder(self) -> Path:
        """Return the folder of the copies, made at its first use, when those of killed gateways are deleted."""
        if self._folder is None:
            self._folder = self._stack.enter_context(locked_folder(FOLDER_PREFIX))
        return self._folder
