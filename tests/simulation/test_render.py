import numpy as np
import pytest
import torch
from scipy.special import gamma

from galestim.simulation import (
    GalaxyPrior,
    GaussianPSF,
    ImagePSF,
    MoffatPSF,
    Uniform,
    _cameras,
    render,
    render_stars,
    render_with_stars,
    sim_v1_prior,
)
from galestim.simulation._parameters import PARAMETERS
from galestim.simulation._sersic import half_light_scale

from ._galsim import by_galsim

SCALE = 0.168
CAMERA = {"npix": 96, "pixel_scale": SCALE, "psf": MoffatPSF(0.58)}
SMALL = CAMERA | {"npix": 40}


def galaxy(**changes):
    truth = {
        "flux": 100.0,
        "bulge_to_total": 0.4,
        "bulge_radius": 0.5,
        "disk_radius": 1.2,
        "bulge_sersic_index": 3.5,
        "disk_sersic_index": 1.1,
        "bulge_axis_ratio": 0.8,
        "disk_axis_ratio": 0.5,
        "bulge_position_angle": 40.0,
        "disk_position_angle": 30.0,
        "x_offset": 0.3,
        "y_offset": -0.4,
    }
    return {name: np.atleast_1d(value).astype(float) for name, value in (truth | changes).items()}


def draw(truth, **camera):
    return render(truth, **(SMALL | camera), dtype=torch.float64).numpy()


# --- the light is where it should be ------------------------------------------------------------------------


def test_agrees_with_galsim():
    pytest.importorskip("galsim")
    any_index = {f"{name}_sersic_index": Uniform(0.7, 5.6) for name in ("bulge", "disk")}
    benchmark = sim_v1_prior()
    for prior, n in ((benchmark, 8), (GalaxyPrior(benchmark.priors | any_index), 8)):
        galaxies = prior.draw(n, random_state=1)
        for i, image in enumerate(render(galaxies, **CAMERA).numpy()):
            expected = by_galsim(galaxies, i, **CAMERA)
            assert abs(image - expected).max() < 1e-4 * expected.max()
            assert abs(image.sum() - expected.sum()) < 1e-4 * galaxies["flux"][i]


@pytest.mark.parametrize("n", [1.0, 4.0, 5.6])
def test_wings_are_those_of_the_profile(n):
    """No light comes back from periodic copies; far out, the point-spread function does not matter."""
    truth = galaxy(bulge_to_total=1.0, bulge_radius=1.5, bulge_sersic_index=n, bulge_axis_ratio=1.0)
    image = draw(truth, npix=96, psf=GaussianPSF(0.3))[0]
    row, column = np.indices((96, 96)) - 47.5
    radius = SCALE * np.hypot(row + 0.4, column - 0.3) / 1.5
    fluxes = np.exp(-half_light_scale(n) * radius ** (1 / n))
    light = 2 * np.pi * n * half_light_scale(n) ** (-2 * n) * gamma(2 * n) * (1.5 / SCALE) ** 2
    far = radius > 3.5
    np.testing.assert_allclose(image[far], 100 * fluxes[far] / light, rtol=0.02)


def test_all_light_is_in_a_large_image():
    truth = galaxy(bulge_radius=0.2, bulge_sersic_index=2.5, disk_radius=0.5)
    assert draw(truth, npix=128).sum() == pytest.approx(100, rel=1e-5)


def test_center_and_position_angle():
    """x along columns, y along rows; angles from north (row 0) through east (column 0)."""
    truth = galaxy(x_offset=3.0, y_offset=-5.0, bulge_to_total=0.0, disk_position_angle=30.0, disk_radius=0.6)
    image = draw(truth, npix=96)[0] / 100
    row, column = np.indices(image.shape) - 47.5
    assert (image * column).sum() == pytest.approx(3.0, abs=0.01)
    assert (image * row).sum() == pytest.approx(-5.0, abs=0.01)
    east, north = -(column - 3.0), -(row + 5.0)
    angle = 0.5 * np.arctan2(2 * (image * east * north).sum(), (image * (north**2 - east**2)).sum())
    assert np.degrees(angle) == pytest.approx(30.0, abs=0.1)


