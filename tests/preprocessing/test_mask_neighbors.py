"""Masks of neighbors: what is another's is masked, what is the galaxy's own is not."""

import pickle
import tracemalloc

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FunctionTransformer, make_pipeline

from galestim import CenterCrop, Cutouts, Downsampler, HarmonicNet, Normalizer, PosteriorRegressor
from galestim import make_pipeline as make_posterior_pipeline
from galestim.datasets import SimulatedGalaxies
from galestim.networks import looked_at as first_look
from galestim.preprocessing import NeighborMasker
from galestim.simulation import MoffatPSF, render, render_stars, sim_v2_cameras, sim_v2_prior

NPIX, PSF = 64, MoffatPSF(3.0)
CAMERA = {"npix": NPIX, "pixel_scale": 1.0, "psf": PSF}
STAR = render_stars(**CAMERA | {"npix": 41}).numpy()[0]


def drawn(flux, radius=3.0, x=0.0, y=0.0, bulge_to_total=0.3):
    """One noiseless galaxy, sizes in pixels; a radius of 0.01 is a star."""
    bulge = {"radius": 0.5 * radius, "sersic_index": 3.0, "axis_ratio": 0.8, "position_angle": 30.0}
    disk = {"radius": radius, "sersic_index": 1.0, "axis_ratio": 0.7, "position_angle": 30.0}
    galaxy = {"flux": flux, "bulge_to_total": bulge_to_total, "x_offset": x, "y_offset": y}
    galaxy |= {f"bulge_{name}": value for name, value in bulge.items()}
    galaxy |= {f"disk_{name}": value for name, value in disk.items()}
    return render({name: [value] for name, value in galaxy.items()}, **CAMERA).numpy()[0].astype(float)


def seen(*galaxies, seed=0, **known):
    light = sum(galaxies, np.zeros((NPIX, NPIX)))
    noisy = light + np.random.default_rng(seed).normal(size=light.shape)
    return Cutouts(noisy[None].astype(np.float32), **{"noise": 1.0, "psf": STAR, "pixel_scale": 1.0, **known})


def looked_at(cutouts, **parameters):
    masker = NeighborMasker(**parameters)
    return masker.transform(cutouts).mask[0], masker.report(cutouts)[0]


GALAXY = drawn(2000.0)


def share(light, mask):
    return light[mask].sum() / light.sum()


@pytest.mark.parametrize("magnitudes", [-2, 0, 2])
@pytest.mark.parametrize("place", [(16.0, 5.0), (-22.0, 10.0)])
def test_a_neighbor_is_masked_and_the_galaxy_is_not(magnitudes, place):
    neighbor = drawn(2000 * 10 ** (-0.4 * magnitudes), 2.5, *place)
    mask, report = looked_at(seen(GALAXY, neighbor))
    assert share(neighbor, mask) > 0.85
    assert share(GALAXY, mask) < 0.1  # 0.082 of the brightest and nearest, 0.05 and less of the others
    assert report["detected"]
    assert not report["blended"]
    assert report["n_neighbors"] == 1
    assert report["nearest"] == pytest.approx(np.hypot(*place), abs=1)
    assert report["masked"] == mask.mean()
    assert report["flux_ratio"] == pytest.approx(10 ** (-0.4 * magnitudes), rel=0.3)


def test_masks_grow_with_the_neighbor():
    areas = [looked_at(seen(GALAXY, drawn(flux, 1.5, 20.0)))[0].sum() for flux in (200, 1000, 5000, 25000)]
    assert (np.diff(areas) > 0).all()


def test_lonely_galaxies_of_many_cameras_are_left_alone():
    n = 60
    known = {"npix": 96, "band": sim_v2_cameras(), "prior": sim_v2_prior(), "random_state": 3}
    cutouts = SimulatedGalaxies(n, **known)[:]
    own = SimulatedGalaxies(n, noise_factor=0, **known)[:].images
    masked = NeighborMasker().transform(cutouts)
    lost = (own * masked.mask).sum(axis=(1, 2)) / own.sum(axis=(1, 2))
    assert (lost > 0.005).sum() <= 1
    report = NeighborMasker().report(cutouts)
    assert report["detected"].mean() > 0.9
    assert report["blended"].mean() < 0.1


