"""A catalog finds positions, sizes and names whatever they are called, and refuses what cannot be."""

import re

import numpy as np
import pandas as pd
import polars as pl
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import Column, MaskedColumn, QTable, Table
from astropy.utils.masked import Masked
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from galestim.catalogs import Catalog

from ._columns import COLUMNS, DEC, FLUX, IDS, RA, RADIUS, assert_standard, raises

# --- which column is which ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ra", "dec", "radius", "name"),
    [
        ("ra", "dec", "half_light_radius", "object_id"),
        ("RA", "DEC", "r_e", "ID"),
        ("_RAJ2000", "_DEJ2000", "Reff", "objid"),
        ("raj2000", "dej2000", "R50", "OBJECT_ID"),
        ("ra_deg", "dec_deg", "hlr", "source_id"),
        ("ALPHA_J2000", "DELTA_J2000", "Re", "OBJID"),
        ("objra", "objdec", "nsa_petro_th50_r", "plateifu"),
        ("RA (deg)", "Dec (deg)", "petrorad_r50", "dr7objid"),
    ],
)
def test_common_names(ra, dec, radius, name):
    catalog = Catalog({ra: [1.0], dec: [2.0], radius: [3.0], name: ["a"], "ifura": [0], "z": [0.1]})
    assert catalog.colnames == ["ra", "dec", "half_light_radius", "object_id", "ifura", "z"]
    assert (catalog["ra"].value[0], catalog["dec"].value[0], catalog["half_light_radius"].value[0]) == (1, 2, 3)


@pytest.mark.parametrize("name", ["nsa_elpetro_th50_r", "NSA_SERSIC_TH50", "SHAPE_R", "half_light_semimajor_axis"])
def test_the_radius_along_the_major_axis_is_another(name):
    catalog = Catalog({"ra": [1.0], "dec": [2.0], "petroR50_r": [3.0], name: [0.1] * u.arcmin})
    assert catalog.colnames == ["ra", "dec", "half_light_radius", "half_light_semimajor_axis"]
    assert (catalog["half_light_radius"].value[0], catalog["half_light_semimajor_axis"].unit) == (3, u.arcsec)
    assert_allclose(catalog["half_light_semimajor_axis"].value, [6])
    catalog["half_light_semimajor_axis"] = [2.0]
    assert Catalog.of(catalog)["half_light_semimajor_axis"].unit == u.arcsec


def test_a_radius_that_does_not_say_is_named():
    catalog = Catalog({"ra": [1.0], "dec": [2.0], "Reff": [3.0]}, half_light_semimajor_axis="Reff")
    assert catalog.colnames == ["ra", "dec", "half_light_semimajor_axis"]


def test_radius_and_names_are_optional():
    assert Catalog({"ra": [1], "dec": [2], "FLUX_RADIUS": [3]}).colnames == ["ra", "dec", "FLUX_RADIUS"]


def test_the_exact_name_wins():
    catalog = Catalog({"RAJ2000": [1], "RA": [2], "dec": [3], "DEC": [4]})
    assert catalog.colnames == ["RAJ2000", "ra", "dec", "DEC"]
    assert (catalog["ra"].value[0], catalog["dec"].value[0]) == (2, 3)


def test_the_user_names_the_column():
    data = {"lon": [1], "lat": [2], "size": [3], "galaxy": [4], "id": [5], "r50": [6]}
    catalog = Catalog(data, ra="lon", dec="lat", half_light_radius="size", object_id="galaxy")
    assert catalog.colnames == ["ra", "dec", "half_light_radius", "object_id", "id", "r50"]
    assert catalog["object_id"][0] == "4"
    assert Catalog(catalog[["ra", "dec", "id"]], object_id="id")["object_id"][0] == "5"


