"""A catalog finds positions, sizes and names whatever they came in, refuses what cannot be, and splits."""

import io
import pickle
import re
import time

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from astropy import units as u
from astropy.coordinates import Galactic, Longitude, SkyCoord
from astropy.table import Column, MaskedColumn, QTable, Table, hstack, join, unique, vstack
from astropy.utils.masked import Masked
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.model_selection import GridSearchCV, KFold, cross_validate, train_test_split
from sklearn.utils import _safe_indexing

from galestim.catalogs import Catalog

RA = np.array([10.25, 187.70593076725, 359.999])
DEC = np.array([-89.5, 12.391123246083334, 0.0])
RADIUS = np.array([1.5, 81.25, 0.4])
IDS = [1237645879551066262, 7, 7]  # one that float64 cannot hold, and two alike
FLUX = np.array([1.0, 2.0, 3.0])

COLUMNS = {"RAJ2000": RA, "DEJ2000": DEC, "petroR50_r": RADIUS, "objID": np.array(IDS), "flux": FLUX}


def raises(error, sentence):
    return pytest.raises(error, match=f"^{re.escape(sentence)}$")


def assert_standard(catalog, rtol=1e-12):
    assert type(catalog) is Catalog
    assert all(type(catalog[name]) is u.Quantity for name in ("ra", "dec", "half_light_radius"))
    assert (catalog["ra"].unit, catalog["dec"].unit, catalog["half_light_radius"].unit) == (u.deg, u.deg, u.arcsec)
    assert_allclose(catalog["ra"].value, RA, rtol=rtol)
    assert_allclose(catalog["dec"].value, DEC, rtol=rtol, atol=1e-12)
    assert_allclose(catalog["half_light_radius"].value, RADIUS, rtol=rtol)
    assert catalog["object_id"].dtype.kind == "U"
    assert catalog["object_id"].tolist() == ["1237645879551066262", "7", "7"]
    assert_array_equal(u.Quantity(catalog["flux"]).value, FLUX)


@pytest.fixture
def catalog():
    n = 40
    rng = np.random.RandomState(0)
    return Catalog(
        {
            "ra": rng.uniform(0, 360, n),
            "dec": rng.uniform(-90, 90, n),
            "half_light_radius": rng.uniform(1, 9, n),
            "object_id": np.arange(n),
            "flux": rng.uniform(1, 5, n) * u.nJy,
            "bulge_to_total": rng.uniform(0, 1, n),
        }
    )


# --- what it takes -------------------------------------------------------------------------------------------

CONTAINERS = {
    "dict": dict,
    "dict of lists": lambda columns: {name: column.tolist() for name, column in columns.items()},
    "pandas": pd.DataFrame,
    "pandas with gaps allowed": lambda columns: pd.DataFrame(columns).convert_dtypes(),
    "polars": pl.DataFrame,
    "pyarrow": pa.table,
    "Table": Table,
    "QTable": QTable,
    "masked Table": lambda columns: Table(columns, masked=True),
    "structured array": lambda columns: Table(columns).as_array(),
    "records": lambda columns: [dict(zip(columns, row)) for row in zip(*columns.values())],
    "columns with units": lambda columns: Table(columns, units={"RAJ2000": "deg", "DEJ2000": "degree"}),
}


@pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS)
def test_every_container_gives_the_same_catalog(container):
    data = container(COLUMNS)
    catalog = Catalog(data)
    assert catalog.colnames == ["ra", "dec", "half_light_radius", "object_id", "flux"]
    assert_standard(catalog)


@pytest.mark.parametrize("name", ["c.csv", "c.fits", "c.fits.gz", "c.vot", "c.parquet", "c.ecsv"])
def test_every_file_gives_the_same_catalog(name, tmp_path):
    Table(COLUMNS).write(tmp_path / name, **({"format": "votable"} if name == "c.vot" else {}))
    assert_standard(Catalog(tmp_path / name))
    assert_standard(Catalog(str(tmp_path / name)))


@pytest.mark.parametrize(
    ("frame", "write"), [(pd.DataFrame, "to_parquet"), (pl.DataFrame, "write_parquet")], ids=["pandas", "polars"]
)
def test_parquet_of_data_frames(frame, write, tmp_path):
    names = ["NGC 1", None, "M 87"]
    getattr(frame({**COLUMNS, "name": names}), write)(tmp_path / "c.parquet")
    catalog = Catalog(tmp_path / "c.parquet")
    assert_standard(catalog)
    assert catalog["name"].tolist() == names