def test_arms_and_a_bar_are_the_galaxys_own():
    y, x = np.indices((NPIX, NPIX)) - (NPIX - 1) / 2
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    arms = 1 + 0.8 * np.cos(2 * (angle - 2 * np.log(radius + 1)))
    bar = 40 * np.exp(-((x / 7) ** 2) - (y / 2) ** 2)
    mask, report = looked_at(seen(60 * np.exp(-radius / 8) * arms + bar))
    assert not mask.any()
    assert report["detected"]


def test_a_star_beside_a_galaxy():
    star = drawn(20000.0, 0.01, 14.0, -6.0)
    mask, report = looked_at(seen(GALAXY, star))
    assert report["detected"]
    assert share(star, mask) > 0.9
    assert share(GALAXY, mask) < 0.35
    assert not mask[31:33, 31:33].any()


def test_an_empty_center():
    neighbor = drawn(2000.0, 2.5, 18.0)
    mask, report = looked_at(seen(neighbor))
    assert share(neighbor, mask) > 0.9
    assert not report["detected"]
    assert np.isnan(report["flux_ratio"])
    mask, report = looked_at(seen())
    assert not mask.any()
    assert not report["detected"]
    assert np.isnan(report["nearest"])


def test_a_neighbor_on_the_center_is_neither_masked_nor_seen():
    mask, report = looked_at(seen(GALAXY, drawn(1000.0, 1.0)))
    assert not mask.any()
    assert report["detected"]


def test_what_cannot_be_told_apart_is_reported_and_not_masked():
    mask, report = looked_at(seen(GALAXY, drawn(800.0, 1.0, 4.0)))  # 1.3 FWHM off
    assert not mask.any()
    assert report["blended"]


def test_two_equals_that_merge():
    apart, other = drawn(2000.0, 3.0, -5.0), drawn(2000.0, 3.0, 5.0)
    mask, report = looked_at(seen(apart, other))  # neither is at the center
    assert report["blended"]
    assert not report["detected"]
    assert not mask[31:33, 31:33].any()
    mask, report = looked_at(seen(GALAXY, drawn(2000.0, 3.0, 9.0)))  # one is
    assert report["detected"]
    assert report["n_neighbors"] == 1
    assert share(GALAXY, mask) < 0.3


def test_a_bright_galaxy_that_covers_the_center_is_blended():
    mask, report = looked_at(seen(drawn(40000.0, 6.0, 9.0)))
    assert report["blended"]
    assert not report["detected"]
    assert not mask.any()


def test_masks_that_are_known_stay():
    bad = np.zeros((1, NPIX, NPIX), dtype=bool)
    bad[0, :, 10:12] = True
    neighbor = drawn(1000.0, 2.0, 20.0)
    cutouts = seen(GALAXY, neighbor, mask=bad)
    spoilt = cutouts.replace(np.where(bad, 1e6, cutouts.images))
    mask = NeighborMasker().transform(cutouts).mask
    assert mask[bad].all()
    assert share(neighbor, mask[0]) > 0.85
    np.testing.assert_array_equal(NeighborMasker().transform(spoilt).mask, mask)
    assert NeighborMasker().report(cutouts)["masked"][0] == (mask & ~bad).mean()


def test_a_bad_center_is_no_error():
    bad = np.zeros((1, NPIX, NPIX), dtype=bool)
    bad[0, 24:40, 24:40] = True
    mask, report = looked_at(seen(GALAXY, drawn(1000.0, 2.0, 25.0), mask=bad))
    assert not report["detected"]
    assert mask[24:40, 24:40].all()


