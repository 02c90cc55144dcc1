"""The models of this process: each is loaded and warmed by a thread before it is used, beside what runs."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from model.core.caching import FileStamp, file_stamp
from model.core.catalog import AUTO, Catalog
from model.core.errors import BadPackage
from model.core.model_info import EXTRAPOLATION, ModelInfo
from model.core.settings import EngineSettings
from service.settings import Settings

if TYPE_CHECKING:
    from model.runtime.predictor import Predictor

KEPT: Final = 3
"""ModelCache that stay loaded; with more, the one used longest ago goes."""

LOOK_SECONDS: Final = 1.0
"""How often a worker looks whether `auto` means another model than before."""

SWAP_SECONDS: Final = 10.0
"""How long after a new champion began to load jobs wait for it, before they run the model before it."""

RETRY_SECONDS: Final = 60.0
"""A package that could not be loaded is tried again after this, or as soon as one of its files changes."""

BATCH_ON_GPU: Final = 8

log = logging.getLogger(__name__)


class StillLoading(Exception):
    """The model is not loaded yet."""


Key = tuple[ModelInfo, tuple[FileStamp, ...]]


@dataclass(frozen=True, eq=False)
class _Loading:
    """A model that is being loaded, is loaded, or could not be."""

    future: Future[Predictor] = field(default_factory=Future)
    began: float = field(default_factory=time.monotonic)

    @property
    def loaded(self) -> bool:
        return self.future.done() and self.future.exception() is None

    @property
    def stale(self) -> bool:
        """It could not be loaded, and may be tried again: a file system that fails now need not fail soon."""
        if not self.future.done() or self.loaded:
            return False
        kept = isinstance(self.future.exception(), BadPackage)
        return not kept or time.monotonic() - self.began > RETRY_SECONDS


class ModelCache:
    """Predictors by package, kept as long as none of its files changes: then it is checked and loaded anew."""

    def __init__(self, catalog: Catalog, settings: Settings) -> None:
        self._catalog = catalog
        self._settings = settings
        self._known: OrderedDict[Key, _Loading] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def most_at_once(self) -> int:
        """How many nowcasts run as one batch at most."""
        if self._settings.batch:
            return self._settings.batch
        with self._lock:
            loaded = [known.future.result() for known in self._known.values() if known.loaded]
        return BATCH_ON_GPU if any("CUDA" in predictor.variant for predictor in loaded) else 1

    def get(self, info: ModelInfo, patience: float | None = None) -> Predictor:
        """The model, loaded and warm; `patience` (s) counts from when it began to be loaded.

        Raises
        ------
        StillLoading
            It is not ready in time.
        BadPackage
            A file is missing or changed, its graph cannot run, or it is too large for the device.
        InputError
            The device that is set is not there.
        OSError
            A file cannot be read.
        """
        known = self._loading(info)
        seconds = None if patience is None else max(0.0, known.began + patience - time.monotonic())
        try:
            return known.future.result(seconds)
        except TimeoutError:
            if known.future.done():
                raise
            raise StillLoading from None

    def is_loaded(self, info: ModelInfo) -> bool:
        with self._lock:
            known = self._known.get(_key(info))
        return known is not None and known.loaded

    def start(self) -> Predictor:
        """Load and warm what `auto` means now, or the first that stands in for it and can run.

        Raises
        ------
        InputError
            The device that is set is not there.
        DeviceLost
            It does not answer.
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
        """Begin to load what `auto` means whenever that changes, so that no job waits for it; for ever."""
        last: ModelInfo | None = None
        while True:
            time.sleep(LOOK_SECONDS)
            try:
                info = self._catalog.find(AUTO)
                if info != last and not self.is_loaded(info):
                    self.get(info)
                    log.info("%s is loaded: it is what auto means now", info.reference)
                last = info
            except Exception as error:
                last = info
                log.warning("%s cannot be loaded, what ran before it goes on: %s", info.reference, error)

    def _loading(self, info: ModelInfo) -> _Loading:
        """What is known of a package; a thread begins to load it where nothing is."""
        key = _key(info)
        with self._lock:
            known = self._known.get(key)
            if known is None or known.stale:
                known = self._known[key] = _Loading()
                threading.Thread(target=self._load, args=(info, known.future), name="load", daemon=True).start()
            self._known.move_to_end(key)
            while len(self._known) > KEPT:
                self._known.popitem(last=False)
            return known

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
    """Why a package cannot be loaded, in one line without its folder."""
    if isinstance(error, OSError):
        return f"a file cannot be read ({error.strerror})"
    return getattr(error, "what", str(error))


def _key(info: ModelInfo) -> Key:
    """A package and its files as they are now."""
    return info, tuple(file_stamp(path) for path in _files(info.folder))


def _files(folder: Path | None) -> list[Path]:
    return sorted(folder.iterdir()) if folder is not None else []
