"""What makes an app of the page: the manifest, the service worker, and the page that is shown without a connection."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from functools import lru_cache
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from service.api.access.scopes import PUBLIC
from service.api.page.files import WEB, PageFile, html, page_file, version
from service.api.page.router import PAGE_HEADERS

OFFLINE: Final = "offline"
OFFLINE_FILES: Final = ("style.css", "offline.js", "messages.js", "words.js", "icon.svg")
"""Files below `static/` that the page without a connection needs, beside the messages."""

router = APIRouter(dependencies=[PUBLIC], include_in_schema=False)


@router.get("/manifest.webmanifest")
async def manifest(request: Request) -> Response:
    """Return the manifest by which browsers install the page."""
    return _manifest().response(request.headers, PAGE_HEADERS)


@router.get("/service-worker.js")
async def service_worker(request: Request) -> Response:
    """Return the service worker of this version: by its bytes a browser finds that there is a new one."""
    return _service_worker().response(request.headers, PAGE_HEADERS)


@lru_cache(maxsize=1)
def _manifest() -> PageFile:
    file = page_file((WEB / "manifest.webmanifest").read_bytes(), "manifest.json")
    return replace(file, media_type="application/manifest+json")


@lru_cache(maxsize=1)
def _service_worker() -> PageFile:
    pages = hashlib.sha256(b"".join(html(path.stem).content for path in sorted(WEB.glob("*.html"))))
    messages = [f"messages/{path.name}" for path in sorted((WEB / "messages").glob("*.json"))]
    shell = {
        "version": pages.hexdigest()[:12],
        "page": OFFLINE,
        "files": [f"static/@{version()}/{name}" for name in (*OFFLINE_FILES, *messages)],
    }
    script = (WEB / "service-worker.js").read_text(encoding="utf-8")
    return page_file(f"self.SHELL = {json.dumps(shell)};\n{script}".encode(), "service-worker.js")
