"""Frames on the map: every pixel where pyproj says, no core lost at any zoom, and missing data never dry."""

import io

import numpy as np
import pytest
from PIL import Image
from pyproj import CRS, Transformer

from model.core.colour_scale import DRY_RANK, NO_DATA_RANK
from model.core.forecast_file import Forecast, write_netcdf
from model.core.forecast_output import ForecastOutput
from model.core.grid import Grid
from model.core.grid_places import NotOnEarth
from model.core.probability_scale import PROBABILITY_SCALE
from model.core.rain_scale import RAIN_SCALE
from service.render.footprint import footprint
from service.render.forecast_reader import RainFile
from service.render.map_tile import _places, data_bounds, on_map
from service.render.tile_picture import black_picture, coverage_picture, tile_picture
from service.render.web_mercator import MapPicture

STEREOGRAPHIC = "+proj=stere +lat_0=90 +lon_0=0 +lat_ts=60 +a=6378137 +b=6356752 +x_0=0 +y_0=0"
ALBERS = "+proj=aea +lat_0=-27.718 +lon_0=153.24 +lat_1=-26.2 +lat_2=-29.3 +ellps=GRS80"
ROTATED_POLE = "+proj=ob_tran +o_proj=longlat +o_lat_p=39.25 +o_lon_p=0 +lon_0=18 +to_meter=0.0174532925199433"
GRIDS = {
    "polar stereographic": (STEREOGRAPHIC, 1000.0, (200_000.0, -3_900_000.0)),
    "albers": (ALBERS, 1000.0, (20_000.0, 30_000.0)),
    "latitude and longitude": ("EPSG:4326", 0.01, (-95.0, 38.0)),
    "across 180 degrees": ("EPSG:4326", 0.01, (180.0, -40.0)),
    "geostationary": ("+proj=geos +h=35785831 +lon_0=0 +sweep=y", 3000.0, (600_000.0, 4_200_000.0)),
    "transverse Mercator": ("EPSG:27700", 1000.0, (400_000.0, 400_000.0)),
}
SHAPE = (64, 80)
WET = (20, 50)
TO_MERCATOR = Transformer.from_crs("EPSG:4326", "EPSG:3857", always_xy=True)
HALF_WORLD = 20037508.342789244


def grid_of(crs, size, centre, shape=SHAPE, *, south_up=False):
    grid = Grid.regular(CRS.from_user_input(crs), shape=shape, pixel_size=size, centre=centre)
    return Grid(crs=grid.crs, x=grid.x, y=grid.y[::-1]) if south_up else grid


def opened(folder, grid, rain, **parts):
    forecast = Forecast(
        rain_rate=np.asarray(rain, np.float32)[None],
        reference_time=np.datetime64("2026-06-01T12:00", "ns"),
        lead_minutes=np.array([5.0]),
        grid=grid,
        attributes={},
        **parts,
    )
    write_netcdf(forecast, folder / "f.nc")
    return RainFile.open(folder / "f.nc")


def one_wet_pixel(rate=42.0, shape=SHAPE):
    rain = np.zeros(shape, np.float32)
    rain[WET] = rate
    return rain


def corners(grid, z, size=256):
    """The corners of the wet pixel in pixels of the world, by pyproj alone: EPSG code to EPSG code."""
    dx, dy = grid.x[1] - grid.x[0], grid.y[1] - grid.y[0]
    x = grid.x[WET[1]] + dx * np.array([-0.5, 0.5, 0.5, -0.5])
    y = grid.y[WET[0]] + dy * np.array([-0.5, -0.5, 0.5, 0.5])
    lon, lat = Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True).transform(x, y)
    east, north = TO_MERCATOR.transform((np.asarray(lon) + 180) % 360 - 180, lat)
    scale = (size << z) / (2 * HALF_WORLD)
    return (np.asarray(east) + HALF_WORLD) * scale, (HALF_WORLD - np.asarray(north)) * scale


def drawn(file, z, at, size=256):
    """The wet pixels around a place in pixels of the world, in those pixels."""
    left, top = int(at[0]) - 256, int(at[1]) - 256
    rows, columns = np.nonzero(on_map(file, file.rain_frame(0), MapPicture(left, top, 512, size << z)) > NO_DATA_RANK)
    return np.stack([columns + left, rows + top])


def rank(rate):
    return RAIN_SCALE.ranks(np.array([rate]))[0]


