"""Map tiles over HTTP: immutable where they have a version, in two grammars, and as GDAL reads them."""

import io
import re
from datetime import UTC, datetime, timedelta

import httpx
import numpy as np
import pytest
from PIL import Image
from pyproj import CRS, Transformer

from model.core.forecast_file import Forecast, write_netcdf
from model.core.forecast_output import ForecastOutput
from model.core.grid import Grid
from model.core.sequence import FrameSequence
from service.api.app import create_app
from service.feeds.arrivals import DecodedFrame
from service.feeds.tables import ArrivedFile
from service.jobs.job import Job
from service.render.web_mercator import MapPicture
from service.store import result_key
from tests.service.api.conftest import served

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
GRID = Grid.regular(CRS.from_epsg(3035), shape=(40, 40), pixel_size=2000.0, centre=(4_000_000.0, 3_000_000.0))
"""Around 50.0 N, 5.55 E. Rain of 3 mm/h in the west, dry in the middle, no data in the east."""
PLACE, Z = (5.1, 50.0), 9
WET, DRY, MISSING, OUTSIDE = (5.05, 50.0), (5.55, 50.0), (5.95, 50.0), (3.0, 50.0)
FEED = "/v1/feeds/north"


def minutes(number):
    return timedelta(minutes=number)


def field(rate=3.0):
    rain = np.zeros(GRID.shape, np.float32)
    rain[:, :15] = rate
    rain[:, 28:] = np.nan
    return rain


class North:
    """The feed `north`: observed frames from -15 to 0 min, and a nowcast from 0 with probabilities."""

    def __init__(self, context, folder):
        self.context, self.folder = context, folder
        for after in (-15, -10, -5, 0):
            self.observe(after)
        self.job = self.publish()

    def observe(self, after, rate=3.0):
        time = NOON + minutes(after)
        sequence = FrameSequence(
            rain_rate=field(rate)[None], times=np.array([time.replace(tzinfo=None)], "datetime64[ns]"), grid=GRID
        )
        digest = sequence.digest()
        key = f"frames/north/{after}-{digest}.nc"
        self._store(sequence, key)
        frame = DecodedFrame(valid_time=time, key=key, digest=digest, grid="g", pixels=1600, size=1, coverage=0.7)
        file = ArrivedFile(name=f"{after}-{rate}.h5", size=1, modified_ns=1)
        self.context.feed_ledger.record_frames("north", file, [frame])
        return self.context.feed_ledger.find_frame("north", time)

    def publish(self, run=None):
        job = Job(kind="feed", model="auto", steps=3, inputs=[], feed="north")
        frame = self.context.feed_ledger.find_frame("north", NOON)
        assert self.context.feed_ledger.submit(job, frame, run, model="auto")
        rain = np.stack([field(6.0)] * 3)
        first = np.where(rain > 0, np.float32(0.8), np.float32(0))
        first[np.isnan(rain)] = np.nan
        forecast = Forecast(
            rain_rate=rain,
            reference_time=np.datetime64("2026-06-01T12:00", "ns"),
            lead_minutes=np.arange(1, 4) * 5.0,
            grid=GRID,
            attributes={},
            output=ForecastOutput(thresholds_mm_h=(0.1, 2.0)),
            probability=np.stack([first, first / 4]),
            probability_method="distribution",
        )
        claimed = self.context.ledger.claim(job.id, 60)
        self._store(forecast, result_key(job.id))
        self.context.ledger.succeed(claimed, result_key=result_key(job.id), input_key=None)
        self.context.feed_ledger.record_published(job.id)
        return job

    def _store(self, item, key):
        write_netcdf(item, self.folder / "f.nc")
        self.context.store.put(key, self.folder / "f.nc")


@pytest.fixture(scope="module")
def north(settings, context, tmp_path_factory):
    settings.feeds_path.write_text('[[feed]]\nname = "north"\nfolder = "/radar"\nclock = "frames"\n')
    return North(context, tmp_path_factory.mktemp("frames"))


