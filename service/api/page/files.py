"""Files of the page as browsers want them: compressed, with the ETag of their content, and cached where that is safe.

A page refers to `static/@VERSION/...`, where the version is a digest of all files: what it names never changes, so that
a browser keeps it, and the modules and style sheets that it refers to by relative addresses as well. The same files at
`static/...`, and the pages themselves, are asked for again each time, and answered with 304 where nothing has changed.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
import os
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Final

from fastapi.responses import Response
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import Scope

WEB: Final = Path(__file__).resolve().parents[2] / "web"
STATIC: Final = WEB / "static"
LEAFLET: Final = Path(str(files("js_lib_leaflet"))) / "static" / "js_lib_leaflet"
ELSEWHERE: Final[Mapping[str, Path]] = {"leaflet": LEAFLET, "messages": WEB / "messages"}
"""Folders that are served below `static/` and lie elsewhere: Leaflet's distribution, and the texts of the page."""

NO_CACHE: Final = "no-cache"
IMMUTABLE: Final = "public, max-age=31536000, immutable"
COMPRESSED: Final = (
    "text/",
    "application/javascript",
    "application/json",
    "application/manifest+json",
    "image/svg+xml",
)
LEAST_BYTES: Final = 300
"""What is shorter fits into one packet as it is."""
IMPORTED: Final = re.compile(r'^(?:import|export)\b[^;]*?"(\.[^"]+)"', re.MULTILINE)
VERSIONED: Final = re.compile(r"@([0-9a-f]{12})/(.*)")


@dataclass(frozen=True)
class PageFile:
    """The content of a file, as it is and compressed (None: not worth it), with its type and ETag."""

    content: bytes
    compressed: bytes | None
    media_type: str
    etag: str

    def response(self, request: Headers, headers: Mapping[str, str]) -> Response:
        """Return the response, 304 to a browser that has the file."""
        own = {"ETag": self.etag, "Vary": "Accept-Encoding", **headers}
        if self.etag in request.get("if-none-match", ""):
            return Response(status_code=304, headers=own)
        if self.compressed is not None and "gzip" in request.get("accept-encoding", ""):
            return Response(self.compressed, media_type=self.media_type, headers={**own, "Content-Encoding": "gzip"})
        return Response(self.content, media_type=self.media_type, headers=own)


def page_file(content: bytes, name: str) -> PageFile:
    """Return a file of that content; its type follows from its name."""
    media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
    worth_it = media_type.startswith(COMPRESSED) and len(content) >= LEAST_BYTES
    return PageFile(
        content=content,
        compressed=gzip.compress(content, 9, mtime=0) if worth_it else None,
        media_type=media_type,
        etag=f'"{hashlib.sha256(content).hexdigest()[:16]}"',
    )


@lru_cache(maxsize=1024)
def _read(path: str, modified_ns: int, size: int) -> PageFile:
    return page_file(Path(path).read_bytes(), path)


class PageFiles(StaticFiles):
    """The files below `static/`."""

    def __init__(self) -> None:
        super().__init__(directory=STATIC)
        self._elsewhere = {name: StaticFiles(directory=folder) for name, folder in ELSEWHERE.items()}

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        """Return the path of a file on disk, with what the file system says of it."""
        versioned = VERSIONED.fullmatch(path)
        path = versioned[2] if versioned else path
        folder, _, name = path.partition("/")
        return self._elsewhere[folder].lookup_path(name) if folder in self._elsewhere else super().lookup_path(path)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return the response with a file.

        Raises
        ------
        HTTPException
            There is no such file, or the method is neither GET nor HEAD.
        """
        if scope["method"] not in ("GET", "HEAD"):
            raise HTTPException(405)
        full_path, found = self.lookup_path(path)
        if found is None or not Path(full_path).is_file():
            raise HTTPException(404)
        versioned = VERSIONED.fullmatch(path)
        cached = IMMUTABLE if versioned is not None and versioned[1] == version() else NO_CACHE
        return _read(full_path, found.st_mtime_ns, found.st_size).response(
            Headers(scope=scope), {"Cache-Control": cached}
        )


@lru_cache(maxsize=1)
def version() -> str:
    """Return the version of all files below `static/`, as they were at the first call."""
    digest = hashlib.sha256()
    for folder in (STATIC, *ELSEWHERE.values()):
        for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".map"):
            digest.update(f"{path.relative_to(folder)}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


@lru_cache(maxsize=64)
def html(name: str) -> PageFile:
    """Return a page of `service/web`, whose files are those of this version; a browser fetches its modules at once."""
    text = (WEB / f"{name}.html").read_text(encoding="utf-8")
    scripts = re.findall(r'<script type="module" src="static/([^"]+)"', text)
    preloads = "".join(f'  <link rel="modulepreload" href="static/{path}">\n' for path in _modules(scripts))
    text = re.sub(r'(href|src)="static/', rf'\1="static/@{version()}/', text.replace("</head>", f"{preloads}</head>"))
    return page_file(text.encode(), f"{name}.html")


def _modules(scripts: list[str]) -> list[str]:
    """Return the modules that scripts import, and those that these import, without the scripts themselves."""
    found = list(scripts)
    for path in found:
        if not (STATIC / path).is_file():  # it lies elsewhere, and imports nothing
            continue
        imported = IMPORTED.findall((STATIC / path).read_text(encoding="utf-8"))
        paths = (posixpath.normpath(posixpath.join(posixpath.dirname(path), other)) for other in imported)
        found += [other for other in dict.fromkeys(paths) if other not in found]
    return found[len(scripts) :]
