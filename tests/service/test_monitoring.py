"""The dashboard and the alert rules: they name metrics and labels that exist, and Prometheus accepts them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.metrics import metric_labels
from tests.patience import WAIT_SECONDS

OF_PROMETHEUS = {"instance", "job", "le", "severity"}
"""Labels that Prometheus sets itself."""


@pytest.fixture
def panels(project: Path) -> list[dict]:
    dashboard = json.loads((project / "deploy" / "grafana" / "echocast.json").read_text())
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


@pytest.fixture
def alerts(project: Path) -> list[dict]:
    groups = yaml.safe_load((project / "deploy" / "prometheus" / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


@pytest.fixture
def promtool(project: Path):
    """Run promtool of Prometheus, as Debian has it; skips where it is not installed."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed (Debian: apt install prometheus)")

    def run(*words: object) -> None:
        command = ["promtool", *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_SECONDS, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    return run


def expressions(panels: list[dict], alerts: list[dict]) -> Iterator[str]:
    for panel in panels:
        yield from (target["expr"] for target in panel["targets"])
    yield from (alert["expr"] for alert in alerts)


def test_dashboard_and_alerts_name_metrics_and_labels_that_exist(panels, alerts) -> None:
    known = metric_labels()
    used = set()
    for expression in expressions(panels, alerts):
        names = {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"echocast_\w+", expression)}
        assert names <= set(known), expression
        labels = OF_PROMETHEUS.union(*(known[name] for name in names))
        selected = set(re.findall(r"(\w+)!?=~?\"", expression))
        grouped = {label.strip() for by in re.findall(r"\bby \(([^)]*)\)", expression) for label in by.split(",")}
        assert selected | grouped <= labels, expression
        used |= names
    assert set(known) <= used, "the dashboard shows every metric"


def test_legends_name_labels_that_their_queries_keep(panels) -> None:
    for panel in panels:
        for target in panel["targets"]:
            legend = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            kept = re.findall(r"\bby \(([^)]*)\)", target["expr"])
            by = {label.strip() for label in ",".join(kept).split(",")} if kept else {"device", "instance"}
            assert legend <= by, panel["title"]


def test_panels_do_not_overlap(panels) -> None:
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_every_alert_is_in_the_docs(alerts, project: Path) -> None:
    rows = re.findall(r"^\| `(Echocast\w+)` \|", (project / "docs" / "monitoring.md").read_text(), flags=re.MULTILINE)
    assert rows == [alert["alert"] for alert in alerts]


def test_prometheus_accepts_the_rules_and_the_example_of_a_configuration(promtool, project: Path) -> None:
    promtool("check", "config", project / "deploy" / "prometheus" / "prometheus.yml")


def test_every_alert_fires_on_what_it_is_for_and_is_silent_otherwise(promtool, project: Path) -> None:
    promtool("test", "rules", project / "tests" / "service" / "alerts_test.yml")


def test_prometheus_accepts_every_query_of_the_dashboard(promtool, panels, tmp_path: Path) -> None:
    queries = [expression.replace("$__rate_interval", "5m") for expression in expressions(panels, [])]
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", tmp_path / "rules.yml")