def test_radii_are_circularized():
    """The semi-major axis is radius / sqrt(axis ratio); second moments of a disk tell."""
    truth = galaxy(
        bulge_to_total=0, disk_radius=0.8, disk_axis_ratio=0.25, disk_sersic_index=1, disk_position_angle=0
    )
    image = draw(truth | {"x_offset": [0], "y_offset": [0]}, npix=160, psf=GaussianPSF(0.4))[0] / 100
    row, column = (np.indices(image.shape) - 79.5) * SCALE
    blur = (0.4 / np.sqrt(8 * np.log(2))) ** 2 + SCALE**2 / 12
    scale = 0.8 / half_light_scale(1.0)
    assert (image * row**2).sum() - blur == pytest.approx(3 * scale**2 / 0.25, rel=2e-3)
    assert (image * column**2).sum() - blur == pytest.approx(3 * scale**2 * 0.25, rel=1e-2)


def test_sum_of_components():
    both, bulge, disk = (draw(galaxy(bulge_to_total=value)) for value in (0.4, 1.0, 0.0))
    np.testing.assert_allclose(both, 0.4 * bulge + 0.6 * disk, atol=1e-12)


def test_small_stamp_is_the_middle_of_a_large_one():
    large = draw(galaxy(), npix=96)[0]
    for npix in (1, 8, 33, 40):
        truth = galaxy(x_offset=0.3 + (npix % 2) / 2, y_offset=-0.4 + (npix % 2) / 2)
        start = 48 - (npix + 1) // 2
        middle = large[start : start + npix, start : start + npix]
        np.testing.assert_allclose(draw(truth, npix=npix)[0], middle, atol=2e-4 * large.max())


def test_source_outside_the_stamp_leaves_its_wings():
    inside = draw(galaxy(x_offset=30.0, y_offset=0.0), npix=96)[0]
    shifted = draw(galaxy(x_offset=58.0, y_offset=0.0), npix=40)[0]  # 28 pixels west of a smaller stamp
    np.testing.assert_allclose(shifted, inside[28:68, :40], atol=1e-5 * inside.max())


def test_measured_psf_gives_the_image_of_its_model():
    point = galaxy(bulge_radius=1e-3, disk_radius=1e-3, x_offset=0.0, y_offset=0.0)
    star = draw(point, npix=65)[0]
    measured, model = (draw(galaxy(), psf=psf) for psf in (ImagePSF(star, SCALE), CAMERA["psf"]))
    np.testing.assert_allclose(measured, model, atol=2e-3 * model.max())
    finer = ImagePSF(draw(point, npix=131, pixel_scale=SCALE / 2)[0], SCALE / 2)
    assert draw(galaxy(), psf=finer).sum() == pytest.approx(model.sum(), rel=2e-3)


@pytest.mark.parametrize("fwhm", [0.6, 1.0, 2.0, 3.5])  # pixels; sharp ones have light beyond Nyquist's frequency
def test_pixels_are_integrals(fwhm):
    truth, psf = galaxy(bulge_to_total=0.8, bulge_radius=0.15, x_offset=0.0, y_offset=0.0), MoffatPSF(fwhm * SCALE)
    expected = binned(draw(truth, npix=160, pixel_scale=SCALE / 5, psf=psf)[0], 5)
    image = draw(truth, npix=32, psf=psf)[0]
    np.testing.assert_allclose(image, expected, atol=1e-3 * expected.max())


