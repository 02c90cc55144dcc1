"""Files of earlier versions stay readable."""

import pytest

from model.core.stored import upgrade_model_config, upgrade_recipe

NET = {"scales": [1, 1], "dialect": "authors", "kernel": 3}


@pytest.mark.parametrize(("dialect", "implementation"), [("authors", "official"), ("ms-rnn", "ms-rnn")])
def test_a_recipe_of_schema_1_has_the_names_of_schema_2(dialect, implementation):
    stored = {"name": "mine", "forecaster": {"net": {**NET, "dialect": dialect}, "channels": 2}, "sampling": {"of": 9}}
    assert upgrade_recipe(stored) == {
        "name": "mine",
        "model": {"net": {"scales": [1, 1], "implementation": implementation, "kernel": 3}, "channels": 2},
        "sampling": {"total_steps": 9},
    }
    assert stored["forecaster"]["net"]["dialect"] == dialect


def test_a_current_recipe_stays_as_it_is():
    recipe = {"model": {"net": {"implementation": "official"}}}
    assert upgrade_recipe({"schema": 2, **recipe}) == recipe


@pytest.mark.parametrize("stored", [{}, {"schema": 2}])
def test_the_record_of_initial_weights_has_the_present_names(stored):
    """Runs of schema 1 that were resumed have schema 2 and an older record."""
    init = {"from": "packages/rain/1", "archives": [], "untold": "days of 2019"}
    upgraded = upgrade_recipe({**stored, "name": "mine", "init": init})
    assert upgraded["init"] == {"from": "packages/rain/1", "archives": [], "provenance_gaps": "days of 2019"}


@pytest.mark.parametrize("config", [None, [], "lstm", {}, {"net": None}, {"net": {"translator": "tau"}}])
def test_a_configuration_without_the_old_name_stays_as_it_is(config):
    assert upgrade_model_config(config) == config
