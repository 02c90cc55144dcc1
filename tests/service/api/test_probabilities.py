"""Results with probabilities and members: what the routes show of them."""

import io

import numpy as np
import pytest
import xarray as xr
from PIL import Image

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
