"""What runs before a route: nothing that waits for a thread without need."""

from __future__ import annotations

from inspect import iscoroutinefunction

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from service.api.app import create_app
from service.settings import Settings


def calls_of(dependant: Dependant) -> set[object]:
    """Everything that is called before a route, in whatever depth."""
    below = {call for each in dependant.dependencies for call in calls_of(each)}
    return below | {each.call for each in dependant.dependencies}


@pytest.fixture
def routes(tmp_path):
    app = create_app(Settings(data_dir=tmp_path, broker_url=None))
    from fastapi.routing import iter_route_contexts

    yield [each for each in iter_route_contexts(app.routes) if isinstance(each.original_route, APIRoute)]
    app.state.context.close()


def test_dependencies_do_not_wait_for_a_thread(routes) -> None:
    """FastAPI runs a plain function in a thread, behind whatever else waits for one: 0.2 ms at best."""
    calls = {call for route in routes for call in calls_of(route.dependant)}
    assert len(calls) > 5
    plain = [call for call in calls if not any(map(iscoroutinefunction, (call, getattr(call, "__call__", None))))]  # noqa: B004
    assert plain == []