COULD_BE = "{0} could be any of the columns {1!r}, {2!r}; pass {0}= the one that is meant, for example {0}={1!r}."


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"RAJ2000": [1], "ra_icrs": [1], "dec": [1]}, COULD_BE.format("ra", "RAJ2000", "ra_icrs")),
        ({"RA": [1], "Ra": [1], "dec": [1]}, COULD_BE.format("ra", "RA", "Ra")),
        ({"ra": [1], "dec": [1], "r50": [1], "r_e": [1]}, COULD_BE.format("half_light_radius", "r50", "r_e")),
        ({"ra": [1], "dec": [1], "id": [1], "objid": [1]}, COULD_BE.format("object_id", "id", "objid")),
        (
            {"x": [1], "dec": [1]},
            "no column for ra among 'x', 'dec'; expected a common name such as ra, RAJ2000 or objra, or a SkyCoord. "
            "Pass ra= the column's name.",
        ),
        (
            {"ra": [1]},
            "no column for dec among 'ra'; expected a common name such as dec, DEJ2000 or objdec, or a SkyCoord. "
            "Pass dec= the column's name.",
        ),
    ],
)
def test_what_cannot_be_told(data, sentence):
    with raises(ValueError, sentence):
        Catalog(data)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"ra": "lon"}, "ra='lon' names no column; the table has 'ra', 'dec', 'x'."),
        (
            {"ra": "x"},
            "ra is to be made of the column 'x', but there is a column 'ra' too. Rename or remove that one.",
        ),
        (
            {"half_light_radius": "x", "object_id": "x"},
            "the column 'x' is to be more than one of ra, dec, half_light_radius, "
            "half_light_semimajor_axis, object_id; name one for each.",
        ),
    ],
)
def test_what_the_user_cannot_name(given, sentence):
    with raises(ValueError, sentence):
        Catalog({"ra": [1], "dec": [1], "x": [1]}, **given)


# --- units --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", ["deg", "hourangle", "rad", "arcsec", "arcmin"])
@pytest.mark.parametrize("table", [Table, QTable])
def test_units_are_converted(table, unit):
    unit = u.Unit(unit)
    columns = {"ra": RA * u.deg, "dec": DEC * u.deg, "r50": RADIUS * u.arcsec, "id": IDS, "flux": FLUX}
    assert_standard(Catalog(table({k: v.to(unit) if isinstance(v, u.Quantity) else v for k, v in columns.items()})))


@pytest.mark.parametrize("data", [COLUMNS, pd.DataFrame(COLUMNS), Table(COLUMNS)], ids=["dict", "pandas", "Table"])
def test_units_may_be_told(data):
    catalog = Catalog(data, units={"RAJ2000": "arcmin", "petroR50_r": "arcmin", "flux": "nJy"})
    assert_allclose(catalog["ra"].value, RA / 60)
    assert_allclose(catalog["half_light_radius"].value, RADIUS * 60)
    assert catalog["flux"].unit == u.nJy


@pytest.mark.parametrize(("unit", "factor"), [("degrees", 1), ("DEG", 1), ("arcminutes", 1 / 60), ("hour", 15)])
def test_units_as_people_spell_them(unit, factor):
    ra = Column([1.5], unit=u.Unit(unit, parse_strict="silent"))
    assert_allclose(Catalog(Table({"ra": ra, "dec": [0]}))["ra"].value, 1.5 * factor)


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"ra": [1] * u.km}, "ra has the unit km; expected an angle, such as deg, hourangle or rad. Convert it."),
        (
            {"r50": [1] * u.pix},
            "half_light_radius has the unit pix; expected an angle, such as arcsec, arcmin or rad. Convert it.",
        ),
        ({"dec": [1] * u.hour}, "dec has the unit h; expected an angle, such as deg, hourangle or rad. Convert it."),
    ],
)
def test_units_that_are_no_angle(columns, sentence):
    with raises(ValueError, sentence):
        Catalog({"ra": [1], "dec": [1], **columns})


