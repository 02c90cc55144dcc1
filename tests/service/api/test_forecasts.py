"""The archive of forecasts over HTTP: a reader of Zarr opens it as if it were on its own disk."""

import numpy as np
import pytest
import xarray as xr
import zarr.storage
from obstore.store import HTTPStore

from service.render.forecast_reader import RainFile
from workers.feeds.products.archive import append
from workers.feeds.products.archive_layout import write_group

GROUP = "20260601/0123456789ab.zarr"


@pytest.fixture
def archived(settings, context, finished, tmp_path):
    """The forecast of `finished`, in the archive of the feed `north`."""
    settings.feeds_path.write_text('[[feed]]\nname = "north"\nfolder = "/radar"\nproducts = ["zarr"]\n')
    forecast = RainFile.open(context.store.folder / finished.result_key)
    write_group(forecast, len(forecast), tmp_path / "run.zarr")
    append(context.store, f"feeds/north/forecasts/{GROUP}", tmp_path / "run.zarr")
    yield forecast
    context.store.delete_prefix("feeds/north/forecasts")
    settings.feeds_path.unlink()


def test_a_group_is_listed_and_opened_from_afar_with_the_numbers_of_the_file(gateway, archived):
    [link] = [link for link in gateway.get("/v1/feeds/north").json()["links"] if "Zarr" in link["title"]]
    [group] = gateway.get(link["href"]).json()["groups"]
    assert (group["day"], group["href"]) == ("2026-06-01", f"/v1/feeds/north/forecasts/{GROUP}")
    address = f"{str(gateway.base_url).rstrip('/')}{group['href']}"
    remote = zarr.storage.ObjectStore(HTTPStore.from_url(address, client_options={"allow_http": True}), read_only=True)
    with xr.open_zarr(remote, chunks=None) as dataset, xr.open_dataset(archived.path) as file:
        np.testing.assert_allclose(dataset.rainfall_rate[0], file.rainfall_rate, rtol=1e-6)
        assert np.isnan(dataset.rainfall_rate).any()


def test_objects_are_revalidated(gateway, archived):
    path = f"/v1/feeds/north/forecasts/{GROUP}/zarr.json"
    first = gateway.get(path)
    assert (first.headers["content-type"], first.headers["cache-control"]) == ("application/json", "private, no-cache")
    assert gateway.get(path, headers={"If-None-Match": first.headers["etag"]}).status_code == 304


@pytest.mark.parametrize(
    "path",
    [
        *(f"{GROUP}/rainfall_rate/c/7/0/0/0", "20260601/zarr.json", f"{GROUP}/..%2F..%2F..%2Fproducts", "x"),
        *("..%2F..%2F..%2F..%2Ffeeds.toml", f"{GROUP}/rainfall_rate"),
    ],
)
def test_what_is_no_object_of_the_archive_is_not_found(gateway, archived, path):
    assert gateway.get(f"/v1/feeds/north/forecasts/{path}").status_code == 404


def test_without_an_archive_there_are_no_groups(gateway, settings):
    settings.feeds_path.write_text('[[feed]]\nname = "south"\nfolder = "/radar"\n')
    assert gateway.get("/v1/feeds/south/forecasts").json()["groups"] == []