def tile_of(lon_lat, z=Z):
    picture = MapPicture.around(z, *lon_lat, 256)
    x, y = picture.left + 128, picture.top + 128
    return int(x) // 256, int(y) // 256, int(x) % 256, int(y) % 256


def rgba(response):
    assert response.status_code == 200, response.text
    return np.asarray(Image.open(io.BytesIO(response.content)).convert("RGBA"))


def pixel(gateway, template, lon_lat, **params):
    """The colour at a place, of the tile of an address with {z}, {x} and {y}."""
    x, y, column, row = tile_of(lon_lat)
    path = template.replace("{z}", str(Z)).replace("{x}", str(x)).replace("{y}", str(y))
    picture = rgba(gateway.get(path, params=params or None))
    factor = len(picture) // 256
    return picture[row * factor, column * factor].tolist()


def frames_of(gateway):
    return {frame["valid_time"][11:16]: frame for frame in gateway.get(f"{FEED}/tiles.json").json()["frames"]}


BLUE, DARKER = [0x2F, 0x99, 0xE8, 255], [0x2E, 0x78, 0xD5, 255]
"""2 to 5 mm/h, and 5 to 10."""


def test_tiles_show_rain_where_it_is_and_tell_missing_from_dry(gateway, north):
    frames = frames_of(gateway)
    assert list(frames) == ["11:45", "11:50", "11:55", "12:00", "12:05", "12:10", "12:15"]
    for time, colour in (("11:45", BLUE), ("12:00", BLUE), ("12:05", DARKER), ("12:15", DARKER)):
        [template] = frames[time]["tiles"]
        for size in (256, 512):
            assert pixel(gateway, template, WET, size=size) == colour
            assert pixel(gateway, template, DRY, size=size)[3] == 0
            assert pixel(gateway, template, OUTSIDE, size=size)[3] == 0
            assert pixel(gateway, template, MISSING, size=size)[3] not in (0, 255)
    webp = frames["12:15"]["tiles"][0].replace(".png", ".webp")
    assert pixel(gateway, webp, WET) == DARKER
    x, y, *_ = tile_of(WET)
    assert gateway.get(webp.format(z=Z, x=x, y=y)).headers["content-type"] == "image/webp"


