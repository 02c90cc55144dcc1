"""Uploads: the files of a request are counted while they arrive, held on disk, then put into the store."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Final

from fastapi import Header, Request
from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from model.core.catalog import AUTO
from model.core.errors import TooLarge
from model.core.forecast_output import DETERMINISTIC_OUTPUT, FIELDS, ForecastField, ForecastOutput, parse_thresholds
from model.core.zr import zr_relation
from service.api.access.client import Client
from service.api.context import GatewayContext
from service.api.errors import EmptyFile, InvalidParameter, NoFiles, NotMultipart, TooManyFiles
from service.api.nowcasts.form_fields import DEFAULT_STEPS, FORM_FIELDS
from service.api.request_body import drain
from service.jobs.costs import work_of_files
from service.jobs.job import Job, JobInput, UnknownJob, new_job_id
from service.jobs.reuse import answered_job, models_digest
from service.store import MissingObject, input_key, job_prefix, result_key, upload_key
from service.webhooks.callback_url import FIELD as CALLBACK_URL
from service.webhooks.callback_url import MAX_CHARACTERS as MAX_CALLBACK
from service.webhooks.callback_url import parse_callback

MAX_FIELDS: Final = 16
MAX_NAME: Final = 200
MAX_KEY: Final = 200
"""Most characters of file names, field values and Idempotency-Keys."""

IdempotencyKey = Annotated[
    str | None,
    Header(alias="Idempotency-Key", description="The same key with the same request returns the same nowcast."),
]
CacheControl = Annotated[
    str | None,
    Header(alias="Cache-Control", description="`no-cache`: make the nowcast, though its result may be stored."),
]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class NowcastOptions:
    """The validated form fields of one request."""

    model: str
    steps: int
    variable: str | None
    zr: str | None
    forecast_output: ForecastOutput
    callback_url: str | None


async def read_form(request: Request, context: GatewayContext) -> FormData:
    """Read the multipart form. Its files are temporary files that the caller closes.

    Raises
    ------
    TooLarge
        The body is larger than the limit, according to Content-Length or as soon as the limit is exceeded.
    TooManyFiles, NotMultipart, InvalidParameter
        The form cannot be used.
    """
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise NotMultipart(
            "the body is not multipart/form-data", where="Content-Type", hint="Send the radar files as form files"
        )
    limit_mb = context.settings.max_upload_mb
    max_files = context.settings.max_files
    parser = MultiPartParser(
        request.headers, limited_body(request, limit_mb), max_files=max_files, max_fields=MAX_FIELDS
    )
    try:
        return await parser.parse()
    except MultiPartException as error:
        if "Too many files" in error.message:
            raise TooManyFiles(
                f"more than {max_files} files in one request",
                where="files",
                hint=f"Send at most {max_files} files; a nowcast needs only the newest",
            ) from None
        raise InvalidParameter(error.message, where="body", hint="Send multipart/form-data") from None


async def limited_body(request: Request, limit_mb: int) -> AsyncGenerator[bytes, None]:
    """Yield a body as it arrives.

    Raises
    ------
    TooLarge
        The body is larger than the limit, according to Content-Length or as soon as the limit is exceeded.
    """
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > limit_mb * 1_000_000:
        await drain(request)
        raise _too_large(limit_mb)
    arrived = 0
    async for piece in request.stream():
        arrived += len(piece)
        if arrived > limit_mb * 1_000_000:
            await drain(request)
            raise _too_large(limit_mb)
        yield piece


def _too_large(limit_mb: int) -> TooLarge:
    return TooLarge(
        f"the request is larger than {limit_mb} MB",
        where="files",
        hint=f"Send at most {limit_mb} MB, the newest frames; ECHOCAST_MAX_UPLOAD_MB raises the limit",
    )


def parse_options(form: FormData, context: GatewayContext) -> NowcastOptions:
    """Parse the form fields, and validate them against the catalogue.

    Raises
    ------
    UnknownModel, StepsOutOfRange, InvalidParameter, CallbackRefused, InputError
        A field cannot be used.
    """
    check_fields(form, tuple(FORM_FIELDS))
    model = _text(form, "model") or AUTO
    steps = _whole_number(form, "steps", DEFAULT_STEPS, hint="Give the number of lead steps")
    output = _parse_output(form)
    models = context.catalog.resolve(model).models
    # A model to which the reference may resolve must support the steps; the frames decide which model runs.
    if not any(1 <= steps <= info.max_steps_at() for info in models):
        models[0].check_steps(steps)
    # Only the preferred model must give what is asked for; of what a fallback cannot give, its note tells.
    models[0].check_output(output)
    zr = _text(form, "zr")
    if zr is not None:
        zr_relation(zr)
    callback_url = _text(form, CALLBACK_URL, MAX_CALLBACK)
    if callback_url is not None:
        parse_callback(callback_url, context.settings)
    return NowcastOptions(
        model=model,
        steps=steps,
        variable=_text(form, "variable"),
        zr=zr,
        forecast_output=output,
        callback_url=callback_url,
    )


def check_fields(form: FormData, names: Sequence[str]) -> None:
    """Check that a form has no fields but those of the names.

    Raises
    ------
    InvalidParameter
        There is another one.
    """
    for name in form:
        if name not in names:
            raise InvalidParameter("there is no such field", where=name[:MAX_NAME], hint=f"Use {', '.join(names)}")


def _parse_output(form: FormData) -> ForecastOutput:
    thresholds = _text(form, "probabilities")
    return ForecastOutput(
        field=_field(_text(form, "field")),
        thresholds_mm_h=() if thresholds is None else parse_thresholds(thresholds),
        members=_whole_number(form, "members", 0, hint="Give the number of members, such as 20"),
        seed=_whole_number(form, "seed", 0, hint="Give a whole number"),
    )


def _field(name: str | None) -> ForecastField | None:
    for field in FIELDS:
        if name == field:
            return field
    if name is not None:
        raise InvalidParameter(
            f"there is no field {name!r}", where="field", hint=f"Choose one of {', '.join(FIELDS)}, or leave it out"
        )
    return None


def _whole_number(form: FormData, name: str, default: int, *, hint: str) -> int:
    text = _text(form, name)
    try:
        return default if text is None else int(text)
    except ValueError:
        raise InvalidParameter(f"{text!r} is not a whole number", where=name, hint=hint) from None


def _text(form: FormData, name: str, max_characters: int = MAX_NAME) -> str | None:
    value = form.get(name)
    if isinstance(value, UploadFile):
        raise InvalidParameter("this field is text, not a file", where=name, hint="Send it as a plain field")
    text = (value or "").strip()
    if len(text) > max_characters:
        raise InvalidParameter(f"longer than {max_characters} characters", where=name, hint="Shorten it")
    if "\0" in text:  # PostgreSQL stores none
        raise InvalidParameter("the text contains a NUL character", where=name, hint="Leave it out")
    return text or None


def uploaded_files(form: FormData) -> list[UploadFile]:
    """Return the uploaded files.

    Raises
    ------
    NoFiles, EmptyFile, InvalidParameter
        There are none, a file is empty, or the field is text.
    """
    files = form.getlist("files")
    uploads = [file for file in files if isinstance(file, UploadFile)]
    if len(uploads) < len(files):
        raise InvalidParameter("this field is for files, not text", where="files", hint="Send the radar files")
    if not uploads:
        raise NoFiles("the request contains no file", where="files", hint="Send one or more radar files as `files`")
    for upload in uploads:
        if not upload.size:
            raise EmptyFile("the file is empty", where=file_name(upload), hint="Send the whole file")
    return uploads


def create_job(
    context: GatewayContext,
    client: Client,
    files: list[UploadFile],
    options: NowcastOptions,
    idempotency_key: str | None,
    fresh: bool = False,
) -> Job:
    """Put the files into the store, record the job in the ledger, and queue it. Blocks.

    A request whose result is stored, from an earlier one of the same client, is answered with it at once, unless a
    `fresh` nowcast is wanted.

    Raises
    ------
    IdempotencyConflict
        The key was used for another request.
    LimitExceeded
        A limit is reached; see `service.jobs.admission`.
    """
    digest = _digest(files, options)
    if idempotency_key is not None:
        earlier = context.ledger.find_by_idempotency_key(client.id, idempotency_key, digest, options.callback_url)
        if earlier is not None:
            return earlier
    answered = None if fresh else _answer(context, client, files, digest, options, idempotency_key)
    if answered is not None:
        return answered
    job_id = new_job_id()
    total_bytes = sum(upload.size or 0 for upload in files)
    work = work_of_files(total_bytes, len(files), options.steps, options.forecast_output)

    def record() -> Job:
        uploaded = Job(
            id=job_id,
            client=client.id,
            work=work,
            running_limit=context.admission.running_limit(client.quota),
            cost_seconds=context.fair_share.cost_seconds(options.model, work),
            inputs=[_store(context, job_id, index, upload) for index, upload in enumerate(files)],
            idempotency_key=idempotency_key,
            request_digest=digest,
            **vars(options),
        )
        return context.admission.create(uploaded, client.quota)

    job = _recorded(context, job_id, record)
    if job.id != job_id:
        return job
    try:
        context.queue.enqueue(job.id)
        return context.ledger.get(job.id)
    except Exception:  # of any kind: the job is in the ledger, from which the reconciler queues it
        log.exception("job %s is recorded, but may not be queued yet", job.id)
        return job


def _answer(
    context: GatewayContext,
    client: Client,
    files: list[UploadFile],
    digest: str,
    options: NowcastOptions,
    idempotency_key: str | None,
) -> Job | None:
    """Return a new job with the stored result of the same request; None where there is no such result."""
    models = models_digest(context.catalog, options.model, context.settings)
    earlier = context.ledger.find_result(client.id, digest, models)
    if earlier is None or earlier.result_key is None or earlier.input_key is None:
        return None
    job_id = new_job_id()
    copies = {earlier.input_key: input_key(job_id), earlier.result_key: result_key(job_id)}
    inputs = [
        JobInput(name=file_name(upload), key=upload_key(job_id, index), size=upload.size or 0)
        for index, upload in enumerate(files)
    ]

    def record() -> Job:
        for key, copied in copies.items():
            context.store.copy(key, copied)
        answered = answered_job(earlier, job_id, inputs, result_bytes=context.store.size(*copies.values()))
        answered.idempotency_key = idempotency_key
        answered.callback_url = options.callback_url
        return context.admission.create_answered(answered, client.quota)

    try:
        return _recorded(context, job_id, record)
    except MissingObject:
        return None


def _recorded(context: GatewayContext, job_id: str, record: Callable[[], Job]) -> Job:
    """Return the job that `record` puts into the store and the ledger; what it stored is deleted if that fails.

    So it is where an earlier job of the same Idempotency-Key is returned in its place.
    """
    try:
        job = record()
    except BaseException:
        _discard(context, job_id)
        raise
    if job.id != job_id:
        context.store.delete_prefix(job_prefix(job_id))
    return job


def _discard(context: GatewayContext, job_id: str) -> None:
    """Delete the objects of a request without a job. The failure may have come after the job was recorded."""
    try:
        context.ledger.get(job_id)
    except UnknownJob:
        context.store.delete_prefix(job_prefix(job_id))
    except SQLAlchemyError as error:
        log.warning("the objects of job %s are left in the store, the ledger does not respond: %s", job_id, error)


def check_key(key: str | None) -> str | None:
    """Return the Idempotency-Key.

    Raises
    ------
    InvalidParameter
        The key is empty or too long.
    """
    if key is not None and not 0 < len(key) <= MAX_KEY:
        raise InvalidParameter(
            f"must have 1 to {MAX_KEY} characters", where="Idempotency-Key", hint="Send a UUID, for example"
        )
    return key


def wants_fresh(cache_control: str | None) -> bool:
    """Whether the Cache-Control of a request rules a stored result out."""
    return "no-cache" in (cache_control or "").lower()


def file_name(upload: UploadFile) -> str:
    """Return the file's name, short and printable, without the folders that some clients send."""
    name = (upload.filename or "").replace("\\", "/").rpartition("/")[2]
    return "".join(letter if letter.isprintable() else "?" for letter in name)[-MAX_NAME:] or "upload"


def _store(context: GatewayContext, job_id: str, index: int, upload: UploadFile) -> JobInput:
    key = upload_key(job_id, index)
    upload.file.seek(0)
    context.store.put(key, upload.file)
    return JobInput(name=file_name(upload), key=key, size=upload.size or 0)


def _digest(files: list[UploadFile], options: NowcastOptions) -> str:
    """Return the SHA-256 (hex) of the request: its fields, and each file's name and bytes."""
    fields: list[object] = [options.model, options.steps, options.variable, options.zr]
    if options.forecast_output != DETERMINISTIC_OUTPUT:
        fields.append(asdict(options.forecast_output))
    sha = hashlib.sha256(json.dumps(fields).encode())
    for upload in files:
        upload.file.seek(0)
        content = hashlib.sha256()
        while piece := upload.file.read(1 << 20):
            content.update(piece)
        sha.update(json.dumps([file_name(upload), content.hexdigest()]).encode())
    return sha.hexdigest()
