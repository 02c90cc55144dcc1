"""Object store: inputs and results as whole objects in a local folder or a bucket. An object is written once."""

from __future__ import annotations

import errno
import logging
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote, urlsplit

from model.core.errors import InputError
from model.core.times import basic_text

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Backend
    from obstore.store import RetryConfig


DISK_FULL: Final = tuple(f"os error {number}" for number in (errno.ENOSPC, errno.EDQUOT))
"""How obstore, which has no error of its own for it, names a full disk."""


NOWCASTS: Final = "nowcasts"
CHECKS: Final = "health"
"""Prefixes of all objects: those of jobs, below the job's id, and those of `ObjectStore.check`."""

UNFINISHED_WRITE: Final = re.compile(r".*#\d+")
"""Names under which obstore writes the files of a local folder before it renames them; it lists none of them."""

log = logging.getLogger(__name__)


class StoredObject(NamedTuple):
    """An object of the store, when it was written, and its bytes."""

    key: str
    modified: datetime
    size: int


class MissingObject(InputError):
    """The store has no such object."""

    code = "missing-object"


class StoreUnavailable(Exception):
    """The store does not respond, refuses access, or has no space left (`full`). It may recover."""

    def __init__(self, reason: str, *, full: bool) -> None:
        super().__init__(reason)
        self.full = full


def job_prefix(job_id: str) -> str:
    """Return the prefix of all objects of a job."""
    return f"{NOWCASTS}/{job_id}"


def upload_prefix(job_id: str) -> str:
    """Return the prefix of a job's uploaded files, which are deleted once the job has ended."""
    return f"{job_prefix(job_id)}/upload"


def upload_key(job_id: str, index: int) -> str:
    """Return the key of the `index`-th uploaded file, whose untrusted name is in the ledger only."""
    return f"{upload_prefix(job_id)}/{index:04d}"


def result_key(job_id: str) -> str:
    """Return the key of a job's forecast."""
    return f"{job_prefix(job_id)}/result.nc"


def uncalibrated_key(job_id: str) -> str:
    """Return the key of what probabilities of a job's forecast were before their recalibration."""
    return f"{job_prefix(job_id)}/uncalibrated.npz"


def geotiff_key(job_id: str) -> str:
    """Return the key of the GeoTIFF of a job's forecast, which is made when it is first asked for."""
    return f"{job_prefix(job_id)}/result.tif"


def input_key(job_id: str) -> str:
    """Return the key of the frames from which the forecast started."""
    return f"{job_prefix(job_id)}/input.nc"


def frames_prefix(feed: str) -> str:
    """Return the prefix of the frames of a feed."""
    return f"feeds/{feed}/frames"


def pushed_prefix(feed: str) -> str:
    """Return the prefix of the files that were sent to a feed and wait to be read."""
    return f"feeds/{feed}/pushed"


def frame_prefix(feed: str, valid_time: datetime) -> str:
    """Return the prefix of the objects of a feed's frame: one for each content that was issued for that time."""
    return f"{frames_prefix(feed)}/{basic_text(valid_time)}"


def delete_uploads(store: ObjectStore, job_id: str) -> None:
    """Delete the uploaded files of a job that has ended. An error of the store is logged only: the job has ended."""
    try:
        store.delete_prefix(upload_prefix(job_id))
    except StoreUnavailable as error:
        log.warning("the uploads of job %s are left in the store: %s", job_id, error)


