"""The body of an execute request: JSON with the radar files in base64, read into what a multipart form has."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from io import BytesIO
from tempfile import SpooledTemporaryFile
from typing import Final

from fastapi import Request
from pydantic import JsonValue, ValidationError
from starlette.datastructures import FormData, UploadFile

from service.api.context import GatewayContext
from service.api.errors import (
    EmptyFile,
    InvalidParameter,
    NotJson,
    ReferenceNotSupported,
    TooManyFiles,
)
from service.api.nowcasts.form_fields import FORM_FIELDS
from service.api.nowcasts.upload import limited_body
from service.api.processes.types import Execute

MAX_BODY_MB: Final = 64
"""Largest execute request: JSON is parsed in memory. Larger files are for POST /v1/nowcasts, which streams them."""
MEMORY_BYTES: Final = 1 << 20
"""A larger body waits on disk until it is parsed, as the files of a form do."""
ENCODINGS: Final = (None, "base64")
JSON_TYPES: Final[dict[str, type]] = {"string": str, "integer": int}


async def read_body(request: Request, context: GatewayContext) -> UploadFile:
    """Read an execute request as it arrives into a temporary file, which the caller closes.

    Raises
    ------
    NotJson, TooLarge
        The body is not JSON, or too large.
    """
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media not in ("application/json", ""):
        raise NotJson("the body is not application/json", where="Content-Type", hint="Send an execute request as JSON")
    limit_mb = min(MAX_BODY_MB, context.settings.max_upload_mb)
    body = UploadFile(SpooledTemporaryFile(max_size=MEMORY_BYTES))  # type: ignore[arg-type]  # noqa: SIM115 - the caller closes it
    try:
        async for piece in limited_body(request, limit_mb):
            await body.write(piece)
    except BaseException:
        await body.close()
        raise
    return body


def parse_execution(body: UploadFile, max_files: int) -> tuple[Execute, FormData]:
    """Parse an execute request; return it without its files, and its inputs as the fields and files of a form.

    It is in memory from here on: its callers are few at a time (`GatewayContext.executions`).

    Raises
    ------
    NotJson
        The body is not JSON.
    InvalidParameter, EmptyFile, TooManyFiles, ReferenceNotSupported
        An input or another member of the body cannot be used.
    """
    body.file.seek(0)
    try:
        execute = Execute.model_validate_json(body.file.read())
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            raise NotJson(
                f"the body is no JSON: {first['msg']}", where="body", hint="Send an execute request"
            ) from None
        where = ".".join(str(part) for part in first["loc"]) or "body"
        hint = "Send an execute request of OGC API - Processes"
        raise InvalidParameter(first["msg"], where=where, hint=hint) from None
    for name in execute.outputs:
        if name != "forecast":
            raise InvalidParameter("there is no such output", where=f"outputs.{name[:100]}", hint="Use forecast")
    form = FormData(list(_form_items(execute.inputs, max_files)))
    return execute.model_copy(update={"inputs": {}}), form


def _form_items(inputs: dict[str, JsonValue], max_files: int) -> Iterator[tuple[str, str | UploadFile]]:
    for name, value in inputs.items():
        if name == "files":
            yield from (("files", file) for file in _files(value, max_files))
        else:
            yield name, _text(name, value)


def _files(value: JsonValue, max_files: int) -> Iterator[UploadFile]:
    values = value if isinstance(value, list) else [value]
    if len(values) > max_files:
        raise TooManyFiles(
            f"more than {max_files} files in one request",
            where="inputs.files",
            hint=f"Send at most {max_files} files; a nowcast needs only the newest",
        )
    for index, item in enumerate(values):
        name = f"files[{index}]"
        content = _decoded(item, f"inputs.{name}")
        if not content:
            raise EmptyFile("the file is empty", where=f"inputs.{name}", hint="Send the whole file")
        yield UploadFile(BytesIO(content), size=len(content), filename=name)


def _decoded(item: JsonValue, where: str) -> bytes:
    value, encoding = item, None
    if isinstance(item, dict):
        if "href" in item:
            raise ReferenceNotSupported(
                "files are not fetched from other servers",
                where=where,
                hint="Send the file by value, as {value: BASE64, encoding: base64, mediaType: ...}",
            )
        value, encoding = item.get("value"), item.get("encoding")
    hint = "Send the bytes of the file in base64"
    if encoding not in ENCODINGS:
        raise InvalidParameter(f"there is no encoding {str(encoding)[:100]!r}", where=where, hint=hint)
    if not isinstance(value, str):
        raise InvalidParameter("a file is a base64 string, as `value`", where=where, hint=hint)
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidParameter(f"not base64: {error}", where=where, hint=hint) from None


def _text(name: str, value: JsonValue) -> str:
    """Return a literal input as the text of a form field; whether there is such a field is checked with the form's."""
    literal = value.get("value") if isinstance(value, dict) else value
    kind = FORM_FIELDS.get(name, {"type": "string"})["type"]
    if isinstance(literal, bool) or not isinstance(literal, JSON_TYPES[kind]):
        raise InvalidParameter(
            f"must be of the type {kind}", where=f"inputs.{name[:100]}", hint="The process description lists the inputs"
        )
    return str(literal)
