import subprocess
import sys

import joblib
import numpy as np
import pytest
from astropy.table import QTable

from galestim import Catalog
from galestim.__main__ import main
from galestim.posteriors import Posterior


def test_demo_writes_pictures_numbers_and_pipelines_that_predict_from_a_catalog(tmp_path, capsys):
    out = tmp_path / "out"
    main(["demo", "--output", str(out), "--galaxies", "60", "--epochs", "2"])
    said = capsys.readouterr().out
    files = sorted(path.name for path in out.iterdir() if path.name != "cache")
    sky = ["catalog.csv", "field_r.fits", "field_r_wide.fits"]
    spin = ["cutouts.png", "predicted_against_actual.png", "training_history.png", "predictions.csv", "spin.joblib"]
    structure = [
        "two_cameras.png",
        "coverage.png",
        "posterior.png",
        "posteriors.fits",
        "structure.csv",
        "structure.joblib",
    ]
    assert files == sorted([*sky, "cutouts.csv", *spin, *structure, "crops.png"])
    assert all(str(out / name) in said for name in files)
    assert "60 of 60 images fetched" in said
    assert "is the best possible here" in said
    assert "Between the cameras B/T, radius and flux differ by" in said
    assert said.count("galaxy's light and leave out") == 2  # at two scales
    assert set(QTable.read(out / "cutouts.csv")["status"]) == {"ok"}

    table = QTable.read(out / "predictions.csv")
    assert len(table) == 15
    catalog = Catalog(out / "catalog.csv")
    tested = catalog[np.isin(catalog["object_id"], table["object_id"])]
    # The server is gone; the pipeline has its images from the cache, and the same answers.
    predicted = dict(zip(tested["object_id"], joblib.load(out / "spin.joblib").predict(tested), strict=True))
    np.testing.assert_allclose([predicted[name] for name in table["object_id"]], table["predicted"], rtol=1e-4)

    posterior = Posterior.read(out / "posteriors.fits")
    assert posterior.target_names == ["bulge_to_total", "half_light_semimajor_axis", "flux"]
    assert posterior.units == [None, "arcsec", None]
    assert len(posterior) == 15
    structure = joblib.load(out / "structure.joblib")
    assert structure.predict_posterior(catalog[:3]).sample(7).shape == (3, 7, 3)


def test_too_few_galaxies(capsys):
    with pytest.raises(SystemExit):
        main(["demo", "--galaxies", "10"])
    assert "--galaxies 10; expected at least 50" in capsys.readouterr().err


def test_runs_as_a_module():
    command = [sys.executable, "-m", "galestim", "--version"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "galestim 0.1.0\n"
