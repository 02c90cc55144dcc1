"""docs/networks.md matches the code: computed figures are recomputed, and no network is missing."""

from __future__ import annotations

import pytest

from benchmarks.page.markdown import part_of
from benchmarks.paths import NETWORKS_PAGE
from benchmarks.speed.networks import SIDE, config_of, names
from model.nets.forecast_model import build_model
from model.nets.profile import profile


def rows(part: str) -> dict[str, list[str]]:
    """The rows of a part's table, by their first cell."""
    lines = [line for line in part_of(part, NETWORKS_PAGE).splitlines() if line.startswith("| ")]
    assert lines, f"docs/networks.md has no table of {part}"
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    return {row[0]: row[1:] for row in cells}


def test_the_cost_table_has_every_network():
    assert list(rows("cost")) == names()


@pytest.mark.parametrize("name", names())
def test_parameters_and_multiply_adds_in_the_table_are_those_of_the_network(name):
    parameters, gmac, share, *measured = rows("cost")[name]
    layers = profile(build_model(config_of(name)))
    assert parameters == f"{sum(layer.parameters for layer in layers):,}"
    assert gmac == f"{sum(layer.macs_per_pixel for layer in layers) * SIDE**2 / 1e9:.2f}"
    assert (share != "-") == name.startswith("ms-")
    assert len(measured) == 6
    assert all(float(figure) > 0 for figure in measured)


def test_where_the_official_code_is_right_ours_gives_its_numbers():
    for network, cells in rows("official").items():
        repository, difference, *_, note = cells
        if "as published" not in note:
            assert float(difference) < 1e-4, f"{network} of {repository}"


def test_the_training_table_has_each_of_the_short_trainings():
    assert set(rows("training")) >= {
        *(
            f"mnist-{network}{variant}"
            for network in ("predrnn", "ms-predrnn")
            for variant in ("", "-decoupled", "-rss", "-v2")
        ),
        "mnist-tau",
        "mnist-tau-plain",
    }