@pytest.mark.parametrize("size", [256, 512])
@pytest.mark.parametrize("name", GRIDS)
def test_corners_of_a_pixel_lie_where_pyproj_says(tmp_path, name, size):
    grid = grid_of(*GRIDS[name], south_up=name == "albers")
    file = opened(tmp_path, grid, one_wet_pixel())
    for z in (7, 9, 11, 12):
        x, y = corners(grid, z, size)
        wet = drawn(file, z, (x.mean(), y.mean()), size)
        assert wet.size, z
        for axis, expected in zip(wet, (x, y), strict=True):
            assert axis.min() == pytest.approx(expected.min(), abs=1), z
            assert axis.max() + 1 == pytest.approx(expected.max(), abs=1), z
        area = 0.5 * abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))
        if area > 400:
            assert wet.shape[1] == pytest.approx(area, rel=0.1)


@pytest.mark.parametrize("name", GRIDS)
def test_a_core_of_one_pixel_is_lost_at_no_zoom(tmp_path, name):
    grid = grid_of(*GRIDS[name])
    file = opened(tmp_path, grid, one_wet_pixel())
    for z in range(9):
        x, y = corners(grid, z)
        wet = drawn(file, z, (x.mean(), y.mean()))
        assert wet.size, z
        for axis, expected in zip(wet, (x, y), strict=True):
            world = 256 << z
            away = (axis + 0.5 - expected.mean() + world / 2) % world - world / 2
            assert np.abs(away).max() <= 0.5 * np.ptp(expected) + 1.5, z


@pytest.mark.parametrize(
    ("name", "z", "size"), [*((name, 10, None) for name in GRIDS), ("polar stereographic", 2, 1e4)]
)
def test_between_lattice_points_no_place_is_off(name, z, size):
    crs, own_size, centre = GRIDS[name]
    grid = grid_of(crs, size or own_size, centre, shape=(300, 300))
    x, y = corners(grid, z)
    picture = MapPicture(int(x.mean()) - 64, int(y.mean()) - 64, 256, 256 << z)
    rows, columns = picture.box(footprint(grid))
    places = _places(grid, picture, rows, columns)
    down, across = (
        part.start + (np.arange(places.samples * (part.stop - part.start)) + 0.5) / places.samples
        for part in (rows, columns)
    )
    exact = grid.row_column(*grid.x_y(*np.meshgrid(picture.lon(across), picture.lat(down))))
    for found, expected in zip((places.rows, places.columns), exact, strict=True):
        assert np.abs(found - expected).max() < 0.1 * max(1.0, places.scale)


@pytest.mark.parametrize("name", list(GRIDS)[:3])
def test_gdal_warps_to_the_same_picture(tmp_path, name):
    warp = pytest.importorskip("rasterio.warp")
    from rasterio import Affine

    grid = grid_of(*GRIDS[name], shape=(300, 300))
    rain = np.random.default_rng(0).gamma(0.5, 4.0, grid.shape).astype(np.float32)
    file = opened(tmp_path, grid, rain)
    picture = MapPicture(*(int(side.mean()) - 128 for side in corners(grid, 10)), 256, 256 << 10)
    scale = 2 * HALF_WORLD / picture.world
    corner = (picture.left * scale - HALF_WORLD, HALF_WORLD - picture.top * scale)
    warped = np.zeros((256, 256), np.float32)
    warp.reproject(
        file.frame(0),
        warped,
        src_transform=Affine.from_gdal(*grid.north_up_transform),
        src_crs=grid.crs.to_wkt(),
        dst_transform=Affine(scale, 0, corner[0], 0, -scale, corner[1]),
        dst_crs="EPSG:3857",
        resampling=warp.Resampling.nearest,
    )
    shown = on_map(file, file.rain_frame(0), picture)
    assert (shown > NO_DATA_RANK).sum() > 10_000
    assert (shown != RAIN_SCALE.ranks(warped)).mean() < 0.02  # GDAL interpolates its transformation more coarsely


def test_tiles_meet_without_a_seam(tmp_path):
    rng = np.random.default_rng(0)
    grid = grid_of(*GRIDS["polar stereographic"])
    file = opened(tmp_path, grid, rng.gamma(0.5, 4.0, SHAPE))
    x, y = corners(grid, 8, 512)
    column, row = int(x.mean()) // 512, int(y.mean()) // 512
    whole = on_map(file, file.rain_frame(0), MapPicture.of_tile(8, column, row, 512))
    quarters = [
        [on_map(file, file.rain_frame(0), MapPicture.of_tile(9, 2 * column + i, 2 * row + j, 256)) for i in (0, 1)]
        for j in (0, 1)
    ]
    assert (whole > NO_DATA_RANK).sum() > 1000
    assert (np.block(quarters) != whole).mean() < 0.001  # rounding on an edge of two pixels of the grid


