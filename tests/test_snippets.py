"""Snippets without prompts, which doctest passes over, run in the order of their page.

What they take from their reader (files, a catalog, images, a survey's address) are small stand-ins. `SMALLER` says
what is made small, and `LEFT_OUT` what is not run, and why.
"""

import re
import shutil
from itertools import pairwise
from pathlib import Path

import h5py
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from astropy.io import fits
from PIL import Image

from galestim import (
    CNNRegressor,
    CompactCNN,
    CutoutFetcher,
    Cutouts,
    Normalizer,
    STNPosteriorRegressor,
    make_pipeline,
)
from galestim.checkpoints import load_pretrained
from galestim.cutouts import FitsMosaic
from galestim.datasets import make_galaxies, make_spin_galaxies
from galestim.refinement import RefinedRegressor
from galestim.simulation import hsc_like, sim_v1_prior
from galestim.testing import GaussianSky, LoopbackSky

ROOT = Path(__file__).parents[1]
PAGES = {path.stem: path for path in [ROOT / "README.md", *sorted((ROOT / "docs" / "guide").glob("*.md"))]}
SMALLER = {
    r"CNNRegressor\((?=random_state|\))": "CNNRegressor(TINY, max_epochs=1, ",
    r"(?<!STN)PosteriorRegressor\((?=target|warm)": "PosteriorRegressor(max_epochs=1, ",
    r"STNPosteriorRegressor\((?=target)": "STNPosteriorRegressor(TINY, max_epochs=1, ",
    r"max_epochs=5": "max_epochs=1",
    r"n_jobs=\d": "n_jobs=1",
    r"make_galaxies\(1000": "make_galaxies(12",
    r"make_spin_galaxies\(1000": "make_spin_galaxies(12",
    r"SimulatedGalaxies\(20000": "SimulatedGalaxies(40",
    r"make_sky\(200, shape=\(2000, 2000\)": "make_sky(5, shape=(300, 300)",
    r"SkyServer\(\)": "SkyServer(url=server.skyserver_url)",
    r"LocalCluster\(n_workers=8": "LocalCluster(n_workers=1, processes=False, dashboard_address=':0'",
    r'"/shared/runs': '"runs',
    r"image_size=\d+": "n_passes=2, image_size=36",
}
LEFT_OUT = {
    "torchvision": "downloads half a gigabyte",
    "optuna": "is not installed for tests",
    "shap.Explainer": "tests/regression/test_shap.py runs it",
    "fetch_manga_spin": "asks the live archive; tests/datasets/test_manga.py asks one of ours",
    "fetch_sami_spin": "needs the tables of SAMI; tests/datasets/test_sami.py has some of that layout",
    "import lsdb": "tests/production/test_hats.py runs it",
}


def snippets(page):
    """The snippets of a page, and what those with prompts import of galestim and scikit-learn."""
    blocks = re.findall(r"```python\n(.*?)```", PAGES[page].read_text(encoding="utf-8"), re.DOTALL)
    imports = r"^>>> (from (?:galestim|sklearn)[.\w]* import .+)"
    return ["\n".join(re.findall(imports, block, re.MULTILINE)) if ">>>" in block else block for block in blocks]


def smaller(snippet):
    for long, short in SMALLER.items():
        snippet = re.sub(long, short, snippet)
    return snippet


# ---- what a reader has