def test_a_tile_with_a_version_is_immutable_and_latest_is_not(gateway, north):
    x, y, *_ = tile_of(WET)
    path = frames_of(gateway)["12:05"]["tiles"][0].format(z=Z, x=x, y=y)
    response = gateway.get(path)
    assert response.headers["cache-control"] == "private, max-age=31536000, immutable"
    again = gateway.get(path, headers={"If-None-Match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = gateway.get(path, params={"size": 512}, headers={"If-None-Match": response.headers["etag"]})
    assert other.status_code == 200
    latest = gateway.get(f"{FEED}/tiles/latest/{Z}/{x}/{y}.png")
    assert latest.headers["cache-control"] == "private, max-age=30"
    newest = gateway.get(frames_of(gateway)["12:00"]["tiles"][0].format(z=Z, x=x, y=y))
    assert (latest.content, latest.headers["etag"]) == (newest.content, newest.headers["etag"])
    by_times = gateway.get(f"{FEED}/tiles/20260601T120000Z-20260601T120500Z/{Z}/{x}/{y}.png")
    assert (by_times.content, by_times.headers["cache-control"]) == (response.content, "private, max-age=30")


def test_probability_has_its_threshold(gateway, north):
    [template] = frames_of(gateway)["12:10"]["tiles"]
    assert pixel(gateway, template, WET, layer="probability") == [0x89, 0x2F, 0x05, 255]
    assert pixel(gateway, template, WET, layer="probability", threshold=2) == [0xFE, 0xC1, 0x4C, 255]
    assert pixel(gateway, template, DRY, layer="probability")[3] == 0
    x, y, *_ = tile_of(WET)
    path = template.format(z=Z, x=x, y=y)
    assert "0.1, 2" in problem(gateway.get(path, params={"layer": "probability", "threshold": 7}), 422)["hint"]
    observed = frames_of(gateway)["12:00"]["tiles"][0].format(z=Z, x=x, y=y)
    assert "observed" in problem(gateway.get(observed, params={"layer": "probability"}), 422)["what"]


def problem(response, status):
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    return response.json()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("tiles/latest/9/512/0.png", "invalid-parameter"),
        ("tiles/latest/9/0/9999.png", "invalid-parameter"),
        ("tiles/latest/21/0/0.png", "invalid-parameter"),
        ("tiles/latest/9/0/0.png?size=300", "invalid-parameter"),
        ("tiles/latest/9/0/0.gif", "invalid-parameter"),
        ("tiles/noon/9/0/0.png", "no-such-frame"),
        ("tiles/20269901T120000Z/9/0/0.png", "no-such-frame"),
        ("tiles/20260601T120100Z/9/0/0.png", "no-such-frame"),
        ("tiles/20260601T120000Z-20260601T130000Z/9/0/0.png", "no-such-frame"),
        ("tiles/20260601T120500Z-20260601T120000Z/9/0/0.png", "no-such-run"),
        ("tiles/20260601T120000Z-0123456789ab/9/0/0.png", "no-such-frame"),
        ("v2/radar/latest/256/5/0/0/255/1_1.png", "invalid-parameter"),
        ("v2/radar/latest/256/5/0/0/2/2_1.png", "invalid-parameter"),
        ("v2/radar/latest/300/5/0/0/2/1_1.png", "invalid-parameter"),
        ("v2/radar/latest/256/5/50.0/0/2/1_1.png", "invalid-parameter"),
        ("v2/radar/latest/256/5/95.0/5.0/2/1_1.png", "invalid-parameter"),
        ("v2/radar/99999999999/256/5/0/0/2/1_1.png", "no-such-frame"),
    ],
)
def test_addresses_that_name_nothing_are_problems(gateway, north, path, kind):
    response = gateway.get(f"{FEED}/{path}")
    found = problem(response, 422 if kind == "invalid-parameter" else 404)
    assert (found["type"], bool(found["what"]), bool(found["hint"])) == (f"/problems/{kind}", True, True)


def test_weather_maps_are_rainviewers_and_the_same_of_every_gateway(gateway, settings, north):
    maps = gateway.get(f"{FEED}/weather-maps.json").json()
    base = str(gateway.base_url).rstrip("/")
    assert (maps["version"], maps["host"], maps["satellite"]) == ("2.0", f"{base}{FEED}", {"infrared": []})
    times = {name: [frame["time"] for frame in maps["radar"][name]] for name in ("past", "nowcast")}
    noon = int(NOON.timestamp())
    assert times == {
        "past": [noon - 900, noon - 600, noon - 300, noon],
        "nowcast": [noon + 300, noon + 600, noon + 900],
    }
    for frame in (*maps["radar"]["past"], *maps["radar"]["nowcast"]):
        assert re.fullmatch(r"/v2/radar/[A-Za-z0-9_-]+", frame["path"])
    for name, colour in (("past", BLUE), ("nowcast", DARKER)):
        template = maps["host"] + maps["radar"][name][-1]["path"] + "/256/{z}/{x}/{y}/2/0_0.png"
        assert pixel(gateway, template, WET) == colour
    with served(create_app(settings)) as other:
        found = other.get(f"{FEED}/weather-maps.json").json()
        assert found["host"] == f"{str(other.base_url).rstrip('/')}{FEED}"
        assert {**found, "host": maps["host"]} == maps
        path = found["radar"]["nowcast"][0]["path"]
        x, y, *_ = tile_of(WET)
        tiles = [each.get(f"{FEED}{path}/512/{Z}/{x}/{y}/4/1_1.webp") for each in (gateway, other)]
        assert tiles[0].content == tiles[1].content
        assert tiles[0].headers["etag"] == tiles[1].headers["etag"]


def test_leads_that_have_passed_are_not_listed(gateway, north, monkeypatch):
    monkeypatch.setattr("service.feeds.config.Feed.now", lambda feed, newest: NOON + minutes(7))
    maps = gateway.get(f"{FEED}/weather-maps.json").json()["radar"]
    assert [frame["time"] - NOON.timestamp() for frame in maps["nowcast"]] == [600, 900]