class ObjectStore:
    """Objects by key. Every method raises StoreUnavailable while the store is down or full.

    Parameters
    ----------
    url
        `file:///folder` (created if absent), or a bucket for obstore: s3://, gs://, az://.
    patience_seconds
        How long a bucket that does not respond is tried again; None: as long as obstore does by default, minutes.
    """

    def __init__(self, url: str, *, patience_seconds: float | None = None) -> None:
        from obstore.store import LocalStore, from_url

        parts = urlsplit(url)
        self.url = url
        self.folder: Path | None = None
        """The local folder of the objects; None for a bucket."""
        self._backend: Backend
        if parts.scheme in ("", "file"):
            self.folder = Path(unquote(parts.path))
            self.folder.mkdir(parents=True, exist_ok=True)
            self._backend = LocalStore(self.folder, automatic_cleanup=True)
        else:
            patience: RetryConfig = {}
            if patience_seconds is not None:
                patience["retry_timeout"] = timedelta(seconds=patience_seconds)
            self._backend = from_url(url, retry_config=patience)

    def put(self, key: str, data: bytes | Path | IO[bytes], *, if_absent: bool = False) -> bool:
        """Write a whole object atomically, from bytes, a file, or the rest of an open file.

        Returns
        -------
        bool
            False where `if_absent` is set and the object existed.
        """
        from obstore.exceptions import AlreadyExistsError

        try:
            with _outages():
                if if_absent:
                    self._backend.put(key, data, mode="create", use_multipart=False)
                else:
                    self._backend.put(key, data)
        except AlreadyExistsError:
            return False
        return True

    def get(self, key: str) -> bytes:
        """Return the object's bytes.

        Raises
        ------
        MissingObject
            There is no such object.
        """
        with _reading(key):
            return bytes(self._backend.get(key).bytes())

    def fetch(self, key: str, target: Path) -> Path:
        """Copy the object to the file `target` in chunks, and return `target`.

        Raises
        ------
        MissingObject
            There is no such object.
        """
        with _reading(key):
            result = self._backend.get(key)
        with target.open("wb") as file, _outages():
            for chunk in result.stream(min_chunk_size=4 << 20):
                file.write(chunk)
        return target

    def local_file(self, key: str, target: Path) -> Path:
        """Return a file with the object, for reading: a local store's own, else the copy `target` of a bucket's.

        Raises
        ------
        MissingObject
            There is no such object.
        """
        if self.folder is None:
            return self.fetch(key, target)
        path = self.folder / key
        if not path.exists():
            raise MissingObject("no such object", where=key, hint="It was deleted, or never written")
        return path

    def copy(self, key: str, target: str) -> None:
        """Copy an object within the store; in a local folder that takes no room.

        Raises
        ------
        MissingObject
            There is no such object.
        """
        with _reading(key):
            self._backend.copy(key, target)

    def exists(self, key: str) -> bool:
        """Whether there is such an object."""
        try:
            with _outages():
                self._backend.head(key)
        except FileNotFoundError:
            return False
        return True

    def size(self, *keys: str) -> int:
        """Return the bytes of all these objects.

        Raises
        ------
        MissingObject
            One of them does not exist.
        """
        total = 0
        for key in keys:
            with _reading(key):
                total += self._backend.head(key)["size"]
        return total

    def delete(self, key: str) -> None:
        """Delete one object; another process may have done so before."""
        with suppress(FileNotFoundError), _outages():
            self._backend.delete(key)

    def delete_prefix(self, prefix: str) -> None:
        """Delete every object below the folder `prefix`; another process may delete the same."""
        for objects in self.list(prefix):
            keys = [each.key for each in objects]
            try:
                with _outages():
                    self._backend.delete(keys)
            except FileNotFoundError:  # in a local folder; the keys after it are not deleted then
                for key in keys:
                    self.delete(key)

    def list(self, prefix: str) -> Iterator[list[StoredObject]]:
        """Yield every object below the folder `prefix`, some at a time."""
        with _outages():
            for batch in self._backend.list(prefix=prefix):
                yield [StoredObject(entry["path"], entry["last_modified"], entry["size"]) for entry in batch]

    def folders(self, prefix: str) -> tuple[str, ...]:
        """Return the names of the folders right below a folder."""
        with _outages():
            listed = self._backend.list_with_delimiter(prefix)
        return tuple(folder.rstrip("/").rpartition("/")[2] for folder in listed["common_prefixes"])

    def delete_unfinished_writes(self, before: datetime) -> int:
        """Delete files of a local folder that a process was writing when it was killed, before a time; return how many.

        What a bucket keeps of such writes, its own lifecycle rules delete.
        """
        deleted = 0
        for folder, _, names in () if self.folder is None else os.walk(self.folder):
            for path in (Path(folder, name) for name in names if UNFINISHED_WRITE.fullmatch(name)):
                with suppress(FileNotFoundError):
                    if path.stat().st_mtime < before.timestamp():
                        path.unlink()
                        deleted += 1
        return deleted

    def check(self) -> None:
        """Write, read and delete a small object, and raise the errors of the store."""
        key = f"{CHECKS}/{uuid.uuid4().hex}"
        self.put(key, b"ok")
        try:
            self.get(key)
        finally:
            self.delete(key)


@contextmanager
def _outages() -> Iterator[None]:
    """Turn obstore's errors into StoreUnavailable, but for those that tell of the object itself."""
    from obstore.exceptions import AlreadyExistsError, BaseError

    try:
        yield
    except AlreadyExistsError:
        raise
    except BaseError as error:
        reason = str(error).partition("\n\nDebug source:")[0]
        raise StoreUnavailable(reason, full=any(text in reason for text in DISK_FULL)) from error


@contextmanager
def _reading(key: str) -> Iterator[None]:
    """Turn obstore's errors into those of the store; an object that does not exist into MissingObject."""
    try:
        with _outages():
            yield
    except FileNotFoundError:
        raise MissingObject("no such object", where=key, hint="It was deleted, or never written") from None