def test_what_was_given_is_left_alone():
    table = QTable({"RA": Longitude([1, 2] * u.hourangle), "dec": [3, 4] * u.deg, "flux": [1, 2]}, meta={"from": "x"})
    catalog = Catalog(table)
    catalog["flux"][0] = 99
    catalog["dec"][0] = 0 * u.deg
    catalog.meta["from"] = "y"
    assert table.colnames == ["RA", "dec", "flux"]
    assert table["RA"].value.tolist() == [1, 2]
    assert (table["dec"].value[0], table["flux"][0], table.meta) == (3, 1, {"from": "x"})


def test_other_columns_stay_as_they_were():
    flux, when = [1.0, 2.0] * u.nJy, Column(["a", "b"], description="epoch")
    band = MaskedColumn([1, 2], mask=[True, False])
    spectrum = np.ones((2, 3), dtype=np.float32)
    catalog = Catalog(QTable({"when": when, "ra": [1, 2], "flux": flux, "dec": [3, 4], "band": band, "s": spectrum}))
    assert catalog.colnames == ["when", "ra", "flux", "dec", "band", "s"]
    assert catalog["flux"].unit == u.nJy
    assert catalog["when"].description == "epoch"
    assert catalog["band"].mask.tolist() == [True, False]
    assert (catalog["s"].shape, catalog["s"].dtype) == ((2, 3), np.float32)


def test_one_galaxy():
    catalog = Catalog({"ra": 10 * u.deg, "dec": -3.5, "object_id": "M 31"})
    assert (catalog["ra"].value.tolist(), catalog["dec"].value.tolist()) == ([10], [-3.5])
    assert len(Catalog(Table(catalog)[0])) == 1


def test_no_galaxies():
    assert len(Catalog(pl.DataFrame({"ra": [], "dec": [], "id": []}))) == 0


# --- sky coordinates -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("frame", ["icrs", "fk5", "galactic", "barycentrictrueecliptic"])
def test_sky_coordinates_become_icrs(frame):
    position = SkyCoord(RA * u.deg, DEC * u.deg).transform_to(frame)
    for data in (position, position.frame, Table({"position": position}), {"position": position}):
        catalog = Catalog(data)
        assert type(catalog["ra"]) is u.Quantity
        found = SkyCoord(catalog["ra"], catalog["dec"])
        assert (found.separation(SkyCoord(RA * u.deg, DEC * u.deg)) < 1e-6 * u.arcsec).all()


def test_the_galactic_center():
    catalog = Catalog(Galactic(0 * u.deg, 0 * u.deg))
    assert_allclose([catalog["ra"].value[0], catalog["dec"].value[0]], [266.405, -28.936], atol=1e-3)


def test_a_named_column_comes_before_a_sky_coordinate():
    position = SkyCoord([1, 2], [3, 4], unit="deg")
    assert Catalog({"RA": [50, 60], "DEC": [7, 8], "pos": position})["ra"].value.tolist() == [50, 60]
    assert Catalog({"RA": [50, 60], "DEC": [7, 8], "pos": position}, ra="pos")["ra"].value.tolist() == [1, 2]


def test_two_sky_coordinates_and_no_column():
    position = SkyCoord([1, 2], [3, 4], unit="deg")
    with raises(
        ValueError, "ra could be any of the columns 'a', 'b'; pass ra= the one that is meant, for example ra='a'."
    ):
        Catalog({"a": position, "b": position})
    assert Catalog({"a": position, "b": position}, ra="b").colnames == ["ra", "dec", "a", "b"]


# --- which column is which -----------------------------------------------------------------------------------


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


# --- units ---------------------------------------------------------------------------------------------------


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


# --- what cannot be ------------------------------------------------------------------------------------------

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


EXPECTED = (
    "expected a data frame, an astropy Table, a structured array, a SkyCoord, a dict of columns, or the path of a "
    "CSV, FITS, Parquet or VOTable file."
)