@pytest.mark.parametrize("z", [5, 7, 10])
def test_missing_is_told_from_dry_and_from_outside(tmp_path, z):
    grid = grid_of(*GRIDS["albers"])
    rain = one_wet_pixel()
    rain[:, :30] = np.nan
    file = opened(tmp_path, grid, rain)
    x, y = corners(grid, z)
    picture = MapPicture(x.mean() - 248 * (z == 10) - 128 * (z < 10), y.mean() - 128, 256, 256 << z)
    values = on_map(file, file.rain_frame(0), picture)
    centres = np.arange(256) + 0.5
    row, column = grid.row_column(*grid.x_y(*np.meshgrid(picture.lon(centres), picture.lat(centres))))
    clear = 1.5 * max(1.0, np.abs(np.diff(column, axis=1)).max())  # pixels of the grid away from any edge
    inside = (row > clear) & (row < SHAPE[0] - 1 - clear) & (column > clear) & (column < SHAPE[1] - 1 - clear)
    missing, dry = inside & (column < 29 - clear), inside & (column > 30 + clear) & (np.abs(row - WET[0]) > 2 * clear)
    assert missing.any()
    assert dry.any()
    assert (values[missing] == NO_DATA_RANK).all()
    assert (values[dry] == DRY_RANK).all()
    outside = (row < -0.5 - clear) | (column < -0.5 - clear) | (column > SHAPE[1] - 0.5 + clear)
    assert (values[outside] == DRY_RANK).all()
    picture_rgba = rgba(tile_picture(values, RAIN_SCALE, "png"))
    assert (picture_rgba[dry | outside][:, 3] == 0).all()
    assert (picture_rgba[missing][:, 3] > 0).all()
    assert len(np.unique(picture_rgba[missing], axis=0)) == 2
    coverage = on_map(file, file.rain_frame(0), picture, outside=NO_DATA_RANK)
    black, hatched = rgba(black_picture(coverage)), rgba(coverage_picture(coverage, RAIN_SCALE, "png"))
    assert (black[dry][:, 3] == 0).all()
    assert (hatched[dry][:, 3] == 0).all()
    assert (black[missing | outside] == [0, 0, 0, 255]).all()
    assert len(np.unique(hatched[missing | outside], axis=0)) == 2


def test_where_dry_and_missing_share_a_pixel_it_is_missing_and_rain_comes_first(tmp_path):
    grid = grid_of("EPSG:4326", 0.01, (0.0, 0.0), shape=(64, 64))
    rain = np.zeros((64, 64), np.float32)
    rain[::2, ::2] = np.nan
    rain[40, 41] = 30.0
    file = opened(tmp_path, grid, rain)
    values = on_map(file, file.rain_frame(0), MapPicture(512 - 8, 512 - 8, 16, 1024))
    assert set(np.unique(values)) == {DRY_RANK, NO_DATA_RANK, rank(30)}  # dry only outside


def test_smoothed_rain_has_its_values_in_the_middles_and_no_rain_out_of_missing_data(tmp_path):
    grid = grid_of("EPSG:4326", 0.1, (5.0, 50.0), shape=(20, 20))
    rain = np.full((20, 20), 2.0, np.float32)
    rain[10, 10] = 40.0
    rain[:, :5] = np.nan
    file = opened(tmp_path, grid, rain)
    picture = MapPicture.around(11, grid.x[10], grid.y[10], 256)
    smooth, sharp = (on_map(file, file.rain_frame(0), picture, smooth=each) for each in (True, False))
    assert (smooth[127:129, 127:129] == rank(30)).all()
    assert np.unique(sharp).tolist() == [rank(2), rank(30)]
    assert np.unique(smooth).tolist() == [rank(2), rank(5), rank(10), rank(20), rank(30)]
    edge = MapPicture.around(11, (grid.x[4] + grid.x[5]) / 2, grid.y[5], 256)
    smooth, sharp = (on_map(file, file.rain_frame(0), edge, smooth=each) for each in (True, False))
    np.testing.assert_array_equal(smooth, sharp)
    assert np.unique(smooth).tolist() == [NO_DATA_RANK, rank(2)]


