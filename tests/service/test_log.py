"""The log: text for people, JSON for programs, ids in both, and nothing that is secret or breaks a line."""

import json
import logging

import pytest

from service.log import JsonFormatter, TextFormatter, log_context


@pytest.fixture(params=[TextFormatter, JsonFormatter])
def line(request):
    """What a formatter makes of a message."""

    def write(message, *args, **more):
        record = logging.LogRecord("a.b", logging.WARNING, __file__, 1, message, args, more.get("exc_info"))
        return request.param().format(record)

    return write


def test_a_password_in_an_address_is_not_logged(line):
    written = line("cannot reach %s", "postgresql+psycopg://echocast:hunter2@db:5432/x")
    assert "hunter2" not in written
    assert "postgresql+psycopg://echocast:***@db:5432/x" in written
    assert "s3cret" not in line("rediss://:s3cret@redis:6379/0")


def test_a_name_of_an_upload_cannot_begin_a_line_of_its_own(line):
    written = line("job 1: %s", "a.nc\n2026-01-01T00:00:00Z INFO all is well\x1b[2J")
    assert len(written.splitlines()) == 1
    assert "\x1b" not in written


def test_a_traceback_in_text_is_no_record_and_has_no_password():
    try:
        raise ValueError("at redis://:s3cret@redis\n2026-01-01T00:00:00.000Z INFO all is well")
    except ValueError as error:
        record = logging.LogRecord("a.b", logging.ERROR, __file__, 1, "failed", (), (type(error), error, None))
    first, *others = TextFormatter().format(record).splitlines()
    assert first.endswith("ERROR a.b: failed")
    assert others == ["  ValueError: at redis://:***@redis", "  2026-01-01T00:00:00.000Z INFO all is well"]


def test_ids_of_the_context_are_in_every_record(line):
    with log_context(request_id="request-1"), log_context(job_id="job-1", tile=None):
        written = line("something happened")
    assert "request-1" in written
    assert "job-1" in written
    assert "request-1" not in line("something else")


def test_an_id_that_the_message_names_is_not_repeated():
    with log_context(job_id="job-1"):
        record = logging.LogRecord("a.b", logging.INFO, __file__, 1, "job %s: done", ("job-1",), None)
        assert TextFormatter().format(record).endswith("INFO a.b: job job-1: done")


def test_a_record_in_json_has_its_fields_and_traceback():
    try:
        raise ValueError("at redis://:s3cret@redis")
    except ValueError as error:
        record = logging.LogRecord("a.b", logging.ERROR, __file__, 1, "failed", (), (type(error), error, None))
    record.fields = {"route": "/v1/nowcasts/{id}"}
    entry = json.loads(JsonFormatter().format(record))
    assert (entry["level"], entry["logger"], entry["message"]) == ("ERROR", "a.b", "failed")
    assert entry["route"] == "/v1/nowcasts/{id}"
    assert entry["exception"] == "ValueError: at redis://:***@redis"
    assert entry["time"].endswith("+00:00")
