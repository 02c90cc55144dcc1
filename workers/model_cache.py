"""The models of this process, which threads load and warm up while another model runs."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from model.core.caching import FileStamp, file_stamp
from model.core.catalog import AUTO, Catalog
from model.core.errors import BadPackage
from model.core.model_info import EXTRAPOLATION, ModelInfo
from model.core.settings import EngineSettings
from service.settings import Settings

if TYPE_CHECKING:
    from model.runtime.predictor import Predictor

CACHE_SIZE: Final = 3
"""Models that stay loaded; beyond that the least recently used one is evicted."""

POLL_SECONDS: Final = 1.0
"""Interval at which a worker checks whether `auto` resolves to another model."""

SWAP_SECONDS: Final = 10.0
"""Jobs wait this long for a new champion, from the start of its loading; then they run the model before it."""

RETRY_SECONDS: Final = 60.0
"""A package that failed to load is tried again after this time, or as soon as one of its files changes."""

GPU_BATCH_SIZE: Final = 8
"""Nowcasts of a batch on a GPU, unless `ECHOCAST_BATCH` is set; on a CPU a batch gains nothing."""

log = logging.getLogger(__name__)


class StillLoading(Exception):
    """The model is not loaded yet."""


Key = tuple[ModelInfo, tuple[FileStamp, ...]]


@dataclass(frozen=True, eq=False)
class _Loading:
    """A model that is loading, is loaded, or failed to load."""

    future: Future[Predictor] = field(default_factory=Future)
    started: float = field(default_factory=time.monotonic)

    @property
    def loaded(self) -> bool:
        return self.future.done() and self.future.exception() is None

    @property
    def stale(self) -> bool:
        """Whether loading failed and may be tried again: at once, or later if the package itself is bad."""
        if not self.future.done() or self.loaded:
            return False
        is_bad = isinstance(self.future.exception(), BadPackage)
        return not is_bad or time.monotonic() - self.started > RETRY_SECONDS


class ModelCache:
    """Predictors by package; a package whose files have changed is verified and loaded again."""

    def __init__(self, catalog: Catalog, settings: Settings) -> None:
        self._catalog = catalog
        self._settings = settings
        self._entries: OrderedDict[Key, _Loading] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def batch_size(self) -> int:
        """The largest number of nowcasts that run as one batch."""
        if self._settings.batch:
            return self._settings.batch
        with self._lock:
            loaded = [entry.future.result() for entry in self._entries.values() if entry.loaded]
        return GPU_BATCH_SIZE if any("CUDA" in predictor.variant for predictor in loaded) else 1

    def get(self, info: ModelInfo, patience: float | None = None) -> Predictor:
        """Return a model, loaded and warm.

        Parameters
        ----------
        info : ModelInfo
            The catalog entry.
        patience : float, optional
            Longest wait (s), from the start of loading; None: no limit.

        Raises
        ------
        StillLoading
            The model is not ready in time.
        BadPackage
            A file is missing or changed, the graph cannot run, or it is too large for the device.
        InputError
            The configured device is not available.
        OSError
            A file cannot be read.
        """
        entry = self._entry(info)
        seconds = None if patience is None else max(0.0, entry.started + patience - time.monotonic())
        try:
            return entry.future.result(seconds)
        except TimeoutError:
            if entry.future.done():
                raise
            raise StillLoading from None

    def is_loaded(self, info: ModelInfo) -> bool:
        """Return whether a model is loaded and warm."""
        with self._lock:
            entry = self._entries.get(_key(info))
        return entry is not None and entry.loaded

    def start(self) -> Predictor:
        """Load and warm up the model that `auto` resolves to, or the first fallback that can run.

        Raises
        ------
        InputError
            The configured device is not available.
        DeviceLost
            The device does not respond.
        """
        self.get(EXTRAPOLATION)
        catalog = self._catalog
        while True:
            info = catalog.find(AUTO)
            try:
                return self.get(info)
            except (BadPackage, OSError) as error:
                log.warning("%s cannot be loaded: %s", info.reference, error)
                catalog = catalog.excluding(info, reason(error))

    def watch(self) -> None:
        """Load the model that `auto` resolves to whenever that changes, so that no job waits for it; never returns."""
        last: ModelInfo | None = None
        while True:
            time.sleep(POLL_SECONDS)
            try:
                info = self._catalog.find(AUTO)
                if info != last and not self.is_loaded(info):
                    self.get(info)
                    log.info("%s is loaded: auto resolves to it", info.reference)
                last = info
            except Exception as error:
                last = info
                log.warning("%s cannot be loaded, the model before it continues to run: %s", info.reference, error)

    def _entry(self, info: ModelInfo) -> _Loading:
        """Return the cache entry of a package; a thread starts to load one that has none."""
        key = _key(info)
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or entry.stale:
                entry = self._entries[key] = _Loading()
                threading.Thread(target=self._load, args=(info, entry.future), name="load", daemon=True).start()
            self._entries.move_to_end(key)
            while len(self._entries) > CACHE_SIZE:
                self._entries.popitem(last=False)
            return entry

    def _load(self, info: ModelInfo, future: Future[Predictor]) -> None:
        from model.runtime.device import EngineOptions
        from model.runtime.load import load_predictor

        given = self._settings
        options = EngineOptions(**given.model_dump(include=set(EngineSettings.model_fields)))
        try:
            predictor = load_predictor(info, given.fields, options)
            predictor.warm_up()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(predictor)


def reason(error: Exception) -> str:
    """Return why a package cannot be loaded, in one line without its folder."""
    if isinstance(error, OSError):
        return f"a file cannot be read ({error.strerror})"
    return getattr(error, "what", str(error))


def _key(info: ModelInfo) -> Key:
    """Return a key of a package and its files as they are now."""
    files = [] if info.folder is None else sorted(info.folder.iterdir())
    return info, tuple(map(file_stamp, files))
