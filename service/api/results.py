"""Results as local files: netCDF needs a file, but the store may be a bucket."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Final

from service.render.forecast_reader import CannotShow, RainFile
from service.store import ObjectStore

MAX_OPEN: Final = 32


class ResultFiles:
    """The results used last, opened. Objects of a bucket are copied to a temporary folder, at most MAX_OPEN."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._folder: Path | None = None
        self._open: OrderedDict[str, RainFile] = OrderedDict()
        self._lock = threading.Lock()

    def rain(self, key: str) -> RainFile:
        """Return the opened file of the object `key`.

        Raises
        ------
        MissingObject
            There is no such object.
        CannotShow
            The file cannot be drawn.
        """
        with self._lock:
            file = self._open.get(key)
            if file is None or not file.path.is_file():
                self._open[key] = file = RainFile.open(self._path(key))
            self._open.move_to_end(key)
            while len(self._open) > MAX_OPEN:
                oldest = self._open.popitem(last=False)[1].path
                if oldest.parent == self._folder:  # a copy
                    oldest.unlink(missing_ok=True)
            return file

    def path(self, key: str) -> Path:
        """Return a local file of the object `key`, even if it cannot be drawn.

        Raises
        ------
        MissingObject
            There is no such object.
        """
        try:
            return self.rain(key).path
        except CannotShow:
            return self._path(key)

    def close(self) -> None:
        """Delete the copies."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _path(self, key: str) -> Path:
        local = self._store.local_path(key)
        if local is not None:
            return local
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="echocast-results-"))
        return self._store.fetch(key, self._folder / key.replace("/", "_"))