@pytest.mark.parametrize("data", [5, {1, 2}, pd.Series([1.0], name="ra")])
def test_data_that_is_no_table(data):
    with raises(TypeError, f"data is of type {type(data).__name__}; {EXPECTED}"):
        Catalog(data)


def test_a_lazy_frame():
    with raises(TypeError, "A lazy LazyFrame holds no values yet; call .collect() or .compute() first."):
        Catalog(pl.LazyFrame({"ra": [1]}))


# --- files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["objid", "name"])
def test_names_in_csv_keep_their_zeros(name, tmp_path):
    (tmp_path / "c.csv").write_text(f"{name},ra,dec\n00123,1.5,2\n7,3,4\n")
    assert Catalog(tmp_path / "c.csv", object_id=name)["object_id"].tolist() == ["00123", "7"]


@pytest.mark.parametrize(
    "text",
    [
        "#Table1\nobjid,ra,dec\n00123,1.5,2\n",
        "# made on Monday, by hand, at noon\n#\n\nobjid,ra,dec\n00123,1.5,2\n",
        "#objid,ra,dec\n00123,1.5,2\n",
        "# of the field\n# objid, ra, dec\n00123,1.5,2\n",
        "\ufeffobjid,ra,dec\r\n00123,1.5,2\r\n",
        '#Table1\r\n"objid","ra","dec"\r\n"00123","1.5","2"',
    ],
)
def test_comments_before_the_header_of_a_csv(text, tmp_path):
    (tmp_path / "c.csv").write_text(text, encoding="utf-8", newline="")
    catalog = Catalog(tmp_path / "c.csv")
    assert catalog.colnames == ["object_id", "ra", "dec"]
    assert (catalog["object_id"].tolist(), catalog["ra"].value.tolist()) == (["00123"], [1.5])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ra,dec, ra\n1,2,3\n", "there is more than one column 'ra'; rename or remove some."),
        ("#Table1\nobjid,ra,dec,objid,dec\n1,2,3,4,5\n", "there is more than one column 'objid', 'dec'; rename"),
        ("", "it has no header."),
        ("#Table1\n", "it has no header."),
        ("ra,dec\n1,2\n# flagged\n", None),
    ],
)
def test_a_csv_that_is_no_table(text, message, tmp_path):
    (tmp_path / "c.csv").write_text(text)
    with pytest.raises(ValueError, match=message or "row 1: ra='# flagged' is not an angle"):
        Catalog(tmp_path / "c.csv")


def test_names_that_begin_with_the_sign_of_comments(tmp_path):
    (tmp_path / "c.csv").write_text("id,ra,dec\n#1,1.5,2\n#2,3,4\n")
    assert Catalog(tmp_path / "c.csv")["object_id"].tolist() == ["#1", "#2"]


def test_there_is_no_such_file(tmp_path):
    with raises(FileNotFoundError, f"{tmp_path}/c.fits is not a file; expected the path of a table of galaxies."):
        Catalog(tmp_path / "c.fits")


@pytest.mark.parametrize("name", ["c.csv", "c.fits", "c.parquet", "c.vot", "c.txt"])
def test_files_that_cannot_be_read(name, tmp_path):
    (tmp_path / name).write_bytes(b"\x00\xff, 1\n,,,,\n")
    with pytest.raises(
        ValueError, match=rf"{name} cannot be read: .*\. Expected a CSV, FITS, Parquet or VOTable file"
    ):
        Catalog(tmp_path / name)


@pytest.mark.parametrize("suffix", ["fits", "ecsv", "parquet", "csv"])
def test_write_and_read(catalog, suffix, tmp_path):
    catalog.write(tmp_path / f"c.{suffix}")
    for again in (Catalog(tmp_path / f"c.{suffix}"), Catalog.read(tmp_path / f"c.{suffix}")):
        assert type(again) is Catalog
        assert again.colnames == catalog.colnames
        assert all(again["object_id"] == catalog["object_id"])
        assert_array_equal(again["half_light_radius"], catalog["half_light_radius"])
        assert_array_equal(again["ra"], catalog["ra"])


def test_read_takes_what_astropy_takes(tmp_path):
    (tmp_path / "c.txt").write_text("objID|RA|Dec\n05|1.0|2.0\n")
    catalog = Catalog.read(tmp_path / "c.txt", format="ascii.csv", delimiter="|", units={"RA": "hourangle"})
    assert_allclose(catalog["ra"].value, 15)
    assert catalog["object_id"][0] == "5"
    with pytest.raises(ValueError, match=r"^no column for ra among 'RA\|Dec';"):
        Catalog.read(io.BytesIO(b"RA|Dec\n1|2\n"), format="ascii.csv")