def test_what_is_known_of_the_camera_stays():
    cutouts = seen(GALAXY, drawn(1000.0, 2.0, 20.0), gain=4.5, zero_point=30.0)
    masked = NeighborMasker().transform(cutouts)
    assert masked.images is cutouts.images
    for name in ("noise", "gain", "zero_point", "pixel_scale"):
        assert getattr(masked, name) == getattr(cutouts, name)
    np.testing.assert_array_equal(masked.psf, cutouts.psf)


@pytest.mark.parametrize(
    "known",
    [
        {"psf": PSF},
        {"psf": [PSF]},
        {"psf": None},
        {"psf": np.full((9, 9), np.nan)},
        {"psf": STAR[None, ..., None]},
        {"psf": PSF, "pixel_scale": None},
        {"noise": None},
        {"noise": [1.0]},
        {"noise": [np.nan]},
        {"noise": np.ones((1, NPIX, NPIX))},
        {"gain": 2.0},
        {"gain": [np.nan]},
    ],
    ids=str,
)
def test_whatever_is_known_the_neighbor_is_found(known):
    neighbor = drawn(1000.0, 2.0, 20.0)
    mask, report = looked_at(seen(GALAXY, neighbor, **known))
    assert report["n_neighbors"] == 1
    assert share(neighbor, mask) > 0.85
    assert share(GALAXY, mask) < 0.05


def test_units_do_not_matter():
    cutouts = seen(GALAXY, drawn(1000.0, 2.0, 20.0))
    small = cutouts.replace(cutouts.images * np.float32(2.0**-40), noise=2.0**-40)
    np.testing.assert_array_equal(NeighborMasker().transform(small).mask, NeighborMasker().transform(cutouts).mask)


def test_a_neighbor_in_one_of_three_bands_is_masked_in_all():
    neighbor = drawn(1500.0, 2.0, 20.0)
    bands = [seen(GALAXY, neighbor * of, seed=seed).images for seed, of in enumerate((0.0, 0.0, 1.0))]
    cutouts = Cutouts(np.stack(bands, axis=-1) * [1, 2, 3], noise=[[1.0, 2.0, 3.0]], psf=STAR)
    mask = NeighborMasker().transform(cutouts).mask
    assert mask.shape == (1, NPIX, NPIX, 3)
    assert (mask == mask[..., :1]).all()
    assert share(neighbor, mask[0, ..., 0]) > 0.85


def test_a_missing_cutout_stays_missing():
    images = np.concatenate([seen(GALAXY).images, np.full((1, NPIX, NPIX), np.nan, np.float32)])
    masked = NeighborMasker().transform(Cutouts(images, noise=[1.0, np.nan], psf=STAR))
    np.testing.assert_array_equal(masked.missing(), [False, True])
    last = NeighborMasker().report(Cutouts(images, noise=1.0, psf=STAR))[1]
    assert (last["masked"], last["n_neighbors"], last["detected"], last["blended"]) == (0, 0, False, False)
    assert np.isnan([last["nearest"], last["flux_ratio"]]).all()


def test_arrays_become_cutouts_with_a_mask():
    neighbor = drawn(1000.0, 2.0, 20.0)
    images = seen(GALAXY, neighbor).images
    masked = NeighborMasker().fit_transform(images)
    assert isinstance(masked, Cutouts)
    np.testing.assert_array_equal(masked.images, images)
    assert share(neighbor, masked.mask[0]) > 0.85
    assert masked.noise is None
    assert len(NeighborMasker().report(images)) == 1


def test_flat_rows_stay_flat_and_are_nan_where_masked():
    images = seen(GALAXY, drawn(1000.0, 2.0, 20.0)).images
    flat = NeighborMasker(image_shape=(NPIX, NPIX)).fit_transform(images.reshape(1, -1))
    np.testing.assert_array_equal(flat, np.asarray(NeighborMasker().transform(images)).reshape(1, -1))
    assert np.isnan(flat).any()


