"""A base map of the operator's own: the page may load pictures from its host, and from no other."""

import pytest

from model.core.settings import BadSetting
from service.api.app import create_app
from service.settings import Settings, load_settings
from tests.service.api.conftest import served

TILES = "https://tiles.example.org:8443/base/{z}/{x}/{y}.png?style=grey"


def policy_and_map(settings):
    app = create_app(settings)
    with served(app) as client:
        policy = client.get("/", headers={"Accept": "text/html"}).headers["content-security-policy"]
        return policy, client.get("/ground/index.json").json()["base_map"]


def test_without_one_the_page_loads_nothing_from_elsewhere(tmp_path):
    policy, base_map = policy_and_map(Settings(data_dir=tmp_path))
    assert "http" not in policy
    assert base_map is None


def test_pictures_of_exactly_that_host_are_permitted(tmp_path):
    settings = Settings(data_dir=tmp_path, base_map_url=TILES, base_map_attribution="© Example")
    policy, base_map = policy_and_map(settings)
    assert "img-src 'self' https://tiles.example.org:8443 data: blob:;" in policy
    assert policy.count("http") == 1
    assert base_map == {"url": TILES, "attribution": "© Example"}


@pytest.mark.parametrize(
    "url",
    [
        "https://tiles.example.org/",
        "https://{s}.example.org/{z}/{x}/{y}.png",
        "https://a.org; script-src *//{z}/{x}/{y}",
        "ftp://a.org/{z}/{x}/{y}",
        "//a.org/{z}/{x}/{y}",
    ],
)
def test_what_is_no_address_of_tiles_of_one_host_is_refused(url, monkeypatch):
    monkeypatch.setenv("ECHOCAST_BASE_MAP_URL", url)
    with pytest.raises(BadSetting, match="ECHOCAST_BASE_MAP_URL"):
        load_settings()
