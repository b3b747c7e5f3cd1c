"""fetch_manga_spin on a synthetic catalog and a simulated SkyServer; it was not yet run against the live archive."""

import hashlib
import re
from functools import partial

import numpy as np
import pytest
from astropy.io import fits
from sklearn.model_selection import GroupShuffleSplit

from galestim.catalogs import Catalog
from galestim.cutouts._errors import CutoutError
from galestim.cutouts._skyserver import SkyServer
from galestim.datasets import _manga
from galestim.datasets._manga import fetch_manga_spin
from galestim.preprocessing import Downsampler
from galestim.testing import GaussianSky, LoopbackSky

NAME = "SDSS17Pipe3D_v3_1_1.fits"
PLATEIFU = [
    "7443-12701",
    "8138-12703",
    "8485-1901",
    "8997-3701",
    "9894-6104",
    "10001-1902",
    "10214-3702",
    "10220-9102",
]
MANGAID = ["1-113567", "1-339094", "1-209232", "1-113567", "12-98126", "1-48157", "1-44047", "1-55648"]
SPIN = [0.62, 0.48, 0.07, 0.58, 0.31, np.nan, -9999.0, 1.7]
ERROR = [0.09, 0.02, 0.01, 0.03, 0.04, 0.01, -9999.0, 0.2]
RADIUS = [4.0, 3.0, 6.0, 4.0, 0.5, 3.0, 3.0, 3.0]
RA = np.array([150.0, 150.1, 150.2, 150.0, 150.3, 150.4, 150.5, 150.6])
DEC = np.full(8, 2.0)


def pipe3d(**changes):
    """A table of the layout of the Pipe3D catalog: strange names, units that are none, padded names."""
    columns = {
        "name": ("32A", [f"manga-{name}" for name in PLATEIFU], None),
        "plateifu": ("32A", [f"{name}  " for name in PLATEIFU], None),
        "mangaid": ("32A", MANGAID, "--"),
        "objra": ("D", RA, "degree"),
        "objdec": ("D", DEC, "degree"),
        "log_SFR_Ha": ("D", np.zeros(8), "log(Msun/yr)"),
        "Re_arc": ("D", RADIUS, "arcsec"),
        "Lambda_Re": ("D", SPIN, None),
        "e_Lambda_Re": ("D", ERROR, None),
        "flux_[OII]3726.03_Re_fit": ("D", np.zeros(8), "10^-16 erg/s/cm^2"),
        "V-band_SB_at_Re": ("D", np.zeros(8), "mag/arcsec^2"),
        "QCFLAG": ("K", [0, 0, 2, 0, 5, 0, 0, 0], None),
    } | changes
    made = [
        fits.Column(name, column[0], array=np.array(column[1]), unit=column[2])
        for name, column in columns.items()
        if column is not None
    ]
    return fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(made)])


@pytest.fixture
def archive(tmp_path, serve):
    """A folder that is served, its address, and the requests that came."""
    folder = tmp_path / "archive"
    folder.mkdir()
    pipe3d().writeto(folder / NAME)
    address, asked = serve(folder)
    return folder, f"{address}/{NAME}", asked


@pytest.fixture
def catalog_of(archive, tmp_path):
    """Fetch without images, from the folder that is served."""
    return partial(fetch_manga_spin, data_home=tmp_path / "home", url=archive[1], fetch_images=False)


def overwrite(archive, hdus):
    hdus.writeto(archive[0] / NAME, overwrite=True)


# --- the catalog --------------------------------------------------------------------------------------------


def test_one_observation_per_galaxy_the_one_with_the_smallest_error(catalog_of):
    data = catalog_of()
    assert isinstance(data.catalog, Catalog)
    assert data.catalog["object_id"].tolist() == ["8138-12703", "8485-1901", "8997-3701", "9894-6104"]
    assert data.lambda_r.tolist() == [0.48, 0.07, 0.58, 0.31]
    assert data.groups.tolist() == ["1-339094", "1-209232", "1-113567", "12-98126"]
    assert data.catalog["ra"].to_value("deg").tolist() == [150.1, 150.2, 150.0, 150.3]
    assert data.catalog["half_light_semimajor_axis"].to_value("arcsec").tolist() == [3.0, 6.0, 4.0, 0.5]
    assert data.catalog["lambda_r_error"].tolist() == [0.02, 0.01, 0.03, 0.04]
    assert data.catalog["qcflag"].tolist() == [0, 2, 0, 5]
    assert data.selection == {"observations": 8, "with a spin": 5, "with a radius": 5, "selected": 4}
    assert data.images is None
    assert data.report is None
    assert "Not yet run against the live archive" in data.DESCR