# --- a table of astropy --------------------------------------------------------------------------------------


def test_columns_can_be_selected(catalog):
    y = catalog[["bulge_to_total", "half_light_radius", "flux"]]
    assert y.colnames == ["bulge_to_total", "half_light_radius", "flux"]
    assert y["flux"].unit == u.nJy
    y_train, y_test = train_test_split(y, random_state=0)
    assert (len(y_train), len(y_test)) == (30, 10)
    with pytest.raises(ValueError, match=r"^no column for ra among 'bulge_to_total'"):
        Catalog.of(y)


def test_rows_can_be_selected(catalog):
    assert catalog[3]["ra"] == catalog["ra"][3]
    mask = catalog["flux"] > 3 * u.nJy
    for rows in (slice(2, 9, 3), [4, 1], np.array([4, 1]), mask, np.array([], dtype=int)):
        some = catalog[rows]
        assert type(some) is Catalog
        assert_array_equal(some["ra"], catalog["ra"][rows])


@pytest.mark.parametrize("again", [lambda c: c.copy(), lambda c: pickle.loads(pickle.dumps(c)), lambda c: c.filled()])
def test_copies_and_pickles(catalog, again):
    catalog.meta["survey"] = "x"
    for table in (catalog, catalog[["flux", "object_id"]]):
        copy = again(table)
        assert type(copy) is Catalog
        assert copy.colnames == table.colnames
        assert all(copy == table)
        assert copy.meta == {"survey": "x"}


def test_joblib(catalog, tmp_path):
    joblib.dump(catalog, tmp_path / "catalog.joblib")
    assert all(joblib.load(tmp_path / "catalog.joblib") == catalog)
    assert joblib.hash(catalog) == joblib.hash(catalog.copy())


def test_astropys_operations_keep_the_class(catalog):
    other = catalog[["object_id", "flux"]]
    other.rename_column("flux", "flux_2")
    for table in (
        vstack([catalog[:5], catalog[5:]]),
        join(catalog, other, keys="object_id"),
        hstack([catalog, Table({"z": np.zeros(40)})]),
        unique(catalog, "object_id"),
        catalog.group_by("object_id"),
        catalog | Table({"z": np.zeros(40)}),
    ):
        assert type(table) is Catalog
        assert sorted(table["ra"]) == sorted(catalog["ra"])
        assert table["ra"].unit == u.deg


def test_columns_can_be_added(catalog):
    catalog["z"] = 0.1
    catalog.update({"magnitude": np.full(40, 17.5)})
    assert catalog.colnames[-2:] == ["z", "magnitude"]
    catalog.add_row(catalog[0])
    assert len(catalog) == 41


def test_data_frames_there_and_back(catalog):
    for frame in (catalog.to_pandas(), catalog.to_df("polars")):
        again = Catalog(frame)
        assert again.colnames == catalog.colnames
        assert_array_equal(again["ra"], catalog["ra"])
        assert all(again["object_id"] == catalog["object_id"])


# --- what scikit-learn does with it --------------------------------------------------------------------------


class FluxFromRadius(RegressorMixin, BaseEstimator):
    """Flux as a power of the radius, which it reads from a catalog, as a fetcher reads positions."""

    def __init__(self, exponent=1.0):
        self.exponent = exponent

    def _feature(self, X):
        catalog = Catalog.of(X)
        assert catalog is X
        return catalog["half_light_radius"].to_value(u.arcsec) ** self.exponent + 0 * catalog["ra"].value

    def fit(self, X, y):
        self.slope_ = np.sum(self._feature(X) * y) / np.sum(self._feature(X) ** 2)
        return self

    def predict(self, X):
        return self.slope_ * self._feature(X)


def test_train_test_split_keeps_rows_together(catalog):
    y = catalog["half_light_radius"].value
    X_train, X_test, y_train, y_test = train_test_split(catalog, y, test_size=0.25, random_state=0)
    assert type(X_train) is type(X_test) is Catalog
    assert_array_equal(X_train["half_light_radius"].value, y_train)
    assert_array_equal(X_test["half_light_radius"].value, y_test)
    assert sorted([*X_train["object_id"], *X_test["object_id"]]) == sorted(catalog["object_id"])


