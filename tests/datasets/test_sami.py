"""fetch_sami_spin on tables of the published layout and a simulated survey; not yet run against a live one."""

from pathlib import Path

import numpy as np
import pytest

from galestim.cutouts import LegacySurvey
from galestim.datasets import fetch_sami_spin
from galestim.preprocessing import Downsampler
from galestim.testing import GaussianSky, LoopbackSky

SAMI = Path(__file__).resolve().parents[3] / "shared" / "data" / "sami"
TABLES = {
    "samiDR3StelKin.csv": """,cubeid,cubeidpub,catid,sigma_re,lambdar_re,lambdar_re_err,aper_corr_flag
0,x,11_A,11,100,0.3,0.02,0.0
1,x,11_B,11,100,0.4,0.01,1.0
2,x,12_A,12,100,nan,nan,nan
3,x,9011_A,9011,100,0.6,0.03,0.0
4,x,14_A,14,100,0.5,0.03,0.0
5,x,77_A,77,100,0.5,0.03,0.0
""",
    "InputCatGAMADR3.csv": """,catid,ra_obj,dec_obj,ra_ifu,z_spec,r_e,ellip,pa,mstar,g_i,a_g,surv_sami,bad_class
0,11,150.0,2.0,150.0,0.04,4.0,0.5,30,10.1,1.1,0.1,3,0
1,12,150.1,2.0,150.1,0.04,4.0,0.5,30,10.1,1.1,0.1,3,0
2,14,150.2,2.0,150.2,0.04,nan,0.5,30,10.1,1.1,0.1,3,8
""",
    "samiDR3InputCatClusters.csv": """,catid,ra_obj,dec_obj,z_spec,r_e,ellip,pa,g_i,mstar,bad_class
0,9011,150.3,2.0,0.05,3.0,0.2,80,1.2,10.9,0
""",
    "samiDR3VisualMorphology.csv": """,catid,type
0,11,2.5
1,9011,-9.0
""",
}


@pytest.fixture
def folder(tmp_path):
    """A folder of tables as the release has them."""
    folder = tmp_path / "tables"
    folder.mkdir()
    for name, text in TABLES.items():
        (folder / name).write_text(text)
    return folder


def test_tables_are_joined_and_cut(folder):
    data = fetch_sami_spin(folder, fetch_images=False)
    assert data.selection == {"cubes": 6, "with a spin": 5, "with a radius": 3, "selected": 2}
    assert data.catalog["object_id"].tolist() == ["11_B", "9011_A"]  # the smaller error
    assert data.lambda_r.tolist() == [0.4, 0.6]
    assert data.lambda_r_error.tolist() == [0.01, 0.03]
    assert data.catalog["half_light_semimajor_axis"].to_value("arcsec").tolist() == [4.0, 3.0]
    assert data.catalog["ellipticity"].tolist() == [0.5, 0.2]
    np.testing.assert_array_equal(data.catalog["visual_type"], [2.5, np.nan])
    assert data.catalog["aper_corr_flag"].tolist() == [1.0, 0.0]
    assert data.groups.tolist() == [11, 9011]
    both = fetch_sami_spin(folder, fetch_images=False, unique=False)
    assert both.groups.tolist() == [11, 11, 9011]
    X, y = fetch_sami_spin(folder, fetch_images=False, return_X_y=True)
    assert (len(X), y.tolist()) == (2, [0.4, 0.6])


def test_images_of_a_survey(folder):
    with LoopbackSky(GaussianSky([150.0, 150.3], [2.0, 2.0], [100.0, 100.0], [4.0, 3.0])) as server:
        source = LegacySurvey(format="jpeg", url=server.legacy_url)
        data = fetch_sami_spin(folder, source=source, cache=None, reducer=Downsampler(8))
    assert data.images.shape == (2, 8, 8, 3)
    assert data.selection["with an image"] == 2
    np.testing.assert_allclose(data.report["pixel_scale"].to_value("arcsec"), [0.02 * 4, 0.02 * 3], rtol=1e-6)


def test_tables_are_downloaded_once_and_kept_if_they_can_be_read(serve, folder, tmp_path):
    address, _ = serve(folder)
    home = {"data_home": tmp_path / "home", "fetch_images": False}
    first = fetch_sami_spin(address, **home)
    for name in TABLES:
        (folder / name).unlink()
    again = fetch_sami_spin(address, **home)
    assert again.lambda_r.tolist() == first.lambda_r.tolist()
    assert fetch_sami_spin(**home).lambda_r.tolist() == first.lambda_r.tolist()
    (folder / "samiDR3StelKin.csv").write_text("<html>down</html>")
    with pytest.raises(OSError, match=r"is not that table of SAMI.*Expected a CSV file with the columns cubeidpub"):
        fetch_sami_spin(address, data_home=tmp_path / "other", fetch_images=False)
    assert not list((tmp_path / "other" / "sami").iterdir())


def test_without_tables_it_says_where_they_are(tmp_path):
    with pytest.raises(OSError, match=r"There is no .*samiDR3StelKin.csv. Download the tables .* Data Central"):
        fetch_sami_spin(data_home=tmp_path, fetch_images=False)


@pytest.mark.skipif(not SAMI.exists(), reason="the tables of SAMI are not here")
def test_the_release():
    data = fetch_sami_spin(SAMI, fetch_images=False)
    assert data.selection == {"cubes": 3426, "with a spin": 1930, "with a radius": 1928, "selected": 1928}
    assert len(set(data.groups)) == 1928
    assert np.isnan(data.catalog["visual_type"]).sum() == 44
    assert 0.36 < data.lambda_r.mean() < 0.38