@pytest.mark.parametrize(
    ("ra", "dec"),
    [
        ("12:30:49.5", "-00:30:36"),
        ("12 30 49.5", "-00 30 36"),
        ("12h30m49.5s", "-0d30m36s"),
        ("12h 30m 49.5s", "-0° 30′ 36″"),
        (" 12:30:49.50 ", "−0:30:36."),
        ("187d42m22.5s", "-0.51"),
        ("187.70625", "-0d30m36.0s"),
        (b"12:30:49.5", b"-0:30:36"),
    ],
)
def test_sexagesimal_text(ra, dec):
    for data in ({"RAJ2000": [ra], "DEJ2000": [dec]}, Table({"RAJ2000": [ra], "DEJ2000": [dec]})):
        catalog = Catalog(data)
        assert_allclose([catalog["ra"].value[0], catalog["dec"].value[0]], [187.70625, -0.51], rtol=1e-14)


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_sexagesimal_text_in_data_frames_and_files(frame, tmp_path):
    position = SkyCoord(RA, DEC, unit="deg")
    text = {
        "ra": position.ra.to_string("hour", sep=":", precision=9),
        "dec": position.dec.to_string("deg", sep=":", precision=9),
    }
    data = frame({**text, "r50": RADIUS, "id": IDS, "flux": FLUX})
    assert_standard(Catalog(data), rtol=1e-11)
    data.write_csv(tmp_path / "c.csv") if frame is pl.DataFrame else data.to_csv(tmp_path / "c.csv", index=False)
    assert_standard(Catalog(tmp_path / "c.csv"), rtol=1e-11)


def test_the_unit_of_text():
    # VizieR marks sexagesimal columns so; such units are none to astropy.
    hms, dms = (u.Unit(name, parse_strict="silent") for name in ('"h:m:s"', '"d:m:s"'))
    table = Table({"RAJ2000": Column(["12 00 00"], unit=hms), "DEJ2000": Column(["+12 00 00"], unit=dms)})
    assert (Catalog(table)["ra"].value[0], Catalog(table)["dec"].value[0]) == (180, 12)
    assert Catalog(Table({"ra": Column(["12:30:00"], unit="deg"), "dec": [0]}))["ra"].value[0] == 12.5
    assert_allclose(Catalog(Table({"ra": Column(["12.5"], unit="hourangle"), "dec": [0]}))["ra"].value, 187.5)


# --- what cannot be -----------------------------------------------------------------------------------------

WRAP = " (ra % 360 wraps it)"


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("dec", 123.4, "dec=123.4 is outside [-90, 90]; expected ra and dec in degrees"),
        ("dec", -90.1, "dec=-90.1 is outside [-90, 90]; expected ra and dec in degrees"),
        ("dec", -np.inf, "dec=-inf is outside [-90, 90]; expected ra and dec in degrees"),
        ("ra", -10.5, f"ra=-10.5 is outside [0, 360]; expected ra and dec in degrees{WRAP}"),
        ("ra", 361.0, f"ra=361.0 is outside [0, 360]; expected ra and dec in degrees{WRAP}"),
        ("ra", "25:00:00", f"ra=375.0 is outside [0, 360]; expected ra and dec in degrees{WRAP}"),
        ("ra", "12:61:00", "ra='12:61:00' is not an angle; expected a number, or text such as '12:30:49.4'."),
        ("ra", "M 31", "ra='M 31' is not an angle; expected a number, or text such as '12:30:49.4'."),
        ("half_light_radius", "1:00", "half_light_radius='1:00' is not an angle; expected a number."),
    ],
)
@pytest.mark.parametrize("frame", [dict, pd.DataFrame, pl.DataFrame, Table])
def test_the_bad_row_is_named(frame, name, value, sentence):
    values = ["1" if isinstance(value, str) else 1.0] * 20
    values[17] = value
    with raises(ValueError, f"row 17: {sentence}"):
        Catalog(frame({"ra": [1.0] * 20, "dec": [1.0] * 20, "half_light_radius": [1.0] * 20} | {name: values}))