def test_probability_is_drawn_in_its_own_colours(tmp_path):
    grid = grid_of(*GRIDS["albers"])
    probability = np.full((1, 1, *SHAPE), 0.55, np.float32)
    output = ForecastOutput(thresholds_mm_h=(2.0,))
    file = opened(tmp_path, grid, one_wet_pixel(), probability=probability, output=output, probability_method="x")
    x, y = corners(grid, 8)
    values = on_map(file, file.probability_frame(0, 2.0), MapPicture(x.mean() - 8, y.mean() - 8, 16, 256 << 8))
    assert (values == PROBABILITY_SCALE.ranks(np.array([0.55]))).all()
    for file_format in ("png", "webp"):
        colours = np.unique(rgba(tile_picture(values, PROBABILITY_SCALE, file_format)).reshape(-1, 4), axis=0)
        assert colours.tolist() == [[0xE6, 0x6A, 0x11, 255]]


def test_a_global_grid_reaches_around_the_earth(tmp_path):
    lon, lat = np.meshgrid(np.arange(0.5, 360, 1.0), np.arange(89.5, -90, -1.0))
    grid = Grid(crs=CRS.from_epsg(4326), x=lon[0], y=lat[:, 0])
    file = opened(tmp_path, grid, np.where(np.abs(lat) < 60, 3.0, 0.0))
    values = on_map(file, file.rain_frame(0), MapPicture.of_tile(0, 0, 0, 256))
    assert (values[100:156] == rank(3)).all()
    values = on_map(file, file.rain_frame(0), MapPicture.around(3, 180.0, 0.0, 256))
    assert (values == rank(3)).all()


def test_a_grid_around_the_pole_and_a_rotated_one(tmp_path):
    polar = opened(tmp_path, grid_of(STEREOGRAPHIC, 20_000.0, (0.0, 0.0), shape=(200, 200)), np.full((200, 200), 3.0))
    ring = on_map(polar, polar.rain_frame(0), MapPicture.of_tile(3, 0, 0, 256))
    assert (ring[:200] == rank(3)).all()
    rotated = opened(tmp_path, grid_of(ROTATED_POLE, 0.1, (0.0, 0.0)), np.full(SHAPE, 3.0))
    centre = rotated.grid.lon_lat(0.0, 0.0)
    picture = MapPicture.around(8, float(centre[0]), float(centre[1]), 64)
    assert (on_map(rotated, rotated.rain_frame(0), picture) == rank(3)).all()


def test_a_grid_that_is_on_no_earth_has_no_tiles(tmp_path):
    mars = CRS.from_wkt(
        'GEOGCRS["Mars",DATUM["Mars",ELLIPSOID["Mars",3396190,169.89]],CS[ellipsoidal,2],AXIS["lat",north],'
        'AXIS["lon",east],ANGLEUNIT["degree",0.0174532925199433]]'
    )
    file = opened(tmp_path, grid_of(mars, 0.1, (5.0, 50.0)), one_wet_pixel())
    with pytest.raises(NotOnEarth, match="longitude and latitude"):
        on_map(file, file.rain_frame(0), MapPicture.of_tile(0, 0, 0, 256))


def rgba(content):
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGBA"))


@pytest.mark.parametrize("name", ["polar stereographic", "latitude and longitude"])
@pytest.mark.parametrize("south_up", [False, True])
def test_bounds_of_the_data_leave_out_what_the_radar_does_not_reach(tmp_path, name, south_up):
    grid = grid_of(*GRIDS[name], south_up=south_up)
    rain = np.full(SHAPE, np.nan, np.float32)
    rain[24:40, 32:64] = 0.0  # dry ground is data
    west, south, east, north = data_bounds(file := opened(tmp_path, grid, rain), file.rain_frame(0))
    x, y = np.meshgrid(grid.x[32:64], grid.y[24:40])
    lon, lat = grid.lon_lat(x, y)
    slack = 5 * max(np.abs(np.diff(lon)).max(), np.abs(np.diff(lat, axis=0)).max())
    for found, expected in ((west, lon.min()), (south, lat.min()), (east, lon.max()), (north, lat.max())):
        assert abs(found - expected) < slack
    assert west <= lon.min() <= lon.max() <= east
    assert south <= lat.min() <= lat.max() <= north


def test_a_frame_without_data_has_no_bounds_of_data(tmp_path):
    file = opened(tmp_path, grid_of(*GRIDS["albers"]), np.full(SHAPE, np.nan))
    assert data_bounds(file, file.rain_frame(0)) is None
