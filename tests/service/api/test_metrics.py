"""What Prometheus sees of the gateway: requests by route, jobs by end, and the state of ledger, queue and disks."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.jobs.job import Job, Problem, Timings


@pytest.fixture
def scrape(gateway):
    """The value of one sample, or the sum of those that have the labels; 0 where there is none."""

    def value(name, **labels):
        response = gateway.get("/metrics")
        assert response.status_code == 200
        families = text_string_to_metric_families(response.text)
        samples = [sample for family in families for sample in family.samples if sample.name == name]
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())

    return value


@pytest.mark.parametrize(
    ("method", "path", "route", "status"),
    [
        ("GET", "/v1/nowcasts/0123", "/v1/nowcasts/{id}", "404"),
        ("GET", "/v1/models/none/versions/1", "/v1/models/{name}/versions/{version}", "404"),
        ("HEAD", "/v1/models", "/v1/models", "200"),
        ("PUT", "/v1/models", "/v1/models", "405"),
        ("GET", "/static/none.js", "/static", "404"),
        ("GET", "/nothing/at/all", "none", "404"),
        ("BREW", "/pot", "none", "404"),
    ],
)
def test_requests_are_counted_by_the_template_of_their_route(gateway, scrape, method, path, route, status):
    labels = {"method": "other" if method == "BREW" else method, "route": route}
    before = scrape("echocast_http_requests_total", **labels, status=status)
    timed = scrape("echocast_http_request_duration_seconds_count", **labels)
    assert str(gateway.request(method, path).status_code) == status
    assert scrape("echocast_http_requests_total", **labels, status=status) == before + 1
    assert scrape("echocast_http_request_duration_seconds_count", **labels) == timed + 1


def test_no_path_of_a_request_becomes_a_label(gateway):
    gateway.get("/v1/nowcasts/a-secret-id")
    gateway.get("/a-secret-path")
    assert "secret" not in gateway.get("/metrics").text


def test_jobs_are_counted_where_they_end_with_the_reason_and_the_time_of_each_phase(context, scrape):
    ended = "echocast_jobs_finished_total"
    ledger = context.ledger
    new = [ledger.create(Job(model="auto", steps=3, inputs=[])) for _ in range(3)]
    waiting, running = ({"kind": "upload", "status": status} for status in ("accepted", "running"))
    accepted = scrape("echocast_jobs", **waiting)
    assert accepted >= 3
    assert scrape("echocast_queue_oldest_job_age_seconds", kind="upload") > 0
    good, bad = (ledger.claim(job.id, 60) for job in new[:2])
    assert scrape("echocast_jobs", **running) >= 2
    assert scrape("echocast_jobs", **waiting) == accepted - 2
    before = [
        scrape(ended, status="successful", reason=""),
        scrape(ended, status="failed", reason="too-few-frames"),
        scrape(ended, status="dismissed", reason=""),
        scrape("echocast_job_phase_duration_seconds_sum", phase="compute"),
    ]
    timings = Timings(queue_seconds=1, read_seconds=2, compute_seconds=4, write_seconds=8)
    problem = Problem(code="too-few-frames", what="2 frames", where="input", hint="Give 4")
    assert ledger.succeed(good, result_key="r", input_key="i", timings=timings)
    assert not ledger.succeed(good, result_key="r", input_key="i", timings=timings)  # counted once
    assert ledger.fail(bad, problem)
    assert ledger.dismiss(new[2].id)
    assert not ledger.dismiss(new[2].id)
    after = [
        scrape(ended, status="successful", reason=""),
        scrape(ended, status="failed", reason="too-few-frames"),
        scrape(ended, status="dismissed", reason=""),
        scrape("echocast_job_phase_duration_seconds_sum", phase="compute"),
    ]
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 1, 1, 4]


def test_a_scrape_works_without_the_broker_and_says_that_it_is_down(scrape):
    assert scrape("echocast_component_up", component="broker") == 0
    assert scrape("echocast_component_up", component="ledger") == 1
    assert 0 < scrape("echocast_disk_free_bytes", folder="store") <= scrape("echocast_disk_size_bytes", folder="store")


def test_a_scrape_may_ask_for_open_metrics(gateway):
    response = gateway.get("/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0"})
    assert response.headers["content-type"].startswith("application/openmetrics-text")
    assert response.text.endswith("# EOF\n")