def binned(image, factor):
    """Sums over blocks of pixels."""
    height, width = (side // factor for side in image.shape)
    return image.reshape(height, factor, width, factor).sum(axis=(1, 3))


@pytest.mark.parametrize("offset", [0.0, 32.0])
@pytest.mark.parametrize("bulge_to_total", [0.0, 1.0])
def test_no_light_comes_around(offset, bulge_to_total):
    """The largest galaxies of the prior, along the rows; also as a neighbor at the edge of the stamp."""
    largest = {"bulge_radius": 1.5, "disk_radius": 2.5, "bulge_axis_ratio": 0.6, "disk_axis_ratio": 0.25}
    angles = {"bulge_position_angle": 90.0, "disk_position_angle": 90.0}
    truth = galaxy(bulge_to_total=bulge_to_total, x_offset=offset, y_offset=0.0, **largest, **angles)
    whole = draw(truth, npix=464)[0][200:264, 200:264]
    np.testing.assert_allclose(draw(truth, npix=64)[0], whole, atol=1e-3 * whole.max())


@pytest.mark.parametrize(
    ("shape", "center"), [((51, 51), (0.3, -1.2)), ((50, 52), (0.0, 0.0)), ((50, 52), (0.3, -1.2))]
)
def test_a_measured_star_may_lie_anywhere_in_its_image(shape, center):
    place = np.add(center, np.subtract(shape, 1) / 2)
    row, column = (np.indices(np.multiply(shape, 9)) - 4.0) / 9 - place[:, None, None]
    scale = 0.58 / SCALE / (2 * np.sqrt(2 ** (1 / 3) - 1))
    star = binned((1 + (row**2 + column**2) / scale**2) ** -3, 9)  # of any flux; through the pixel, as it is seen
    measured, model = (draw(galaxy(), psf=psf)[0] for psf in (ImagePSF(star, SCALE), CAMERA["psf"]))
    np.testing.assert_allclose(measured, model, atol=1.5e-3 * model.max())


def test_a_point_looks_like_the_psf():
    psf = np.zeros((5, 7))  # upright and not mirrored: no two directions are alike
    psf[2, 3], psf[0, 3], psf[4, 3], psf[2, 0], psf[2, 4] = 4, 1, 1, 1, 3
    psf[1, 3] = psf[3, 2] = psf[3, 4] = 0.5
    psf[0, 3] += 0.25  # the centroid is the pixel of 4
    np.testing.assert_allclose(np.average(np.argwhere(psf + 1), axis=0, weights=psf.ravel()), (2, 3))
    point = galaxy(bulge_to_total=0.0, disk_radius=1e-6, x_offset=0.0, y_offset=0.0)
    expected = np.zeros((15, 15))
    expected[5:10, 4:11] = 100.0 * psf / psf.sum()
    np.testing.assert_allclose(draw(point, npix=15, psf=ImagePSF(psf, SCALE))[0], expected, atol=1e-4 * 100.0)


# --- torch --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PARAMETERS)
def test_gradients_are_those_of_finite_differences(name):
    truth = {key: torch.tensor(value) for key, value in galaxy().items()}
    weights = torch.tensor(np.random.default_rng(0).standard_normal((40, 40)))

    def score(value):
        return (render(truth | {name: value}, **SMALL) * weights).sum()

    value = truth[name].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(score(value), value)
    step = 1e-4 * max(1.0, abs(truth[name].item()))
    difference = (score(truth[name] + step) - score(truth[name] - step)) / (2 * step)
    assert gradient.item() == pytest.approx(difference.item(), rel=1e-3)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
def test_forward_mode_agrees_with_reverse_mode():
    truth = {key: torch.tensor(value) for key, value in galaxy().items()}

    def flux_in_the_middle(radius):
        return render(truth | {"disk_radius": radius}, **SMALL)[:, 18:22, 18:22].sum()

    radius = truth["disk_radius"]
    _cameras._transfer.cache_clear()
    _, forward = torch.func.jvp(flux_in_the_middle, (radius,), (torch.ones_like(radius),))
    backward = torch.func.grad(flux_in_the_middle)(radius)
    np.testing.assert_allclose(forward, backward[0], rtol=1e-10)
    assert flux_in_the_middle(radius).isfinite()  # nothing of the transform stays in a cache


def test_dtypes():
    truth = galaxy()
    assert render(truth, **SMALL).dtype == torch.float32
    tensors = {name: torch.tensor(values) for name, values in truth.items()}
    assert render(tensors, **SMALL).dtype == torch.float64
    single, double = render(truth, **SMALL), render(tensors, **SMALL)
    np.testing.assert_allclose(single, double, atol=5e-6 * double.max().item())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu():
    galaxies = sim_v1_prior().draw(50, random_state=0)
    images = render(galaxies, **CAMERA, device="cuda")
    assert images.device.type == "cuda"
    expected = render(galaxies, **CAMERA).numpy()
    peak = expected.max(axis=(1, 2))[:, None, None]
    np.testing.assert_allclose(images.cpu().numpy() / peak, expected / peak, atol=1e-5)


def test_batches_do_not_show(monkeypatch):
    galaxies = sim_v1_prior().draw(5, random_state=0)
    together = render(galaxies, **SMALL, dtype=torch.float64)
    monkeypatch.setitem(_cameras.BATCH, "cpu", 1)
    np.testing.assert_allclose(render(galaxies, **SMALL, dtype=torch.float64), together, rtol=1e-9, atol=1e-9)


def test_no_galaxies():
    nothing = {name: values[:0] for name, values in galaxy().items()}
    assert render(nothing, **SMALL).shape == (0, 40, 40)


# --- a camera per galaxy -----------------------------------------------------------------------------------


def star(fwhm, pixel_scale, noise=0.0):
    """A measured point-spread function."""
    row, column = np.indices((31, 31)) - 15
    image = np.exp(-(row**2 + column**2) / (2 * (fwhm / pixel_scale / 2.355) ** 2))
    return ImagePSF(image + noise * np.random.default_rng(0).standard_normal((31, 31)), pixel_scale)


N = 12
PSFS = {
    "Moffat": [MoffatPSF(fwhm) for fwhm in np.linspace(0.4, 1.2, N)],
    "Gaussian": [GaussianPSF(fwhm) for fwhm in np.linspace(0.4, 1.2, N)],
    "stars of one detector": [star(fwhm, SCALE, 1e-3) for fwhm in np.linspace(0.4, 1.2, N)],
    "stars of many detectors": [star(0.5, scale, 1e-3) for scale in np.linspace(0.15, 0.2, N)],
    "of all kinds": [MoffatPSF(0.6), GaussianPSF(0.7), star(0.6, SCALE), star(0.6, 0.2)] * (N // 4),
}


@pytest.mark.parametrize("pixel_scale", [SCALE, np.linspace(0.1, 0.3, N)])
@pytest.mark.parametrize("psfs", PSFS.values(), ids=PSFS)
def test_images_are_those_of_each_galaxy_drawn_alone(psfs, pixel_scale, monkeypatch):
    galaxies = sim_v1_prior().draw(N, random_state=2)
    together = render(galaxies, npix=40, pixel_scale=pixel_scale, psf=psfs, dtype=torch.float64)
    monkeypatch.setitem(_cameras.BATCH, "cpu", 2 * 10**4)  # a few galaxies at a time
    in_parts = render(galaxies, npix=40, pixel_scale=pixel_scale, psf=psfs, dtype=torch.float64)
    np.testing.assert_allclose(in_parts, together, rtol=1e-9, atol=1e-9)
    for i, (image, scale) in enumerate(zip(together, np.broadcast_to(pixel_scale, N))):
        one = {name: values[i : i + 1] for name, values in galaxies.items()}
        alone = draw(one, pixel_scale=scale, psf=psfs[i])[0]
        np.testing.assert_allclose(image, alone, atol=1e-5 * alone.max())


def test_a_camera_per_galaxy_agrees_with_galsim():
    pytest.importorskip("galsim")
    galaxies = sim_v1_prior().draw(6, random_state=4)
    scales, psfs = np.linspace(0.12, 0.3, 6), [MoffatPSF(fwhm) for fwhm in (0.5, 0.9, 0.7, 0.5, 1.1, 0.6)]
    for i, image in enumerate(render(galaxies, npix=48, pixel_scale=scales, psf=psfs).numpy()):
        expected = by_galsim(galaxies, i, npix=48, pixel_scale=scales[i], psf=psfs[i])
        assert abs(image - expected).max() < 2e-4 * expected.max()


def test_one_psf_for_all_is_that_psf_for_each():
    galaxies = sim_v1_prior().draw(5, random_state=0)
    one = render(galaxies, **SMALL)
    assert torch.equal(render(galaxies, npix=40, pixel_scale=np.full(5, SCALE), psf=[SMALL["psf"]] * 5), one)
    assert torch.equal(render(galaxies, npix=40, pixel_scale=SCALE, psf=[MoffatPSF(0.58) for _ in range(5)]), one)


def test_equal_point_spread_functions_are_transformed_once(monkeypatch):
    calls = []

    class Counted(MoffatPSF):
        def transform(self, kx, ky):
            calls.append(np.size(kx) * np.size(ky))
            return super().transform(kx, ky)

    monkeypatch.setitem(_cameras.BATCH, "cpu", 1)
    galaxies = sim_v1_prior().draw(6, random_state=0)
    render(galaxies, npix=40, pixel_scale=SCALE, psf=[Counted(0.512), Counted(0.513)] * 3)
    assert sum(size > 2000 for size in calls) == 2


def test_gradients_flow_through_a_batch_of_cameras():
    galaxies = sim_v1_prior().draw(4, random_state=0)
    flux = torch.tensor(galaxies["flux"], requires_grad=True)
    psfs, scales = [MoffatPSF(0.9), MoffatPSF(0.5)] * 2, [0.2, 0.1, 0.2, 0.3]
    images = render(galaxies | {"flux": flux}, npix=40, pixel_scale=scales, psf=psfs)
    images.sum().backward()
    np.testing.assert_allclose(flux.grad, images.detach().sum((1, 2)) / flux.detach(), rtol=1e-9)


def test_no_galaxies_of_no_cameras():
    nothing = {name: values[:0] for name, values in galaxy().items()}
    assert render(nothing, npix=40, pixel_scale=np.ones(0), psf=[]).shape == (0, 40, 40)


@pytest.mark.parametrize(
    ("camera", "message"),
    [
        ({"psf": [MoffatPSF(0.6)] * 2}, "psf has 2 entries; expected a point-spread function, such as MoffatPSF"),
        ({"psf": [0.6]}, "psf has 1 entries; expected a point-spread function"),
        ({"pixel_scale": [0.1, 0.2]}, r"pixel_scale has shape \(2,\); expected a number, or \(1,\), one per galaxy."),
        ({"pixel_scale": 0.0}, "pixel_scale=0.0; expected positive numbers, in arcsec."),
    ],
)
def test_what_is_no_camera(camera, message):
    with pytest.raises(ValueError, match=message):
        draw(galaxy(), **camera)


# --- what cannot be drawn -----------------------------------------------------------------------------------


def test_missing_parameter():
    truth = galaxy()
    del truth["flux"], truth["x_offset"]
    with pytest.raises(
        ValueError, match="parameters lack flux, x_offset; expected flux, bulge_to_total, bulge_radius"
    ):
        render(truth, **SMALL)


def test_shapes_that_disagree():
    with pytest.raises(ValueError, match=r"disk_radius has shape \(2,\); expected \(1,\), one number per galaxy."):
        render(galaxy(disk_radius=[1.0, 2.0]), **SMALL)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bulge_to_total": 1.1}, r"bulge_to_total\[0\]=1.1; expected finite, at least 0 and at most 1."),
        ({"disk_radius": 0.0}, r"disk_radius\[0\]=0; expected finite, more than 0 and at most inf."),
        ({"bulge_sersic_index": 7.0}, r"bulge_sersic_index\[0\]=7; expected finite, at least 0.5 and at most 6.2."),
        ({"disk_axis_ratio": 1.5}, r"disk_axis_ratio\[0\]=1.5; expected finite, more than 0 and at most 1."),
        ({"x_offset": np.nan}, r"x_offset\[0\]=nan; expected finite"),
    ],
)
def test_values_outside_their_limits(changes, message):
    with pytest.raises(ValueError, match=message):
        render(galaxy(**changes), **SMALL)