def test_all_observations_split_by_galaxy(catalog_of):
    data = catalog_of(unique=False)
    assert data.catalog["object_id"].tolist() == PLATEIFU[:5]
    assert data.groups[0] == data.groups[3] == "1-113567"
    for train, test in GroupShuffleSplit(10, test_size=0.4, random_state=0).split(data.catalog, groups=data.groups):
        assert not set(data.groups[train]) & set(data.groups[test])


@pytest.mark.parametrize("radius", [0.0, -1.0, np.nan, np.inf])
def test_galaxies_without_a_radius_are_cut(archive, catalog_of, radius):
    overwrite(archive, pipe3d(Re_arc=("D", [*RADIUS[:2], radius, *RADIUS[3:]], "arcsec")))
    data = catalog_of()
    assert "8485-1901" not in data.catalog["object_id"].tolist()
    assert data.selection == {"observations": 8, "with a spin": 5, "with a radius": 4, "selected": 3}


def test_an_error_of_the_spin_that_is_none_counts_as_the_largest(archive, catalog_of):
    overwrite(archive, pipe3d(e_Lambda_Re=("D", [0.09, 0.02, 0.01, -9999.0, *ERROR[4:]], None)))
    assert "7443-12701" in catalog_of().catalog["object_id"].tolist()


def test_columns_in_another_case_are_found(archive, catalog_of):
    overwrite(archive, pipe3d(Lambda_Re=None, lambda_re=("D", SPIN, None)))
    assert catalog_of().lambda_r.tolist() == [0.48, 0.07, 0.58, 0.31]


def test_x_is_the_catalog_where_there_are_no_images(catalog_of):
    X, y = catalog_of(return_X_y=True)
    assert X.colnames[:3] == catalog_of().catalog.colnames[:3]
    assert y.tolist() == [0.48, 0.07, 0.58, 0.31]


# --- downloading --------------------------------------------------------------------------------------------


def test_the_catalog_is_downloaded_once(archive, catalog_of, tmp_path):
    catalog_of()
    catalog_of(download_if_missing=False)
    assert archive[2] == [f"/{NAME}"]
    assert [file.name for file in (tmp_path / "home").iterdir()] == [NAME]


def test_without_permission_nothing_is_downloaded(archive, catalog_of, tmp_path):
    message = (
        f"There is no {tmp_path / 'home' / NAME}. Pass download_if_missing=True, or download it from {archive[1]}."
    )
    with pytest.raises(OSError, match=re.escape(message)):
        catalog_of(download_if_missing=False)
    assert archive[2] == []


def test_the_file_of_sdss_must_be_the_known_one(archive, catalog_of, tmp_path, monkeypatch):
    body = (archive[0] / NAME).read_bytes()
    monkeypatch.setattr(_manga, "URL", archive[1])
    with pytest.raises(OSError, match=f"{len(body)} bytes of .* {hashlib.sha256(body).hexdigest()}; expected ac71"):
        catalog_of(url=None)
    assert list((tmp_path / "home").iterdir()) == []
    monkeypatch.setattr(_manga, "SHA256", hashlib.sha256(body).hexdigest())
    assert len(catalog_of(url=None).catalog) == 4


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda file: file.write_bytes(b"<html>down for maintenance</html>"), "is not the Pipe3D catalog"),
        (lambda file: file.write_bytes(file.read_bytes()[:-2880]), "is not the Pipe3D catalog"),
        (lambda file: pipe3d(Lambda_Re=None).writeto(file, overwrite=True), "Lambda_Re"),
        (lambda file: fits.PrimaryHDU(np.zeros((4, 4))).writeto(file, overwrite=True), "is not the Pipe3D catalog"),
    ],
)
def test_what_is_no_pipe3d_catalog_is_not_kept(archive, catalog_of, tmp_path, damage, why):
    damage(archive[0] / NAME)
    with pytest.raises(OSError, match=f"{why}.*Expected a FITS table, extension 1, with the columns plateifu"):
        catalog_of()
    assert list((tmp_path / "home").iterdir()) == []