@pytest.mark.parametrize("shape", [(3, 1, 1), (3, 1, 9), (3, 5, 5), (3, 9, 40), (2, 31, 33, 2)])
@pytest.mark.parametrize("value", [0, 7, None])
def test_odd_shapes_and_constant_images(shape, value):
    rng = np.random.default_rng(0)
    images = rng.normal(size=shape) if value is None else np.full(shape, value)
    masked = NeighborMasker().transform(Cutouts(images))
    assert masked.mask.shape == shape
    assert len(NeighborMasker().report(images)) == shape[0]


def test_no_images_at_all():
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        NeighborMasker().transform(Cutouts(np.zeros((0, 16, 16))))


def test_integers_and_bytes():
    images = (seen(GALAXY, drawn(1000.0, 2.0, 20.0)).images + 20).clip(0, 255).astype(np.uint8)
    masked = NeighborMasker().transform(images)
    assert masked.dtype == np.uint8
    assert masked.mask.any()


def test_stretched_images_are_refused():
    cutouts = Normalizer("asinh", softening=1.0).fit_transform(seen(GALAXY))
    for use in (NeighborMasker().transform, NeighborMasker().report):
        with pytest.raises(ValueError, match=r"are stretched, no longer linear.* in front of the Normalizer\."):
            use(cutouts)


@pytest.mark.parametrize("npix", [20, 64, 128])
def test_an_image_of_bright_pixels_only(npix):
    x = np.arange(npix) - (npix - 1) / 2
    light = 100 * np.exp(-np.hypot(x, x[:, None]) / npix)
    masked = NeighborMasker().transform(Cutouts(light[None], noise=0.1, psf=STAR, pixel_scale=1.0)).mask
    assert not masked.any()  # it is one galaxy


def test_infinite_pixels_are_an_error_that_names_the_row():
    images = np.zeros((400, 32, 64), np.float32)
    images[333, 3, 3] = np.inf
    for given in (images, Cutouts(images, noise=1.0)):
        with pytest.raises(ValueError, match=r"row 333 has infinite pixels \(inf\)"):
            NeighborMasker().transform(given)


def test_other_shapes_than_in_fit():
    masker = NeighborMasker().fit(np.zeros((2, 32, 32)))
    with pytest.raises(ValueError, match=r"(?i)resize or crop them"):
        masker.transform(Cutouts(np.zeros((2, 16, 16))))


@pytest.mark.parametrize(("name", "value"), [("threshold", 0), ("depth", -1), ("psf_fwhm", 0), ("n_jobs", 1.5)])
def test_parameters_that_are_none(name, value):
    with pytest.raises(ValueError, match=rf"The '{name}' parameter of NeighborMasker must be"):
        NeighborMasker(**{name: value}).fit(np.zeros((2, 32, 32)))