def test_folds(catalog):
    parts = [_safe_indexing(catalog, test) for _, test in KFold(3).split(catalog)]
    assert [len(part) for part in parts] == [14, 13, 13]
    assert all(vstack(parts) == catalog)


@pytest.mark.parametrize(
    "rows", [[5, 2], np.array([5, 2]), slice(2, 5), np.arange(40) % 2 == 0, [True] + [False] * 39]
)
def test_every_way_of_indexing(catalog, rows):
    some = _safe_indexing(catalog, rows)
    assert type(some) is Catalog
    assert_array_equal(some["ra"], catalog["ra"][rows])


def test_a_single_row(catalog):
    assert _safe_indexing(catalog, 3)["object_id"] == "3"


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_search_and_cross_validation(catalog, n_jobs):
    y = catalog["half_light_radius"].value ** 2
    search = GridSearchCV(FluxFromRadius(), {"exponent": [1.0, 2.0]}, cv=3, n_jobs=n_jobs).fit(catalog, y)
    assert search.best_params_ == {"exponent": 2.0}
    assert_allclose(search.predict(catalog[:5]), y[:5])
    scores = cross_validate(FluxFromRadius(2.0), catalog, y, cv=4, n_jobs=n_jobs)
    assert_allclose(scores["test_score"], 1)


def test_workers_that_share_memory():
    # joblib hands large arrays to its workers as read-only files.
    n = 150_000
    catalog = Catalog({"ra": np.full(n, 1.0), "dec": np.zeros(n), "r50": np.linspace(1, 2, n)})
    y = catalog["half_light_radius"].value
    assert_allclose(cross_validate(FluxFromRadius(), catalog, y, cv=2, n_jobs=2)["test_score"], 1)


# --- Catalog.of ----------------------------------------------------------------------------------------------


def test_of_returns_a_catalog_as_it_is(catalog):
    assert Catalog.of(catalog) is catalog
    assert_standard(Catalog.of(pd.DataFrame(COLUMNS)))


def test_of_notices_what_changed(catalog):
    catalog["half_light_radius"] = np.full(40, 60.0)
    assert Catalog.of(catalog)["half_light_radius"].unit == u.arcsec
    catalog["ra"] = np.full(40, 10) * u.arcmin
    assert_allclose(Catalog.of(catalog)["ra"].to_value(u.deg), 1 / 6)
    catalog["ra"] = np.full(40, 10) * u.deg
    catalog["dec"][3] = 91 * u.deg
    with raises(ValueError, "row 3: dec=91.0 is outside [-90, 90]; expected ra and dec in degrees"):
        Catalog.of(catalog)


@pytest.mark.parametrize("nothing", [None, []])
def test_of_nothing(nothing):
    with pytest.raises(ValueError, match=r"^no column for ra among no columns;"):
        Catalog.of(nothing)


# --- speed ---------------------------------------------------------------------------------------------------


def test_a_hundred_thousand_rows_take_no_time():
    n = 100_000
    position = {"ra": ["12:30:49.4"] * n, "dec": np.linspace(-90, 90, n), "id": np.arange(n)}
    start = time.process_time()
    catalog = Catalog(pl.DataFrame(position))
    assert time.process_time() - start < 3
    start = time.process_time()
    for _ in range(20):
        Catalog.of(catalog)
        catalog[: n // 2]
    assert time.process_time() - start < 1


def test_rows_by_a_condition_that_is_not_known_of_all():
    magnitude = MaskedColumn([-5.0, 18.0, 25.0], mask=[True, False, False])
    catalog = Catalog(Table({"ra": [1.0, 2.0, 3.0], "dec": [0.0] * 3, "magnitude": magnitude}))
    assert catalog[catalog["magnitude"] < 20]["ra"].value.tolist() == [2]
    assert catalog.iloc[catalog["magnitude"] < 20]["ra"].value.tolist() == [2]


def test_paths_in_a_list():
    with pytest.raises(TypeError, match=r"^data is a list of text; expected a data frame, .* or the path of a CSV"):
        Catalog(["galaxies.csv"])
