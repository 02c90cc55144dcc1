"""Examples of problems for the OpenAPI description: what is wrong, where, and a hint, as they are sent."""

from __future__ import annotations

from typing import Final, NamedTuple


class ProblemExample(NamedTuple):
    """The texts of a problem."""

    what: str
    where: str
    hint: str


PROBLEM_EXAMPLES: Final[dict[str, ProblemExample]] = {
    code: ProblemExample(*texts)
    for code, texts in {
        "already-finished": (
            "the nowcast is successful",
            "nowcast",
            "Nothing is left to cancel; the result is kept for a while",
        ),
        "bad-geometry": (
            "the area is not valid: Self-intersection[5.2 52.1]",
            "coordinates",
            "Correct it, such as with make_valid of GEOS, or ST_MakeValid of PostGIS",
        ),
        "bad-input": (
            "the Z-R relation of HKO-7 pixels is fixed, hko7: Z = 58.53 R^1.56; fmi does not apply",
            "radar.png (zr)",
            "Leave zr out, or request hko7",
        ),
        "busy": ("too many requests wait for pictures", "service", "Try again in 2 s"),
        "callback-refused": (
            "host 'hooks.example.net' with port 443 is not on the list of this service",
            "callback_url",
            "The operator lists hosts in ECHOCAST_WEBHOOK_HOSTS, with the port where it is not 443",
        ),
        "dismissed": ("the nowcast was cancelled, it has no result", "nowcast", "Request a new nowcast"),
        "empty-file": ("the file is empty", "radar.h5", "Send the whole file"),
        "feed-not-pushed": (
            "the frames of this feed come from elsewhere",
            "feed",
            "The operator sets push = true in its table",
        ),
        "idempotency-key-reused": (
            "this key was used for another request",
            "Idempotency-Key",
            "Send a new key with each new request",
        ),
        "internal": (
            "the service failed to process the request",
            "",
            "Try again; if the failure persists, report the id",
        ),
        "invalid-parameter": ("'far' is not a number, such as 5.2", "lon", "Correct the parameter"),
        "irregular-time-step": (
            "the frame of 12:25 is missing between 12:20 and 12:30",
            "input",
            "Send consecutive frames",
        ),
        "missing-object": ("no such object", "result.nc", "It was deleted, or never written"),
        "no-data": ("no pixel of the newest frame has data", "input", "Send a frame of a radar that works"),
        "no-files": ("the request contains no file", "files", "Send one or more radar files as `files`"),
        "no-webhook": ("the nowcast was requested without callback_url", "id", "Follow the status, or its events"),
        "no-nowcast": (
            "there is no successful nowcast yet",
            "latest",
            "Request a nowcast with POST /v1/nowcasts, or follow one that is not finished",
        ),
        "no-sample": ("the sample is not part of this installation", "", "Send radar files of your own"),
        "not-on-earth": (
            "the grid's coordinates (unknown) have no relation to longitude and latitude",
            "lon, lat",
            "Give x and y, fractions of the picture",
        ),
        "no-web-push": ("this service has no web push", "service", "The operator sets ECHOCAST_PUSH_VAPID_KEY"),
        "no-such-subscription": (
            "there is no subscription '8f2a61c07d9b4e53a1c8e0f4b7d25963'",
            "id",
            "It was deleted, or the browser is no longer subscribed: subscribe again",
        ),
        "too-many-subscriptions": (
            "20 places are subscribed to, as many as may be",
            "subscription",
            "Remove the bell of another place",
        ),
        "no-such-frame": ("there is no frame 99", "frame", "Frames are 0 to 19"),
        "no-such-feed": ("there is no feed 'atlantis'", "feed", "GET /v1/feeds lists the feeds"),
        "no-such-location": (
            "the feed names no place 'atlantis'",
            "locationId",
            "/edr/collections/helsinki/locations lists the places",
        ),
        "run-not-failed": (
            "the run from 2026-06-01T12:00:00Z is successful",
            "reference_time",
            "Only a run without a nowcast is made again",
        ),
        "no-such-run": (
            "there is no run from 2026-06-01T12:05:00Z",
            "reference_time",
            "/v1/feeds/helsinki lists the newest runs",
        ),
        "no-such-product": (
            "this run has no product 'cog'",
            "product",
            "It has accumulations; the feed's key products tells what is made",
        ),
        "invalid-key": (
            "a client cannot be named 'Flood Duty'",
            "client",
            "Use 1 to 63 lower-case letters, digits, dots, hyphens and underscores, such as flood-duty",
        ),
        "no-such-key": ("no key '4d7f1451'", "id", "`echocast keys list` has the ids"),
        "not-promoted": (
            "not promoted, 1 of the gates' comparisons refuse it: live CSI at 2 mm/h beside rain-ms-predrnn@2",
            "my-radar@1",
            "Train it further; force with a reason promotes it anyway",
        ),
        "open-service": (
            "the service is open to everybody, and this needs an API key with the scope admin",
            "Authorization",
            "Create a key on the machine of the service: echocast keys create NAME --scope admin",
        ),
        "no-such-model": ("no model 'skynet'", "path", "/v1/models lists what can run here"),
        "no-such-process": ("no process 'echo'", "processID", "/processes lists what there is"),
        "not-a-radar-file": (
            "this is a JPEG image, which holds colours instead of values",
            "holiday.jpg",
            "Send the file that the picture was drawn from",
        ),
        "not-acceptable": (
            "the result is not available as 'video/mp4'",
            "Accept",
            "Request one of netcdf, webp, gif, png, geotiff",
        ),
        "not-finished": (
            "the nowcast is running, 3 of 12 lead steps are done",
            "nowcast",
            "Ask again later, or follow /v1/nowcasts/91b2257960b3404a8ea89dbf400ec53c",
        ),
        "not-found": ("nothing is at /problems/nonsense", "", "The addresses are listed in /openapi.json"),
        "not-json": ("the body is not application/json", "Content-Type", "Send an execute request as JSON"),
        "not-multipart": (
            "the body is not multipart/form-data",
            "Content-Type",
            "Send the radar files as form files",
        ),
        "outside-grid": (
            "longitude 140, latitude 35 is not on the grid",
            "lon, lat",
            "Give a place inside the bounds that /frames lists",
        ),
        "reference-not-supported": (
            "files are not fetched from other servers",
            "inputs.files[0]",
            "Send the file by value, as {value: BASE64, encoding: base64, mediaType: ...}",
        ),
        "steps-out-of-range": ("40 lead steps of 5 min are 200 min", "steps", "The model forecasts at most 180 min"),
        "too-few-frames": (
            "the model needs 5 frames, the input has 2",
            "input",
            "Send at least 5 frames at one time step",
        ),
        "too-large": (
            "the request is larger than 512 MB",
            "files",
            "Send at most 512 MB, the newest frames; ECHOCAST_MAX_UPLOAD_MB raises the limit",
        ),
        "too-many-files": (
            "more than 256 files in one request",
            "files",
            "Send at most 256 files; a nowcast needs only the newest",
        ),
        "daily-bytes-exceeded": ("the uploads of this key reach 10000 MB today", "files", "Continue tomorrow (UTC)"),
        "no-space": ("the disk of the service is full", "service", "Try again later"),
        "queue-deadline": (
            "the nowcast waited longer than 600 s",
            "nowcast",
            "Request it again with the newest frames",
        ),
        "queue-full": ("100 nowcasts wait already", "service", "Try again in 10 s"),
        "store-full": ("uploads and results fill the store of the service", "service", "Try again later"),
        "too-many-jobs": ("8 nowcasts of this client wait or run", "client", "Follow them, and request this one then"),
        "too-many-requests": ("more than 60 requests in a minute", "client", "Try again in 5 s"),
        "too-many-streams": ("64 streams are open", "events", "Poll the status, or try again later"),
        "wrong-crs": (
            "the coordinates reach 385000, 6672000: they are not longitude and latitude",
            "coordinates",
            "Transform the area to WGS 84, longitude first (EPSG:4326, -180 to 180), and cut it at 180 degrees",
        ),
        "unknown-job": (
            "no nowcast '91b2257960b3404a8ea89dbf400ec53c'",
            "id",
            "It may have been deleted after its retention",
        ),
        "unknown-model": ("there is no model 'skynet'", "model", "Use one that /v1/models lists, or auto"),
    }.items()
}