def test_sep_is_asked_for_if_it_is_not_there(monkeypatch):
    monkeypatch.setattr("galestim.preprocessing._neighbors.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"needs sep, which is not installed; run: pip install 'galestim\[masks\]'"):
        NeighborMasker().transform(np.zeros((2, 32, 32)))


@pytest.fixture(scope="module")
def crowded():
    rng = np.random.default_rng(1)
    parts = [seen(GALAXY, drawn(1000.0, 2.0, *rng.uniform(-28, 28, 2)), seed=i) for i in range(6)]
    return Cutouts.concatenate(parts * 3)


def test_the_same_in_any_order_process_and_part(crowded, monkeypatch):
    expected = NeighborMasker().transform(crowded).mask
    assert expected.any(axis=(1, 2)).sum() > 6
    order = np.random.default_rng(0).permutation(len(crowded))
    np.testing.assert_array_equal(NeighborMasker().transform(crowded[order]).mask, expected[order])
    monkeypatch.setattr("galestim.preprocessing._mask_neighbors.CACHE_BYTES", 5 * crowded.images[0].nbytes)
    np.testing.assert_array_equal(NeighborMasker().transform(crowded).mask, expected)
    np.testing.assert_array_equal(NeighborMasker(n_jobs=2).transform(crowded).mask, expected)
    reports = [NeighborMasker(n_jobs=n_jobs).report(crowded) for n_jobs in (1, 2)]
    for one, other in zip(*(report.itercols() for report in reports), strict=True):
        np.testing.assert_array_equal(one, other)


def test_masking_twice_masks_no_less(crowded):
    once = NeighborMasker().transform(crowded)
    assert (NeighborMasker().transform(once).mask >= once.mask).all()


def test_clones_and_pickles(crowded):
    masker = NeighborMasker(threshold=5.0, share=0.2, n_jobs=1).fit(crowded)
    assert clone(masker).get_params() == masker.get_params()
    copy = pickle.loads(pickle.dumps(masker))
    assert len(pickle.dumps(masker)) < 2000
    np.testing.assert_array_equal(copy.transform(crowded).mask, masker.transform(crowded).mask)


def test_in_pipelines_and_searches(crowded):
    as_rows = FunctionTransformer(lambda cutouts: np.nan_to_num(np.asarray(cutouts)).reshape(len(cutouts), -1))
    model = make_pipeline(CenterCrop(48), NeighborMasker(), Downsampler(12), as_rows, Ridge())
    y = crowded.images.sum(axis=(1, 2))
    search = GridSearchCV(model, {"neighbormasker__threshold": [4.0, 8.0]}, cv=2, error_score="raise")
    assert search.fit(crowded, y).predict(crowded).shape == (len(crowded),)


def test_in_front_of_a_regressor_that_is_told_the_camera():
    galaxies = SimulatedGalaxies(80, npix=NPIX, band=sim_v2_cameras(), prior=sim_v2_prior(), random_state=0)
    regressor = PosteriorRegressor(HarmonicNet(hidden=8, blocks=1), max_epochs=1, random_state=0)
    model = make_posterior_pipeline(NeighborMasker(), regressor).fit(galaxies[:], galaxies.target)
    posterior = model.predict_posterior(seen(GALAXY, drawn(1000.0, 2.0, 22.0)))
    assert np.isfinite(posterior.median()).all()


def test_networks_measure_a_masked_pair_as_if_the_galaxy_were_alone():
    def look(cutouts):
        pixels = torch.from_numpy(np.asarray(cutouts))[:, None]
        good = pixels[:, 0].isfinite()
        star = torch.from_numpy(cutouts.psf)[None, None]
        return first_look(pixels.nan_to_num(), star, None if good.all() else good)[1][0].numpy()

    pair = seen(GALAXY, drawn(3000.0, 2.0, 15.0))
    alone, masked, unmasked = map(look, (seen(GALAXY), NeighborMasker().transform(pair), pair))
    np.testing.assert_allclose(masked[:2], alone[:2], atol=0.05)
    np.testing.assert_allclose(masked[3:], alone[3:], rtol=0.02)
    # the flux: 0.37, of what noise the opposite side has
    assert abs(masked - alone)[5] < 0.5 * abs(unmasked - alone)[5]


def test_masked_pixels_have_no_weight_in_what_follows(crowded):
    masked = NeighborMasker().transform(crowded)
    smaller = Downsampler(32).transform(masked)
    assert smaller.mask.any() == masked.mask.reshape(-1, 32, 2, 32, 2).all(axis=(2, 4)).any()


def test_a_memmap_is_never_copied_whole(tmp_path):
    n = 300
    images = np.tile(seen(GALAXY, drawn(1000.0, 2.0, 20.0)).images, (n, 1, 1))
    np.save(tmp_path / "images.npy", np.repeat(images, 2, axis=1).repeat(2, axis=2))
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    few = NeighborMasker().transform(Cutouts(mapped[:1], noise=1.0)).mask
    tracemalloc.start()
    masked = NeighborMasker().transform(Cutouts(mapped, noise=1.0))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert masked.images.base is not None
    np.testing.assert_array_equal(masked.mask[-1], few[0])
    assert peak - masked.mask.nbytes < mapped.nbytes / 2


def test_what_sep_is_set_to_for_all_stays_as_it_is(crowded):
    sep = pytest.importorskip("sep")
    before = sep.get_extract_pixstack()
    NeighborMasker().transform(crowded)
    assert sep.get_extract_pixstack() == before