def test_rainviewers_other_addresses(gateway, north):
    radar = f"{FEED}/v2/radar/latest/256/{Z}"
    centred = rgba(gateway.get(f"{radar}/{WET[1]}/{WET[0]}/2/0_1.png"))
    assert centred[128, 128].tolist() == BLUE
    assert rgba(gateway.get(f"{radar}/{OUTSIDE[1]}/{OUTSIDE[0]}/2/0_1.png"))[128, 128, 3] == 0
    by_seconds = f"{FEED}/v2/radar/{int(NOON.timestamp())}/256/{{z}}/{{x}}/{{y}}/2/0_0.png"
    assert pixel(gateway, by_seconds, WET) == BLUE
    x, y, *_ = tile_of((5.42, 50.0))
    sharp, smooth = (gateway.get(f"{radar}/{x}/{y}/2/{option}_0.png") for option in (0, 1))
    assert len(np.unique(rgba(smooth).reshape(-1, 4), axis=0)) > len(np.unique(rgba(sharp).reshape(-1, 4), axis=0))
    for coverage in (
        f"{FEED}/v2/coverage/0/256/{{z}}/{{x}}/{{y}}/0/0_0.png",
        f"{FEED}/v2/coverage/0/512/{{z}}/{{x}}/{{y}}.png",
    ):
        assert [pixel(gateway, coverage, place) for place in (WET, DRY)] == [[0, 0, 0, 0]] * 2
        assert [pixel(gateway, coverage, place) for place in (MISSING, OUTSIDE)] == [[0, 0, 0, 255]] * 2
    around = gateway.get(f"{FEED}/v2/coverage/0/256/{Z}/{MISSING[1]}/{MISSING[0]}/0/0_0.png")
    assert rgba(around)[128, 128].tolist() == [0, 0, 0, 255]


def test_tilejson_describes_the_layer_that_is_asked_for(gateway, north):
    document = gateway.get(f"{FEED}/tiles.json").json()
    assert (document["tilejson"], document["vector_layers"]) == ("3.0.0", [])
    west, south, east, north_edge = document["bounds"]
    assert 4.8 < west < 5.0 < 6.1 < east < 6.3
    assert 49.5 < south < 49.7 < 50.4 < north_edge < 50.6
    assert document["maxzoom"] == 8  # a pixel of 2 km is 1.3 of a tile's at zoom 6
    assert document["tiles"][0].startswith("http://127.0.0.1:")
    assert pixel(gateway, document["tiles"][0], WET) == BLUE
    behind_a_proxy = gateway.get(f"{FEED}/tiles.json", headers={"X-Forwarded-Proto": "https"}).json()
    assert behind_a_proxy["tiles"][0] == document["tiles"][0].replace("http:", "https:")
    frame = document["frames"][-1]["id"]
    asked = {"frame": frame, "layer": "probability", "threshold": 2}
    document = gateway.get(f"{FEED}/tiles.json", params=asked).json()
    assert pixel(gateway, document["tiles"][0], WET) == [0xFE, 0xC1, 0x4C, 255]


def test_a_feed_without_a_frame_has_no_tiles(gateway, settings, north):
    settings.feeds_path.write_text(settings.feeds_path.read_text() + '[[feed]]\nname = "new"\nfolder = "/radar"\n')
    for path in ("tiles.json", "weather-maps.json", "tiles/latest/0/0/0.png", "v2/coverage/0/256/0/0/0/0/0_0.png"):
        assert problem(gateway.get(f"/v1/feeds/new/{path}"), 404)["type"] == "/problems/no-such-frame"
        assert problem(gateway.get(f"/v1/feeds/atlantis/{path}"), 404)["type"] == "/problems/no-such-feed"


