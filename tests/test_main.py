import subprocess
import sys

import joblib
import numpy as np
import pytest

from galestim.__main__ import main
from galestim.datasets import make_galaxies, make_spin_galaxies
from galestim.posteriors import Posterior


def test_demo_writes_pictures_numbers_and_a_pipeline_that_predicts(tmp_path, capsys):
    main(["demo", "--output", str(tmp_path / "out"), "--galaxies", "60", "--epochs", "2"])
    said = capsys.readouterr().out
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    spin = ["cutouts.png", "predicted_against_actual.png", "training_history.png", "predictions.csv", "spin.joblib"]
    structure = ["crops.png", "coverage.png", "posterior.png", "posteriors.fits", "structure.csv", "structure.joblib"]
    assert files == sorted([*spin, *structure])
    assert all(str(tmp_path / "out" / name) in said for name in files)
    assert "is the best possible here" in said
    numbers = np.loadtxt(tmp_path / "out" / "predictions.csv", delimiter=",", skiprows=1)
    assert numbers.shape == (15, 2)
    images, _ = make_spin_galaxies(3, random_state=1, return_X_y=True)
    assert np.isfinite(joblib.load(tmp_path / "out" / "spin.joblib").predict(images)).all()
    images = make_galaxies(3, size=40, random_state=1).images
    assert joblib.load(tmp_path / "out" / "structure.joblib").predict_posterior(images).sample(7).shape == (3, 7, 3)
    posterior = Posterior.read(tmp_path / "out" / "posteriors.fits")
    assert posterior.target_names == ["bulge_to_total", "half_light_radius", "flux"]
    assert len(posterior) == 15


def test_too_few_galaxies(capsys):
    with pytest.raises(SystemExit):
        main(["demo", "--galaxies", "10"])
    assert "--galaxies 10; expected at least 50" in capsys.readouterr().err


def test_runs_as_a_module():
    command = [sys.executable, "-m", "galestim", "--version"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "galestim 0.1.0\n"
