"""A catalog is made of whatever holds columns: containers, coordinates and files."""

import io

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from astropy import units as u
from astropy.coordinates import Galactic, Longitude, SkyCoord
from astropy.table import Column, MaskedColumn, QTable, Table
from numpy.testing import assert_allclose, assert_array_equal

from galestim.catalogs import Catalog

from ._columns import COLUMNS, DEC, RA, assert_standard, raises

# --- what it takes ------------------------------------------------------------------------------------------

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


# --- sky coordinates ----------------------------------------------------------------------------------------


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


# --- files --------------------------------------------------------------------------------------------------


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
    with pytest.raises(ValueError, match=rf"{name} cannot be read: .*\. Expected a CSV, FITS, Parquet or VOTable"):
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


# --- what is no table ---------------------------------------------------------------------------------------

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


def test_paths_in_a_list():
    with pytest.raises(TypeError, match=r"^data is a list of text; expected a data frame, .* or the path of a CSV"):
        Catalog(["galaxies.csv"])