MISSING = {
    "NaN": lambda ra, dec: {"ra": ra, "dec": np.where(np.arange(20) == 17, np.nan, dec)},
    "masked column": lambda ra, dec: Table({"ra": ra, "dec": MaskedColumn(dec, mask=np.arange(20) == 17)}),
    "masked quantity": lambda ra, dec: QTable({"ra": ra, "dec": Masked(dec * u.deg, mask=np.arange(20) == 17)}),
    "masked text": lambda ra, dec: Table({"ra": ra, "dec": MaskedColumn(dec.astype(str), mask=np.arange(20) == 17)}),
    "masked integers": lambda ra, dec: Table(
        {"ra": ra, "dec": MaskedColumn(dec.astype(int), mask=np.arange(20) == 17)}
    ),
    "None": lambda ra, dec: {"ra": ra, "dec": [None if i == 17 else v for i, v in enumerate(dec)]},
    "blank text": lambda ra, dec: {"ra": ra, "dec": ["" if i == 17 else str(v) for i, v in enumerate(dec)]},
    "pandas NA": lambda ra, dec: pd.DataFrame({"ra": ra, "dec": pd.Series(dec).where(np.arange(20) != 17, pd.NA)}),
    "pandas Int64": lambda ra, dec: pd.DataFrame({"ra": ra, "dec": pd.array([1] * 17 + [None, 1, 1], dtype="Int64")}),
    "polars null": lambda ra, dec: pl.DataFrame({"ra": ra, "dec": [1.0] * 17 + [None, 1.0, 1.0]}),
    "polars null text": lambda ra, dec: pl.DataFrame({"ra": ra, "dec": ["1.0"] * 17 + [None, "1", "1"]}),
    "SkyCoord": lambda ra, dec: SkyCoord(ra, np.where(np.arange(20) == 17, np.nan, dec), unit="deg"),
}


@pytest.mark.parametrize("data", MISSING.values(), ids=MISSING)
def test_a_missing_position_is_named(data):
    data = data(np.ones(20), np.ones(20))
    with raises(
        ValueError,
        "row 17: dec is missing (NaN, masked or blank); expected ra and dec in degrees. "
        "Drop such rows (here 1 of 20).",
    ):
        Catalog(data)


positions = st.lists(st.tuples(st.floats(-400, 800) | st.floats(), st.floats(-100, 100) | st.floats()), min_size=1)


@given(positions)
@settings(max_examples=100, deadline=None)
def test_a_catalog_or_the_first_row_that_cannot_be(positions):
    good = [0 <= ra <= 360 and -90 <= dec <= 90 for ra, dec in positions]
    ra, dec = zip(*positions)
    for data in ({"ra": ra, "dec": dec}, {"ra": [str(v) for v in ra], "dec": [str(v) for v in dec]}):
        if all(good):
            catalog = Catalog(data)
            assert_array_equal(np.transpose([catalog["ra"].value, catalog["dec"].value]), positions)
        else:
            with pytest.raises(ValueError, match=r"^row \d+: (ra|dec)(=| is missing)") as caught:
                Catalog(data)
            assert not good[int(re.search(r"\d+", str(caught.value))[0])]


@pytest.mark.parametrize("value", [[True], [1j], [np.datetime64("2020-01-01")]])
def test_values_that_are_no_numbers(value):
    with raises(
        ValueError, f"ra has the dtype {np.array(value).dtype}; expected numbers, or text such as '12:30:49.4'."
    ):
        Catalog({"ra": value, "dec": [0]})


def test_positions_are_one_value_per_row():
    with raises(ValueError, "ra has the shape (1, 2); expected one value per row."):
        Catalog({"ra": [[1, 2]], "dec": [0]})


def test_an_unknown_radius_or_name_is_no_error():
    radius = MaskedColumn([1.0, 2.0], mask=[True, False])
    for name in (MaskedColumn([5, 6], mask=[True, False]), [None, "6"], [np.nan, 6.0]):
        catalog = Catalog({"ra": [1, 2], "dec": [3, 4], "r50": radius, "id": name})
        assert_array_equal(catalog["half_light_radius"].value, [np.nan, 2])
        assert catalog["object_id"].tolist() == ["", "6"]
