import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[1] / "production"))
try:
    from _survey import FWHM, NOISE, catalog_of, write_mosaic
finally:
    sys.path.pop()

from galestim import Catalog, CutoutFetcher
from galestim.__main__ import main
from galestim._cli.recipe import Recipe
from galestim.checkpoints import load_estimator
from galestim.cutouts import FitsMosaic
from galestim.production import read_predictions
from galestim.regression._checkpoint import Checkpoint
from galestim.simulation import GaussianPSF

pytest.importorskip("pyarrow")

RECIPE = f"""
[catalog]
file = "catalog.csv"

[images]
class = "FitsMosaic"
paths = "field.fits"
noise = {NOISE}
psf = {{ class = "GaussianPSF", fwhm = {FWHM} }}

[cutouts]
npix = 24

[model]
class = "PosteriorRegressor"
network = {{ class = "HarmonicNet", hidden = 8, blocks = 1 }}
target_transforms = "log"
max_epochs = 2
n_passes = 2
random_state = 0

[targets]
columns = ["half_light_radius", "flux"]
cv = 2
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Folder with a mosaic, a catalog, a recipe, and the model that the recipe makes."""
    folder = tmp_path_factory.mktemp("place")
    catalog = catalog_of(300)
    write_mosaic(folder / "field.fits", catalog)
    catalog.write(folder / "catalog.csv")
    (folder / "recipe.toml").write_text(RECIPE)
    main(["fit", str(folder / "recipe.toml"), "--out", str(folder / "model.safetensors")])
    return folder


def said(capsys):
    return json.loads(capsys.readouterr().out)


def refused(capsys, code, *arguments):
    with pytest.raises(SystemExit) as error:
        main([str(argument) for argument in arguments])
    assert error.value.code == code
    return capsys.readouterr().err


def test_a_recipe_becomes_a_model_without_code(place):
    model = load_estimator(place / "model.safetensors")
    assert model.target_names_ == ["half_light_radius", "flux"]
    assert model.target_units_ == ["arcsec", None]
    assert model.card_["recipe"]["images"]["paths"] == str(place / "field.fits")


def test_addresses_of_images_stay_as_they_are(tmp_path):
    address = "https://survey.example.org/tile_r.fits"
    (tmp_path / "recipe.toml").write_text(
        f'[images]\nclass = "FitsMosaic"\npaths = ["{address}", "b.fits"]\n[cutouts]\nnpix = 8\n'
    )
    mosaic = Recipe.read(tmp_path / "recipe.toml", needed=["images"]).fetcher().source
    assert mosaic.paths == [address, str(tmp_path / "b.fits")]


def test_predict_and_resume(place, tmp_path, capsys):
    command = ["predict", str(place / "model.safetensors"), str(place / "catalog.csv"), "--out", str(tmp_path)]
    main([*command, "--chunk-size", "100", "--column", "object_id", "--column", "flux", "--json"])
    counts = {"rows": 300, "ok": 299, "missing": 1, "failed": 0}
    assert said(capsys) == {"out": str(tmp_path), "resumed": 0, **counts}
    main([*command, "--chunk-size", "100", "--column", "object_id", "--column", "flux"])
    assert capsys.readouterr().out == f"{tmp_path}: 300 rows; 299 ok, 1 missing, 0 failed; 300 were done before\n"
    table = read_predictions(tmp_path)
    assert table.colnames[1:3] == ["object_id", "flux"]
    assert np.isfinite(table["flux_mean"][:-1]).all()
    assert "another settings" in refused(capsys, 1, *command, "--full-posterior")


def test_info(place, capsys):
    main(["info", str(place / "model.safetensors"), "--json"])
    found = said(capsys)
    assert found["targets"] == {"half_light_radius": "arcsec", "flux": None}
    assert (found["regressor"], found["epochs"], found["knows_domain"]) == ("PosteriorRegressor", 2, True)
    main(["info", "hsc-sim-i"])
    assert "half_light_radius" in capsys.readouterr().out