def catalog_of_the_field():
    """Places of twenty galaxies in four rows, and what is known of them."""
    rng, n = np.random.default_rng(0), np.arange(20)
    table = pd.DataFrame({"object_id": n, "ra": 150.1 + 0.004 * (n % 5 - 2), "dec": 2.2 + 0.004 * (n // 5 - 1.5)})
    table["half_light_radius"], table["flux"] = rng.uniform(0.8, 1.2, 20), 10 ** rng.uniform(2, 3, 20)
    table["bulge_to_total"], table["lambda_r"] = rng.uniform(0.1, 0.9, (2, 20))
    return table.assign(lambda_r_error=0.02, seeing=0.7)


CATALOG, TINY = catalog_of_the_field(), CompactCNN(widths=(2,), norm="none")


def sky_of(table):
    """Its galaxies, and a star beside each, seen through a Gaussian of 0.7 arcsec."""
    stars = table.assign(ra=table["ra"] + 0.002, dec=table["dec"] + 0.002, half_light_radius=1e-3)
    both = pd.concat([table, stars])
    return GaussianSky.from_galaxies(
        *(both[name] for name in ("ra", "dec", "flux", "half_light_radius", "bulge_to_total")), psf_fwhm=0.7
    )


def write_psfex(path):
    """A point-spread function of PSFEx, the same everywhere."""
    image = star()
    table = fits.BinTableHDU.from_columns(
        [fits.Column("PSF_MASK", f"{image.size}E", dim="(25,25,1)", array=image[None, None])],
        name="PSF_DATA",
    )
    table.header.update(POLNAXIS=2, POLGRP1=1, POLGRP2=1, POLNGRP=1, POLDEG1=0, PSF_SAMP=1.0)
    table.header.update(
        POLNAME1="X_IMAGE", POLZERO1=0.0, POLSCAL1=1.0, POLNAME2="Y_IMAGE", POLZERO2=0.0, POLSCAL2=1.0
    )
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(path)


def star():
    """An image of a star of the field, of 25 pixels of 0.2 arcsec."""
    x = np.arange(25) - 12
    image = np.exp(-(x**2 + x[:, None] ** 2) / 2 / (0.7 / 0.2 / 2.3548) ** 2).astype(np.float32)
    return image / image.sum()


def write_mosaics(sky):
    """A field in two bands with all that belongs to it, under the names that snippets give it."""
    Path("tiles").mkdir()
    for band in "ri":
        field = sky.to_mosaic(150.1, 2.2, (450, 550), pixel_scale=0.2, band=band, noise=0.05, random_state=0)
        field.header.update(GAIN=20.0, MAGZPT=27.0)
        field.writeto(f"field_{band}.fits")
    variance = fits.ImageHDU(np.full(field.data.shape, 0.05**2, np.float32), field.header, name="VARIANCE")
    weight = fits.PrimaryHDU(1 / variance.data, field.header)
    mask = fits.ImageHDU(np.zeros(field.data.shape, np.int32), field.header, name="MASK")
    mask.header.update({"HIERARCH MP_BAD": 0, "HIERARCH MP_SAT": 1, "HIERARCH MP_CR": 3})
    image = fits.ImageHDU(field.data, field.header, name="IMAGE")
    fits.HDUList([fits.PrimaryHDU(), image, variance, mask]).writeto("calexp.fits")
    fits.writeto("variance.fits", variance.data, field.header)
    for path in ("mask.fits", "field_r.mask.fits"):
        fits.writeto(path, mask.data, field.header)
    for path in ("field_r.weight.fits", "tiles/a_r.weight.fits"):
        weight.writeto(path)
    field.writeto("tiles/a_r.fits")
    for path in ("field_r.psf", "calexp.psf"):
        write_psfex(path)


def write_keras_weights(path):
    """A spin network of Keras for images of 80 pixels: maps of 77, 75, 37 (pooled), 36 and 18 (pooled)."""
    convolutions, dense = [(3, 3, 4), (3, 4, 3), (4, 5, 2)], [5 * 18 * 18, 6, 5, 1]
    kernels = [("conv2d", (side, side, inputs, width)) for inputs, width, side in convolutions]
    kernels += [("dense", shape) for shape in pairwise(dense)]
    with h5py.File(path, "w") as file:
        for number, (kind, shape) in enumerate(kernels):
            name = f"layers/{kind}_{number % 3}" if number % 3 else f"layers/{kind}"
            file[f"{name}/vars/0"] = np.full(shape, 0.02, "f4")
            file[f"{name}/vars/1"] = np.zeros(shape[-1], "f4")


def write_gampen_weights(path):
    """Weights of the published network, all of them 0 but the crop's zoom: their shapes are what is read."""
    widths = [64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    places = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]
    shapes = {"localization.0": (64, 3, 11, 11), "localization.3": (96, 64, 9, 9), "fc_loc.0": (32, 96)}
    shapes |= {"fc_loc.2": (1, 32)}
    shapes |= {f"vgg.features.{i}": (a, b, 3, 3) for i, a, b in zip(places, widths, [3, *widths])}
    shapes |= {"vgg.classifier.0": (6, 25_088), "vgg.classifier.3": (6, 6), "vgg.classifier.6": (9, 6)}
    state = {f"{name}.weight": torch.zeros(1).expand(shape) for name, shape in shapes.items()}
    state |= {f"{name}.bias": torch.full(shape[:1], float(name == "fc_loc.2")) for name, shape in shapes.items()}
    torch.save(state, path)


def write_images():
    Path("images").mkdir()
    for number in range(20):
        Image.fromarray(np.full((24, 24, 3), 10 * number, np.uint8)).save(f"images/{number}.png")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with all files that snippets read."""
    path = tmp_path_factory.mktemp("reader")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        write_mosaics(sky_of(CATALOG))
        for name in ("manga.csv", "catalog.csv"):
            CATALOG.to_csv(name, index=False)
        CATALOG.to_parquet("catalog.parquet")
        write_keras_weights("spin.weights.h5")
        write_gampen_weights("trained_model.pt")
        write_images()
    return path


def shown():
    """A trained estimator, what it has seen and has not, and one that refines."""
    drawn = make_galaxies(20, npix=96, random_state=0)
    lambda_r = CATALOG["lambda_r"]
    model = STNPosteriorRegressor(TINY, max_epochs=1, random_state=0)
    refined = RefinedRegressor(load_pretrained("hsc-sim-i"), prior=sim_v1_prior(), band=hsc_like("i"), n_samples=100)
    names = {"model": model.fit(drawn.images, lambda_r), "refined": refined}
    return names | {"X_train": drawn.images, "y_train": lambda_r, "X_test": drawn.images[:8], "y_test": lambda_r[:8]}


def of_cameras():
    """Images in memory with what is told of their camera, and a model of the field on disk."""
    mosaic = FitsMosaic("field_r.fits", noise=0.05, psf=star())
    survey = make_pipeline(CutoutFetcher(mosaic, npix=32), load_pretrained("any-camera"))
    images = make_galaxies(20, npix=64, random_state=0).images
    told = {"images": images, "stars": star(), "sigma": 0.05, "bad": np.zeros(images.shape, bool)}
    cutouts = Cutouts(images, psf=star(), noise=0.05, pixel_scale=0.2)
    truth = CATALOG[:3][["bulge_to_total", "half_light_radius", "flux"]].to_numpy()
    return {
        "README": {**told, "truth": truth},
        "datasets": {**told, "bad": np.zeros((5, 96, 96), bool)},  # five are what `make_sky` is asked for
        "surveys": {"model": survey, "spin": CATALOG["lambda_r"]},
        "transfer": {"cutouts": cutouts},
    }


def of_arrays():
    """Plain images, and what is to be learned of them."""
    drawn = make_galaxies(20, npix=36, random_state=0)
    labels = pd.DataFrame(drawn.target, columns=["bulge_to_total", "half_light_radius", "flux"])
    in_three = {"new_images": np.repeat(drawn.images[..., None], 3, axis=3), "new_labels": labels}
    learner = make_pipeline(Normalizer("minmax"), CNNRegressor(TINY, max_epochs=1, random_state=0))
    return {
        "checkpoints": {"training_catalog": labels, "bands": drawn.images[:2], **in_three},
        "datasets": {"pipeline": learner, "posterior_regressor": learner, "targets": labels[:5]},
        "from_gampen": {"images": drawn.images[:3, ..., None], "labels": labels},
        "from_keras": {"bar_strength": CATALOG["lambda_r"]},
        "model_selection": {"catalog": pd.DataFrame({"object_id": range(100)})},
        "preprocessing": {"images": np.zeros((20, 220, 220, 3), np.uint8) + np.arange(3, dtype=np.uint8)},
        "transfer": {"labels": labels},
    }


def reader(page):
    """What a page takes for granted beside files: names of its snippets."""
    images = make_spin_galaxies(20, npix=80, random_state=0).images
    names = {"TINY": TINY, "np": np, "images": images, "lambda_r": CATALOG["lambda_r"]}
    names |= {"catalog": CATALOG, "new_catalog": CATALOG[:3]}
    names |= shown() if page == "displays" else {}
    return names | of_arrays().get(page, {}) | of_cameras().get(page, {})


@pytest.mark.parametrize(
    "page", [page for page, path in PAGES.items() if re.search(r"```python\n(?!>>>)", path.read_text("utf-8"))]
)
def test_snippets_run(page, folder, tmp_path, monkeypatch):
    shutil.copytree(folder, tmp_path / "reader")
    monkeypatch.chdir(tmp_path / "reader")
    monkeypatch.setenv("GALESTIM_CACHE", str(tmp_path / "cache"))
    with LoopbackSky(sky_of(CATALOG)) as server:
        names = reader(page) | {"server": server}
        for number, snippet in enumerate(snippets(page)):
            if not any(part in snippet for part in LEFT_OUT):
                exec(compile(smaller(snippet), f"{page}, snippet {number}", "exec"), names)
    plt.close("all")
    if "cluster" in names:
        names["cluster"].close()


def test_what_is_left_out_or_made_smaller_is_there():
    text = "\n".join(snippet for page in PAGES for snippet in snippets(page))
    assert [part for part in LEFT_OUT if part not in text] == []
    assert [long for long in SMALLER if not re.search(long, text)] == []