def test_gdal_opens_the_tiles_by_the_description_of_the_docs(gateway, north, tmp_path, project):
    rasterio = pytest.importorskip("rasterio")
    xml = block(project / "docs" / "tiles.md", "xml")
    xml = xml.replace("http://localhost:8000", str(gateway.base_url).rstrip("/")).replace("helsinki", "north")
    (tmp_path / "tiles.xml").write_text(xml)
    with rasterio.open(tmp_path / "tiles.xml") as tiles:
        assert (tiles.crs.to_epsg(), tiles.count) == (3857, 4)
        row, column = tiles.index(*Transformer.from_crs("EPSG:4326", "EPSG:3857", always_xy=True).transform(*WET))
        window = rasterio.windows.Window(column - 1, row - 1, 3, 3)
        assert tiles.read(window=window)[:, 1, 1].tolist() == BLUE


def block(page, language):
    """The first block of code of a language on a page."""
    return re.search(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)[1]


def test_home_assistant_reads_the_sensors_of_the_docs(gateway, north, project):
    """As its integration `rest` does: one request, and templates and attributes of the parsed answer."""
    yaml, jinja2 = pytest.importorskip("yaml"), pytest.importorskip("jinja2")
    [resource] = yaml.safe_load(block(project / "docs" / "feeds.md", "yaml"))["rest"]
    url = resource["resource"].replace("http://localhost:8000", str(gateway.base_url).rstrip("/"))
    params = {name: str(value) for name, value in resource["params"].items()} | {"lon": str(WET[0]), "lat": str(WET[1])}
    answer = httpx.get(url.replace("helsinki", "north"), params=params).raise_for_status().json()
    states = {}
    for kind in ("sensor", "binary_sensor"):
        for sensor in resource[kind]:
            template = jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(sensor["value_template"])
            states[sensor["name"]] = template.render(value_json=answer)
            assert set(sensor.get("json_attributes", [])) <= set(answer)
            ready = jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(sensor["availability"])
            assert ready.render(value_json=answer) == "True"
            outside = httpx.get(url.replace("helsinki", "north"), params={"lon": OUTSIDE[0], "lat": OUTSIDE[1]}).json()
            assert ready.render(value_json=outside) == "False"
    assert states == {
        "Rain": "moderate precipitation within 5 min, heaviest in about 5 min, lasting beyond the next 15 min; "
        "at least 80 % sure",
        "Rain rate": "6.0",
        "Rain within the hour": "True",
    }


def test_a_frame_that_is_issued_again_has_other_tiles(gateway, context, north):
    before = frames_of(gateway)
    north.observe(0, rate=0.2)
    run = context.feed_ledger.find_run("north", "auto", NOON)
    between = frames_of(gateway)
    assert between["12:00"]["id"] != before["12:00"]["id"]
    assert between["12:05"] == before["12:05"]
    north.publish(run)
    after = frames_of(gateway)
    assert after["12:05"]["id"] != before["12:05"]["id"]
    assert pixel(gateway, after["12:00"]["tiles"][0], WET) == [0xAF, 0xE5, 0xF6, 255]
    unseen = before["12:05"]["tiles"][0].format(z=3, x=4, y=2)
    assert "issued again" in problem(gateway.get(unseen), 404)["what"]


def test_pages_of_other_origins_show_tiles_only_where_the_operator_names_them(gateway, settings, north):
    path = f"{FEED}/tiles/latest/0/0/0.png"
    assert gateway.get(path).headers["cross-origin-resource-policy"] == "same-origin"
    with served(create_app(settings.model_copy(update={"cors_origins": "https://map.example.org"}))) as other:
        response = other.get(path, headers={"Origin": "https://map.example.org"})
        assert response.headers["cross-origin-resource-policy"] == "cross-origin"
        assert response.headers["access-control-allow-origin"] == "https://map.example.org"


def test_tiles_count_less_than_other_requests(settings, north):
    limited = settings.model_copy(update={"max_client_requests_per_second": 1.0})
    with served(create_app(limited)) as other:
        statuses = [other.get(f"{FEED}/tiles/latest/0/0/0.png").status_code for _ in range(30)]
        assert statuses == [200] * 30
        assert 429 in [other.get("/v1/feeds").status_code for _ in range(4)]