def test_a_wrong_address_says_so(archive, catalog_of, tmp_path):
    with pytest.raises(CutoutError, match="404"):
        catalog_of(url=archive[1].replace("v3_1_1", "v9"))
    assert list((tmp_path / "home").iterdir()) == []


# --- the images ---------------------------------------------------------------------------------------------


@pytest.fixture
def server():
    """A sky with round galaxies of the catalog's radii; for a round Gaussian the half-light radius is 1.1774 σ."""
    ra, dec, radius = (np.delete(values, 3) for values in (RA, DEC, RADIUS))  # the galaxy that was observed twice
    flux = 400 * radius[:, None] ** 2 * np.ones(3)
    with LoopbackSky(GaussianSky(ra, dec, flux, radius / 1.1774, footprint=(150.1, 2.0, 0.15))) as server:
        yield server


def test_images_as_in_the_recipe(catalog_of, server, tmp_path):
    source = SkyServer(url=server.skyserver_url)
    fetch = partial(catalog_of, fetch_images=True, unique=False, source=source, cache=tmp_path / "cutouts")
    message = (
        "1 of 5 galaxies have no image and are left out, 1 of them for R_e < 0.75 arcsec. The first is 9894-6104: "
    )
    with pytest.warns(UserWarning, match=re.escape(message)):
        data = fetch()
    assert data.images.shape == (4, 424, 424, 3)
    assert data.images.dtype == np.uint8
    assert data.catalog["object_id"].tolist() == PLATEIFU[:4]
    assert data.lambda_r.tolist() == SPIN[:4]
    assert data.groups.tolist() == MANGAID[:4]
    assert data.report["status"].tolist() == ["ok"] * 4 + ["missing"]
    assert data.selection["with an image"] == 4

    # Frames follow the radii, so that all galaxies look alike: same size in pixels, in the middle.
    light = data.images.astype(float).mean(axis=3)
    light -= light.min(axis=(1, 2), keepdims=True)
    y, x = np.indices((424, 424)) - 211.5
    for image in light:
        assert abs((image * x).sum() / image.sum()) < 2
        assert abs((image * y).sum() / image.sum()) < 2
    widths = np.sqrt((light * np.hypot(x, y) ** 2).sum(axis=(1, 2)) / light.sum(axis=(1, 2)))
    np.testing.assert_allclose(widths, widths[0], rtol=0.01)

    # The galaxy that is too small was never asked for, and nothing is asked twice.
    asked = [[float(record.query[name][0]) for name in ("scale", "width", "height")] for record in server.log]
    np.testing.assert_allclose(sorted(asked), [[0.06, 424, 424], [0.08, 424, 424], [0.12, 424, 424]])
    with pytest.warns(UserWarning, match="1 of 5 galaxies have no image"):
        images, lambda_r = fetch(return_X_y=True)
    np.testing.assert_array_equal(images, data.images)
    assert lambda_r.tolist() == SPIN[:4]
    assert len(server.log) == 3


def test_images_are_reduced_as_they_arrive(catalog_of, server):
    source = SkyServer(url=server.skyserver_url)
    with pytest.warns(UserWarning, match="1 of 4 galaxies have no image"):
        data = catalog_of(fetch_images=True, source=source, cache=False, reducer=Downsampler(80))
    assert data.images.shape == (3, 80, 80, 3)


def test_galaxies_outside_the_footprint_are_left_out_and_said_to_be(archive, catalog_of, server):
    overwrite(archive, pipe3d(objra=("D", [150.0, 150.1, 210.0, *RA[3:]], "degree")))
    source = SkyServer(url=server.skyserver_url)
    with pytest.warns(UserWarning, match=r"2 of 4 galaxies .* 1 of them for R_e < 0.75 .* is 8485-1901: .*footprint"):
        data = catalog_of(fetch_images=True, source=source, cache=False, reducer=Downsampler(80))
    assert data.catalog["object_id"].tolist() == ["8138-12703", "8997-3701"]
    assert data.lambda_r.tolist() == [0.48, 0.58]
