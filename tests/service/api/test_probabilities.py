"""Results with probabilities and members: what the routes show of them."""

import io

import numpy as np
import pytest
import xarray as xr
from PIL import Image
from pyproj import CRS

from model.core.forecast_output import ForecastOutput
from model.core.grid import Grid
from model.core.probability_scale import PROBABILITY_SCALE


def code_of(response):
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, response.json()["type"].removeprefix("/problems/")


def colours(response):
    """Colours in the middle of west, centre and east: rain, dry, no data."""
    assert (response.status_code, response.headers["content-type"]) == (200, "image/png")
    picture = np.asarray(Image.open(io.BytesIO(response.content)).convert("RGBA"))
    height, width = picture.shape[:2]
    return [tuple(int(channel) for channel in picture[height // 2, int(width * at)]) for at in (0.2, 0.6, 0.9)]


def test_the_field_is_drawn_where_the_file_holds_members(gateway, uncertain):
    for path in ("frames/4.png", "frames/0.png", "result?format=webp"):
        assert gateway.get(f"/v1/nowcasts/{uncertain.id}/{path}").status_code == 200
    assert colours(gateway.get(f"/v1/nowcasts/{uncertain.id}/frames/4.png"))[0] == (0x2F, 0x99, 0xE8, 255)


def test_the_frame_list_says_what_can_be_drawn(gateway, uncertain):
    body = gateway.get(f"/v1/nowcasts/{uncertain.id}/frames").json()
    assert (body["field"], body["members"]) == ("sharp", 4)
    layer = body["probability"]
    assert (layer["method"], layer["thresholds_mm_h"]) == ("distribution", [0.1, 2])
    assert layer["legend"]["unit"] == "%"
    assert [item["lower"] for item in layer["legend"]["classes"]] == [2, 5, *range(10, 100, 10)]
    assert layer["legend"]["no_data"] == body["legend"]["no_data"]


def test_a_result_without_probabilities_has_no_such_layer(gateway, finished):
    body = gateway.get(f"/v1/nowcasts/{finished.id}/frames").json()
    assert (body["field"], body["members"], body["probability"]) == ("deterministic", 0, None)
    response = gateway.get(f"/v1/nowcasts/{finished.id}/frames/4.png", params={"layer": "probability"})
    assert code_of(response) == (422, "invalid-parameter")
    assert response.json()["where"] == "layer"
    assert "probabilities=0.5,2,5" in response.json()["hint"]


def test_a_probability_is_drawn_in_its_own_colours(gateway, uncertain):
    url = f"/v1/nowcasts/{uncertain.id}/frames/4.png"
    by_lower = {item.lower: (*item.colour, 255) for item in PROBABILITY_SCALE.classes}
    rain, dry, missing = colours(gateway.get(url, params={"layer": "probability", "threshold": 0.1}))
    assert (rain, dry) == (by_lower[80], by_lower[10])
    assert missing[3] == 255
    assert np.ptp(missing[:3]) < 20
    rain, dry, _ = colours(gateway.get(url, params={"layer": "probability", "threshold": 2}))
    assert (rain, dry) == (by_lower[20], by_lower[2])
    lowest = gateway.get(url, params={"layer": "probability"})
    assert colours(lowest)[0] == by_lower[80]


def test_pictures_of_two_layers_are_not_taken_for_each_other(gateway, uncertain):
    url = f"/v1/nowcasts/{uncertain.id}/frames/4.png"
    asked = [{}, {"layer": "probability"}, *({"layer": "probability", "threshold": rate} for rate in (0.1, 2))]
    tags = [gateway.get(url, params=params).headers["etag"] for params in asked]
    assert len(set(tags)) == 4
    same = gateway.get(url, params=asked[3], headers={"If-None-Match": tags[3]})
    assert same.status_code == 304
    assert gateway.get(url, params=asked[3], headers={"If-None-Match": tags[0]}).status_code == 200


@pytest.mark.parametrize(
    ("index", "query", "code", "said"),
    [
        (4, {"layer": "probability", "threshold": 5}, (422, "invalid-parameter"), "It has 0.1, 2"),
        (4, {"layer": "probability", "threshold": "nan"}, (422, "invalid-parameter"), "It has 0.1, 2"),
        (4, {"threshold": 2}, (422, "invalid-parameter"), "Add layer=probability"),
        (4, {"layer": "snow"}, (422, "invalid-parameter"), ""),
        (1, {"layer": "probability"}, (404, "no-such-frame"), "Forecast frames are 3 to 6"),
        (9, {"layer": "probability"}, (404, "no-such-frame"), "Frames are 0 to 6"),
    ],
)
def test_what_cannot_be_drawn_is_refused(gateway, uncertain, index, query, code, said):
    response = gateway.get(f"/v1/nowcasts/{uncertain.id}/frames/{index}.png", params=query)
    assert code_of(response) == code
    assert said in response.json()["hint"]


def test_the_netcdf_holds_all_of_it(gateway, uncertain, tmp_path):
    path = tmp_path / "result.nc"
    path.write_bytes(gateway.get(f"/v1/nowcasts/{uncertain.id}/result").content)
    with xr.open_dataset(path) as dataset:
        assert dataset["probability_of_exceedance"].shape == (2, 4, 20, 40)
        assert dataset["rainfall_rate"].shape == (4, 4, 20, 40)
        assert dataset["rainfall_rate_sharp"].attrs["field"] == "sharp"


def point(gateway, job, x):
    response = gateway.get(f"/v1/nowcasts/{job.id}/point", params={"x": x, "y": 0.5})
    assert response.status_code == 200
    return response.json()


def test_a_place_has_probabilities_at_each_lead(gateway, uncertain):
    body = point(gateway, uncertain, 0.1)
    assert (body["field"], body["probability_method"]) == ("sharp", "distribution")
    assert body["thresholds_mm_h"] == [0.1, 2]
    assert [value["rain_rate"] for value in body["series"]] == [0, 0, 0, 0, 3, 3, 0]
    assert [value["probability_of_rain"] for value in body["series"]] == [None] * 3 + [0.1, 0.8, 0.8, 0.1]
    assert [value["probability"] for value in body["series"][:5]] == [[], [], [], [0.1, 0.025], [0.8, 0.2]]


def test_a_place_has_what_the_members_say_over_time(gateway, uncertain):
    """One of four members is dry, one has rain 5 min late, one has 30 mm/h."""
    members = point(gateway, uncertain, 0.1)["members"]
    assert members["count"] == 4
    assert members["start"] == {
        "probability": 0.75,
        "p10": "2026-06-01T12:10:00Z",
        "p50": "2026-06-01T12:10:00Z",
        "p90": "2026-06-01T12:15:00Z",
    }
    assert members["end"]["probability"] == pytest.approx(0.667)
    assert members["end"]["p90"] == "2026-06-01T12:20:00Z"
    assert members["next_hour"] == {
        "within_minutes": 20,
        "chances": [
            {"threshold_mm_h": 0.1, "probability": 0.75},
            {"threshold_mm_h": 2, "probability": 0.75},
            {"threshold_mm_h": 5, "probability": 0.25},
            {"threshold_mm_h": 10, "probability": 0.25},
        ],
    }
    assert members["total_mm"] == {"p10": 0, "p50": 0.5, "p90": 5}


def test_no_data_is_never_a_low_probability(gateway, uncertain):
    body = point(gateway, uncertain, 0.9)
    assert body["summary"]["state"] == "no-data"
    for value in body["series"][3:]:
        assert (value["rain_rate"], value["probability_of_rain"], value["probability"]) == (None, None, [None, None])
    members = body["members"]
    assert members["start"] == members["end"] == {"probability": None, "p10": None, "p50": None, "p90": None}
    assert [chance["probability"] for chance in members["next_hour"]["chances"]] == [None] * 4
    assert members["total_mm"] == {"p10": None, "p50": None, "p90": None}


def test_without_members_only_single_times_are_answered(gateway, finished):
    body = point(gateway, finished, 0.1)
    assert (body["members"], body["probability_method"], body["thresholds_mm_h"]) == (None, None, [])
    assert all(value["probability_of_rain"] is None and value["probability"] == [] for value in body["series"])


def test_members_alone_give_the_probability_of_rain(gateway, finish):
    grid = Grid.regular(CRS.from_epsg(3035), shape=(20, 40), pixel_size=1000.0, centre=(4e6, 3e6))
    members = np.zeros((5, 4, 20, 40), np.float32)
    members[:3, 1:] = 1.0
    members[:, 3, :, 30:] = np.nan
    body = point(gateway, finish(grid, output=ForecastOutput(members=5), members=members), 0.9)
    assert [value["probability_of_rain"] for value in body["series"][3:]] == [0, 0.6, 0.6, None]
    assert body["members"]["start"]["probability"] is None


def test_a_place_is_fetched_as_csv_in_which_missing_data_is_empty(gateway, uncertain):
    path = f"/v1/nowcasts/{uncertain.id}/point"
    place = {"x": 0.1, "y": 0.5}
    response = gateway.get(path, params=place, headers={"Accept": "text/csv"})
    assert response.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    header, *rows = (line.split(",") for line in response.text.splitlines())
    assert header[:4] == ["valid_time", "kind", "lead_minutes", "rain_rate_mm_h"]
    assert header[4:] == ["probability_of_rain", "probability_of_0.1_mm_h", "probability_of_2_mm_h"]
    assert rows[0] == ["2026-06-01T11:50:00Z", "observed", "-10", "0.0", "", "", ""]
    assert rows[4] == ["2026-06-01T12:10:00Z", "forecast", "10", "3.0", "0.8", "0.8", "0.2"]
    in_json = gateway.get(path, params=place)
    assert len(rows) == len(in_json.json()["series"])
    assert (response.headers["vary"], in_json.headers["vary"]) == ("Accept", "Accept, Accept-Language")


def test_a_nowcast_has_the_sentence_from_its_reference_time(gateway, uncertain):
    place = {"x": 0.1, "y": 0.5, "time_zone": "Europe/Helsinki"}
    path = f"/v1/nowcasts/{uncertain.id}/point"
    body = gateway.get(path, params=place, headers={"Accept-Language": "de"}).json()
    assert (body["now"], body["language"], body["coverage"]) == ("2026-06-01T12:00:00Z", "de", "ok")
    start = "mäßiger Niederschlag (möglicherweise stark), Beginn zwischen 15:05 und 15:15 Uhr"
    assert body["sentence"].startswith(start)
    assert body["series"][4]["members"] == {"p10": 0, "p50": 1.5, "p90": 30}
    assert body["series"][0]["members"] is None
    assert gateway.get(path, params=place | {"time_zone": "x"}).json()["where"] == "time_zone"
    off = gateway.get(path, params={"x": 0.9, "y": 0.5, "format": "csv"}).text.splitlines()
    assert off[-1].split(",")[3:] == ["", "", "", ""]
    assert gateway.get(path, params={**place, "format": "xml"}).status_code == 406
