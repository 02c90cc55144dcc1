"""Selection of the rain variable, and its unit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from model.core.errors import UnknownVariable
from model.readers.cf_variables import Quantity, quantity_of, select_variable

FLOAT = np.dtype("f4")


@dataclass
class Variable:
    """The part of a netCDF4 variable that the selection reads."""

    name: str
    units: str
    standard_name: str = ""
    long_name: str = ""
    shape: tuple[int, ...] = (2, 4, 5)
    dtype: np.dtype = FLOAT

    def ncattrs(self) -> list[str]:
        return ["units", "standard_name", "long_name"]

    def getncattr(self, name: str) -> str:
        return str(getattr(self, name))

    @property
    def ndim(self) -> int:
        return len(self.shape)


def among(*variables: Variable) -> dict[str, Variable]:
    return {variable.name: variable for variable in variables}


@pytest.mark.parametrize(
    "text",
    [
        *("mm h-1", "mm/h", "mm/hr", "mm hr-1", "mm hour**-1", "mm h^-1", " MM/Hour ", "mm.h-1", "mm/1h"),
        *("millimeter/hour", "millimetres per hour", "millimeters hour-1", "mm/hours", "l m-2 h-1", "litre/m^2/h"),
        *("mm h⁻¹", "mm·h⁻¹", "mm h\N{MINUS SIGN}1", "[mm/h]", "(mm hr-1)"),
        *("kg m-2 h-1", "kg/m2/h", "1000 um/h", "0.1 cm/hour", "1e-3 meters per hour"),
    ],
)
def test_spellings_of_one_unit(text: str) -> None:
    assert quantity_of(text) == Quantity(kind="rate", factor=1.0)


@pytest.mark.parametrize(
    ("text", "kind", "factor"),
    [
        ("mm/5min", "rate", 12.0),
        ("mm / 10 minutes", "rate", 6.0),
        ("mm per 6 min", "rate", 10.0),
        ("mm/24h", "rate", 1 / 24),
        ("mm/3hr", "rate", 1 / 3),
        ("mm/0.5 h", "rate", 2.0),
        ("0.1 mm h-1", "rate", 0.1),
        ("0.1mm/5min", "rate", 1.2),
        ("1e-3 m s-1", "rate", 3600.0),
        ("0.1 mm", "accumulation", 0.1),
        (".01*mm", "accumulation", 0.01),
        ("100 kg m-2", "accumulation", 100.0),
        ("inches/hour", "rate", 25.4),
        ("mm/fortnight", "rate", 1 / 336),
        ("centimeters", "accumulation", 10.0),
    ],
)
def test_numbers_in_a_unit_count(text: str, kind: str, factor: float) -> None:
    _, quantity = select_variable(among(Variable("rain", text)), None)
    assert quantity.kind == kind
    assert quantity.factor == pytest.approx(factor)


@pytest.mark.parametrize(
    "text",
    [
        "mm 5min-1",  # UDUNITS multiplies, people divide
        "mm (5 min)-1",
        "mm/5",
        "mm/0h",
        "0 mm",
        "-1 mm",
        "mm h-1 @ 2",
        "mm h-1 2",
        "mm,h",
        "mm/h/",
        "1e999 mm",
        "1 000 mm",
        "mm/sol",
        "percent",
        "furlongs per moon",
        "mm h-99999999",
        "__import__('os')",
        "9**9**9**9**9 mm",
        "mm" + " " * 200 + "h-1",
    ],
)
@pytest.mark.parametrize("wanted", [None, "rain"])
def test_a_unit_that_is_not_wholly_known_is_named(text: str, wanted: str | None) -> None:
    with pytest.raises(UnknownVariable) as caught:
        select_variable(among(Variable("rain", text)), wanted)
    assert repr(text[:80]) in caught.value.what
    assert "rain" in caught.value.what


@pytest.mark.parametrize(
    ("units", "standard_name", "kind", "factor"),
    [
        ("mm h-1", "rainfall_rate", "rate", 1.0),
        ("m s-1", "rainfall_rate", "rate", 3.6e6),
        ("m s-1", "lwe_precipitation_rate", "rate", 3.6e6),
        ("kg m-2 s-1", "precipitation_flux", "rate", 3600.0),
        ("kg/m^2/s", "rainfall_flux", "rate", 3600.0),
        ("mm", "rainfall_amount", "accumulation", 1.0),
        ("kg m-2", "precipitation_amount", "accumulation", 1.0),
        ("m", "lwe_thickness_of_precipitation_amount", "accumulation", 1000.0),
        ("dBZ", "equivalent_reflectivity_factor", "reflectivity", 1.0),
        ("dBZ", "", "reflectivity", 1.0),
    ],
)
def test_units_become_mm_per_hour_mm_or_dbz(units: str, standard_name: str, kind: str, factor: float) -> None:
    _, quantity = select_variable(among(Variable("v", units, standard_name)), None)
    assert quantity.kind == kind
    assert quantity.factor == pytest.approx(factor)


def test_winds_and_heights_are_not_rain() -> None:
    with pytest.raises(UnknownVariable, match=r"It holds wind \(m s-1\), height \(m\), snow \(kg m-2\)"):
        select_variable(among(Variable("wind", "m s-1"), Variable("height", "m"), Variable("snow", "kg m-2")), None)


def test_a_name_makes_millimetres_rain() -> None:
    assert (
        select_variable(among(Variable("x", "mm", long_name="Accumulated precipitation")), None)[1].kind
        == "accumulation"
    )


def test_a_rate_comes_before_an_accumulation_before_reflectivity() -> None:
    rate, amount, dbz = Variable("r", "mm/h"), Variable("rain_sum", "mm"), Variable("z", "dBZ")
    assert select_variable(among(dbz, amount, rate), None)[0] is rate
    assert select_variable(among(dbz, amount), None)[0] is amount


def test_the_user_chooses_among_two_of_a_kind() -> None:
    variables = among(Variable("a", "mm/h"), Variable("b", "mm/h"))
    with pytest.raises(UnknownVariable, match="more than one rate: a, b"):
        select_variable(variables, None)
    assert select_variable(variables, "b")[0] is variables["b"]


@pytest.mark.parametrize("wanted", ["absent", "t", "text", "profile"])
def test_a_requested_variable_must_be_a_field_of_rain(wanted: str) -> None:
    variables = among(
        Variable("r", "mm/h"),
        Variable("t", "K"),
        Variable("text", "mm", dtype=np.dtype("S1")),
        Variable("profile", "mm", shape=(7,)),
    )
    with pytest.raises(UnknownVariable, match=r"It holds r \(mm/h\), t \(K\)"):
        select_variable(variables, wanted)