def test_too_sharp_a_point_spread_function():
    with pytest.raises(
        ValueError, match=r"GaussianPSF\(fwhm=0.01\) is too sharp for pixel_scale=0.168; expected a full"
    ):
        draw(galaxy(), psf=GaussianPSF(0.01))


# ---- stars


@pytest.mark.parametrize("npix", [9, 32, 33])
def test_stars_are_integrals_over_pixels(npix):
    """Against quadrature in real space, drawn alone and together with galaxies of an even or odd size."""
    fwhm, beta = 2.2, 3.0
    nodes, weights = np.polynomial.legendre.leggauss(8)
    position = (np.arange(-7, 8)[:, None] + nodes / 2).ravel()
    alpha = fwhm / (2 * np.sqrt(2 ** (1 / beta) - 1))
    light = (beta - 1) / (np.pi * alpha**2) * (1 + (position[:, None] ** 2 + position**2) / alpha**2) ** -beta
    expected = np.einsum("iajb,a,b->ij", light.reshape(15, 8, 15, 8), weights / 2, weights / 2)
    camera = {"pixel_scale": 0.2, "psf": MoffatPSF(0.2 * fwhm, beta)}
    np.testing.assert_allclose(render_stars(npix=15, **camera)[0], expected, atol=3e-4 * expected.max())
    images, stars = render_with_stars(galaxy(), npix=npix, stamp_npix=15, **camera)
    np.testing.assert_allclose(stars[0], expected, atol=3e-4 * expected.max())
    alone = render(galaxy(), npix=npix, **camera)
    np.testing.assert_allclose(images, alone, atol=1e-4 * alone.max().item())


def test_stars_have_a_middle():
    with pytest.raises(ValueError, match="npix=16; expected an odd number"):
        render_stars(npix=16, pixel_scale=0.2, psf=MoffatPSF(0.6))
