"""The docs, held to the code: every setting, route and command is in them, and they name none that is not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from pydantic_core import PydanticUndefined

from service.cli import cli
from service.settings import Settings

SCHEMAS = {
    f"ECHOCAST_{name}" for name in ("OGC_SCHEMAS", "STAC_SCHEMAS", "EDR_SCHEMAS", "COVJSON_SCHEMA", "ASYNCAPI_SCHEMA")
}
BESIDE_SETTINGS = {"ECHOCAST_DEBUG", "ECHOCAST_REAL_DATA", *SCHEMAS}
"""Variables of a single program, which are not among the service's settings."""

DOCS = Path(__file__).parents[1] / "docs"
DATED = {"docs/lab.md"}
"""Records, which keep the names of their time."""
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "deploy/README.md",
    *(f"docs/{path.name}" for path in sorted(DOCS.glob("*.md"))),
)


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Every command that can be run, with its full name."""
    if not isinstance(command, click.Group):
        yield " ".join(path), command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from commands(found, (*path, name))


@pytest.fixture
def openapi(tmp_path: Path) -> dict[str, dict[str, object]]:
    """Path -> methods, of the routes that the gateway has."""
    from service.api.app import create_app

    app = create_app(Settings(data_dir=tmp_path))
    paths = app.openapi()["paths"]
    app.state.context.close()
    return paths


def test_every_setting_is_in_the_table_as_the_code_has_it(project: Path) -> None:
    text = (project / "docs" / "settings.md").read_text()
    rows = {row.split("`")[1]: row for row in text.splitlines() if row.startswith("| `ECHOCAST_")}
    fields = {f"ECHOCAST_{name}".upper(): field for name, field in Settings.model_fields.items()}
    assert set(rows) == set(fields) | BESIDE_SETTINGS
    for name, field in fields.items():
        assert field.description, name
        assert field.description in rows[name], f"{name}: the code says: {field.description}"
        if field.default is not None and field.default is not PydanticUndefined:
            assert f"| {field.default} |" in rows[name], f"{name}: the default is {field.default}"


def test_every_route_is_in_the_docs(project: Path, openapi: dict[str, dict[str, object]]) -> None:
    text = (project / "docs" / "http.md").read_text()
    routes = {f"{method.upper()} {path}" for path, methods in openapi.items() for method in methods}
    written = set(re.findall(r"`((?:GET|POST|PUT|DELETE|PATCH) /[^`\s?]*)", text))
    assert routes <= written
    assert written - routes <= {"GET /", "GET /docs", "GET /openapi.json"}


def test_every_metric_is_in_the_docs(project: Path) -> None:
    from tests.metrics import metric_labels

    text = (project / "docs" / "monitoring.md").read_text()
    rows = re.findall(r"^\| `(echocast_\w+)` \|([^|]*)\|", text, flags=re.MULTILINE)
    assert {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows} == metric_labels()


def test_every_problem_is_in_the_docs(project: Path) -> None:
    from service.problem_details import PROBLEM_TYPES

    text = (project / "docs" / "http.md").read_text()
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| (\d+) \|", text, flags=re.MULTILINE))
    assert rows == {code: str(kind.status) for code, kind in PROBLEM_TYPES.items()}


def test_every_response_and_problem_of_the_openapi_has_an_example(openapi: dict[str, dict[str, Any]]) -> None:
    """Texts of problems are in service/api/problem_examples.py, responses in service/api/openapi_examples.json."""
    for operation in (operation for methods in openapi.values() for operation in methods.values()):
        for status, response in operation["responses"].items():
            content = response.get("content", {})
            problems = content.get("application/problem+json", {}).get("examples", {})
            missing = [code for code, example in problems.items() if not example["value"]["what"]]
            assert missing == [], f"{operation['operationId']}: no text in PROBLEM_EXAMPLES"
            assert "example" in content.get("application/json", {"example": None}), (operation["operationId"], status)


def test_every_command_and_option_is_in_the_docs(project: Path) -> None:
    text = (project / "docs" / "cli.md").read_text()
    parts = re.split(r"^#+ `echocast ", text, flags=re.MULTILINE)[1:]
    sections = {part.split("`")[0]: part for part in parts}
    known = dict(commands(cli))
    assert {" ".join(word for word in name.split() if word.islower()) for name in sections} == set(known)
    for name, section in sections.items():
        command = known[" ".join(word for word in name.split() if word.islower())]
        summary = " ".join((command.help or "").split("\n\n")[0].split())
        assert section.split("\n\n")[1].replace("`", "") == summary.replace("`", ""), name
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                assert option.opts[0] in section, f"{name} {option.opts[0]}"


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings(page: str, project: Path) -> None:
    path = project / page
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#?([^)\s]*)\)", path.read_text()):
        if not target.startswith(("http://", "https://")):
            linked = path.parent / target if target else path
            assert linked.exists(), target
            assert not anchor or anchor in anchors(linked.read_text()), f"{target}#{anchor}"


@pytest.mark.parametrize("page", [page for page in PAGES if page not in DATED])
def test_named_settings_are_settings(page: str, project: Path) -> None:
    settings = {f"ECHOCAST_{name}".upper() for name in Settings.model_fields} | BESIDE_SETTINGS
    assert set(re.findall(r"ECHOCAST_[A-Z_]*[A-Z]", (project / page).read_text())) <= settings


def test_the_paths_of_the_architecture_name_files_once(project: Path) -> None:
    text = (project / "docs" / "architecture.md").read_text()
    paths = text.split("## Three paths", 1)[1].split("\n## ", 1)[0].split("\n### ")[1:]
    assert len(paths) == 3
    for path in paths:
        main, *side = path.split("\nFrom a foreign checkpoint")
        for part in (main, *side):
            files = re.findall(r"^- `([^`]+)`:", part, flags=re.MULTILINE)
            assert files
            assert [file for file in files if files.count(file) > 1] == []
    named = re.findall(r"`((?:model|service|workers|benchmarks)/[\w./]*)`", text)
    assert [name for name in named if not (project / name).exists()] == []


def test_the_makefile_has_what_the_readme_promises(project: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (project / "Makefile").read_text(), flags=re.MULTILINE))
    promised = set(re.findall(r"\bmake ([a-z]+)", (project / "README.md").read_text()))
    assert {"run", "test"} <= promised <= targets


def test_the_scope_of_every_route_is_in_the_docs(project: Path, tmp_path: Path) -> None:
    from service.api.access.scopes import scopes_of_routes
    from service.api.app import create_app

    app = create_app(Settings(data_dir=tmp_path))
    routes = {
        f"{method} {route.path_format}": scope or ""
        for route, scope in scopes_of_routes(app)
        for method in route.methods or ()
        if route.include_in_schema
    }
    app.state.context.close()
    text = (project / "docs" / "http.md").read_text().split("## All routes", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\|(.*?)\|(?: `(\w+)`)? \|", text, flags=re.MULTILINE)
    assert {route: scope for cell, scope in rows for route in re.findall(r"`([A-Z]+ /[^`]*)`", cell)} == routes
