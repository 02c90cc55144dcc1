"""Settings from the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.core.catalog import open_catalog
from model.core.settings import BadSetting
from service.settings import Settings, load_settings


def test_each_setting_is_described() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_everything_lies_in_the_data_folder_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECHOCAST_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("ECHOCAST_BROKER_URL", raising=False)
    settings = load_settings()
    assert settings.embedded
    assert settings.database == f"sqlite:///{tmp_path}/ledger.sqlite"
    assert settings.store == f"file://{tmp_path}/store"
    assert settings.packages_folder == tmp_path / "packages"
    assert settings.feeds_path == tmp_path / "feeds.toml"
    assert "persistence" in [info.name for info in open_catalog(settings.packages_folder).models()]


def test_urls_come_from_the_environment_and_options_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECHOCAST_DATABASE_URL", "postgresql://u@db/e")
    monkeypatch.setenv("ECHOCAST_STORE_URL", "s3://bucket/echocast")
    monkeypatch.setenv("ECHOCAST_PORT", "81")
    settings = load_settings(port=82, host=None)
    assert settings.database == "postgresql+psycopg://u@db/e"
    assert settings.store == "s3://bucket/echocast"
    assert (settings.port, settings.host) == (82, "127.0.0.1")


def test_a_bad_value_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECHOCAST_MAX_FILES", "many")
    with pytest.raises(BadSetting, match=r"ECHOCAST_MAX_FILES: .*'many'"):
        load_settings()