def test_an_interrupted_fit_goes_on(place, tmp_path, capsys, monkeypatch):
    out, kept = tmp_path / "model.safetensors", tmp_path / "model.safetensors.checkpoint"
    command = ["fit", str(place / "recipe.toml"), "--out", str(out)]
    write, left = Checkpoint.write, [5]  # three fits write two each: the third, that of all galaxies, has begun

    def write_and_press(self, training):
        write(self, training)
        left[0] -= 1
        if not left[0]:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Checkpoint, "write", write_and_press)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    assert "the same command goes on from there" in refused(capsys, 130, *command)
    signal.signal(signal.SIGINT, before)
    assert len(list(kept.iterdir())) == 3
    assert not out.exists()
    left[0] = 0
    main(command)
    assert left == [-1]  # the last one, of the fit that was interrupted
    assert [path.name for path in tmp_path.iterdir()] == [out.name]
    rows = Catalog(place / "catalog.csv")[:3]
    images = CutoutFetcher(FitsMosaic(place / "field.fits", noise=NOISE, psf=GaussianPSF(FWHM)), npix=24).transform(
        rows
    )
    uninterrupted = load_estimator(place / "model.safetensors").predict(images)
    np.testing.assert_array_equal(load_estimator(out).predict(images), uninterrupted)


def test_report(place, tmp_path, capsys):
    catalog = Catalog(place / "catalog.csv")[:40]
    catalog.write(tmp_path / "held_out.csv")
    page = tmp_path / "page.html"
    main(["report", str(place / "model.safetensors"), str(tmp_path / "held_out.csv"), "--out", str(page), "--json"])
    found = said(capsys)
    assert found["galaxies"] == 40
    assert found["of"] == len(found["checks"]) > 5
    assert page.read_text().startswith("<!doctype html>")
    catalog[["object_id", "ra", "dec", "flux"]].write(tmp_path / "untrue.csv")
    message = refused(capsys, 1, "report", place / "model.safetensors", tmp_path / "untrue.csv")
    assert "has no 'half_light_radius'; expected the true values of" in message


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[cutouts]", "[cutout]", "'cutout' is unknown among the sections; Did you mean 'cutouts'?"),
        ("npix", "npixels", "'npixels' is unknown among the keys of [cutouts]; Did you mean 'npix'?"),
        ("FitsMosaic", "FitsMosaics", "[images] has class = 'FitsMosaics'; Did you mean 'FitsMosaic'?"),
        (
            "max_epochs",
            "epochs",
            "'epochs' is unknown among the parameters of PosteriorRegressor in [model]; Did you mean",
        ),
        ("max_epochs = 2", "max_epochs = 0", "max_epochs"),
        ("HarmonicNet", "os.system", "[model] network has class = 'os.system'; expected one of 'AiryPSF'"),
        ("hidden", "hiden", "Did you mean 'hidden'?"),
        ('"flux"', '"fluxes"', "[targets] has the columns 'fluxes'; the catalog has"),
        ('"field.fits"', '"fields.fits"', "fields.fits"),
        ('"catalog.csv"', '"catalogs.csv"', "catalogs.csv is not a file"),
        ("[targets]", "[targets", "is no TOML"),
    ],
)
def test_recipes_are_checked_before_the_training(place, tmp_path, capsys, old, new, message):
    recipe = tmp_path / "recipe.toml"
    assert old in RECIPE
    text = RECIPE.replace(old, new)
    for name in ("field.fits", "catalog.csv"):
        text = text.replace(f'"{name}"', f'"{place / name}"')
    recipe.write_text(text)
    assert message in refused(capsys, 1, "fit", recipe, "--out", tmp_path / "model.safetensors")
    assert list(tmp_path.iterdir()) == [recipe]


def test_wrong_arguments(place, tmp_path, capsys):
    assert "No such option" in refused(capsys, 2, "predict", "--outt")
    assert "does not exist" in refused(
        capsys, 2, "predict", "hsc-sim-i", tmp_path / "no.csv", "--out", tmp_path / "o"
    )
    assert "expected such as ra=ALPHA" in refused(
        capsys, 2, "predict", "hsc-sim-i", place / "catalog.csv", "--out", tmp_path / "o", "--name", "ra"
    )
    message = refused(capsys, 1, "predict", "hsc-sim-i", place / "catalog.csv", "--out", tmp_path / "o")
    assert "hsc-sim-i does not say where its images come from; pass --images" in message
    assert "expected one of 'any-camera', 'hsc-sim-i'" in refused(capsys, 1, "info", "nothing")
    assert list(tmp_path.iterdir()) == []


def test_images_of_another_recipe(place, tmp_path, capsys):
    recipe = tmp_path / "images.toml"
    recipe.write_text(f'[images]\nclass = "FitsMosaic"\npaths = "{place / "field.fits"}"\n[cutouts]\nnpix = 96\n')
    command = ["predict", "hsc-sim-i", str(place / "catalog.csv"), "--out", str(tmp_path / "out")]
    main([*command, "--images", str(recipe), "--json"])
    found = said(capsys)
    assert found["rows"] == 300 == found["ok"] + found["missing"]
    assert found["ok"] > 0


def test_fetch_fills_the_cache(tmp_path, capsys):
    from galestim.testing import GaussianSky, LoopbackSky

    catalog = catalog_of(12)
    catalog[["object_id", "ra", "dec"]].write(tmp_path / "catalog.csv")
    sky = GaussianSky(catalog["ra"], catalog["dec"], np.ones((12, 3)), np.full(12, 2.0), footprint=(149, 151, 1, 3))
    with LoopbackSky(sky) as server:
        (tmp_path / "recipe.toml").write_text(
            f'[catalog]\nfile = "catalog.csv"\n[images]\nclass = "SkyServer"\nurl = "{server.skyserver_url}"\n'
            f'transport = {{ class = "Transport", requests_per_second = 1000 }}\n'
            f'[cutouts]\nnpix = 64\npixel_scale = 0.4\ncache = "cache"\n'
        )
        main(["fetch", str(tmp_path / "recipe.toml"), "--report", str(tmp_path / "report.csv"), "--json"])
    assert said(capsys) == {"rows": 12, "ok": 11, "missing": 1, "failed": 0}
    assert (tmp_path / "cache").is_dir()
    assert (tmp_path / "report.csv").read_text().count("\n") == 13


def test_in_a_terminal(place, tmp_path):
    pexpect = pytest.importorskip("pexpect")
    out = tmp_path / "out"

    def start(*arguments):
        environment = {**os.environ, "COLUMNS": "100", "TERM": "xterm"}
        return pexpect.spawn(
            sys.executable, ["-m", "galestim", *map(str, arguments)], env=environment, encoding="utf-8", timeout=300
        )

    child = start("predict", "--help")
    child.expect("Usage: galestim predict .*MODEL CATALOG")
    child.expect(r"same\s+command\s+goes\s+on\s+where\s+it\s+was")
    child.expect(pexpect.EOF)

    command = ["predict", place / "model.safetensors", place / "catalog.csv", "--out", out, "--chunk-size", 3]
    child = start(*command)
    child.expect(r"\d+%.*\| \d+/300 ")  # the bar
    while len(list(out.glob("part-*"))) < 3:
        child.expect(r"\d+/300 ")
    child.sendintr()
    child.expect("Interrupted; what is done is kept")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130
    n_done = len(list(out.glob("part-*")))
    assert 3 <= n_done < 100

    child = start(*command)
    child.expect(rf"300 rows; 299 ok, 1 missing, 0 failed; {3 * n_done} were done before")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert read_predictions(out)["row"].tolist() == list(range(300))
