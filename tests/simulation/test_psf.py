import re

import numpy as np
import pytest
import torch

from galestim.simulation import AiryPSF, DoubleMoffatPSF, GaussianPSF, ImagePSF, MoffatPSF, render_stars
from galestim.simulation._psf import PSF, Widened, round_transform

K = np.linspace(-20, 20, 41)  # rad/arcsec


@pytest.mark.parametrize("psf", [MoffatPSF(0.7), MoffatPSF(0.7, 4.765), MoffatPSF(0.7, 1.5), GaussianPSF(0.7)])
def test_transforms_agree_with_galsim(psf):
    galsim = pytest.importorskip("galsim")
    gsparams = galsim.GSParams(kvalue_accuracy=1e-8, maxk_threshold=1e-6, folding_threshold=1e-5)
    theirs = (
        galsim.Gaussian(fwhm=psf.fwhm)
        if isinstance(psf, GaussianPSF)
        else galsim.Moffat(beta=psf.beta, fwhm=psf.fwhm, gsparams=gsparams)
    )
    expected = [[theirs.kValue(x, y).real for x in K] for y in K[::4]]
    np.testing.assert_allclose(psf.transform(K, K[::4]), expected, atol=1e-5)


@pytest.mark.parametrize("position_angle", [0.0, 30.0, 105.0])
@pytest.mark.parametrize("make", [MoffatPSF, GaussianPSF])
def test_ellipses_agree_with_galsim(make, position_angle):
    galsim = pytest.importorskip("galsim")
    gsparams = galsim.GSParams(kvalue_accuracy=1e-8, maxk_threshold=1e-6, folding_threshold=1e-5)
    round_one = (
        galsim.Gaussian(fwhm=0.7) if make is GaussianPSF else galsim.Moffat(beta=3, fwhm=0.7, gsparams=gsparams)
    )
    # From the columns' axis toward the rows', as north is against the rows and east against the columns.
    theirs = round_one.shear(g=0.1, beta=(90 - position_angle) * galsim.degrees)
    expected = [[theirs.kValue(x, y).real for x in K] for y in K[::4]]
    found = make(0.7, ellipticity=0.1, position_angle=position_angle).transform(K, K[::4])
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_moffat_is_its_bessel_function():
    from scipy.special import gamma, kv

    k = np.linspace(1e-3, 60, 500)
    for beta in (1.2, 2.5, 5.0):
        x = 0.7 / (2 * np.sqrt(2 ** (1 / beta) - 1)) * k
        expected = 2 / gamma(beta - 1) * (x / 2) ** (beta - 1) * kv(beta - 1, x)
        np.testing.assert_allclose(
            MoffatPSF(0.7, beta).transform(k, [0.0])[0], expected, atol=2e-5 if beta < 2 else 1e-7
        )


def test_ellipses_say_so_and_circles_do_not():
    assert repr(MoffatPSF(0.7)) == "MoffatPSF(fwhm=0.7, beta=3.0)"
    assert repr(GaussianPSF(0.7, 0.1, 30.0)) == "GaussianPSF(fwhm=0.7, ellipticity=0.1, position_angle=30.0)"


def test_image_of_a_gaussian_is_a_gaussian():
    sigma, scale = 2.0, 0.2  # pixels, arcsec
    row, column = np.indices((40, 41))
    star = 7 * np.exp(-((row - 19.3) ** 2 + (column - 21.8) ** 2) / (2 * sigma**2))
    psf = ImagePSF(star, scale)
    inside = np.linspace(-1, 1, 9) * np.pi / scale
    expected = np.exp(-0.5 * (sigma * scale) ** 2 * (inside[:, None] ** 2 + inside**2))
    np.testing.assert_allclose(psf.transform(inside, inside), expected, atol=1e-7)  # centered where the light is
    assert (psf.transform([1.01 * np.pi / scale], [0.0]) == 0).all()  # nothing beyond what its pixels can hold
    assert psf.includes_pixel
    assert not MoffatPSF(0.7).includes_pixel


def test_image_psf_keeps_a_copy():
    star = np.ones((3, 3))
    psf = ImagePSF(star, 0.2)
    star[:] = np.nan
    assert psf.transform([0.0], [0.0]) == 1


def test_specs_are_psfs_and_can_be_cached():
    for psf in (MoffatPSF(0.7), GaussianPSF(0.7), ImagePSF(np.ones((3, 3)), 0.2)):
        assert isinstance(psf, PSF)
        assert hash(psf) == hash(psf)
    assert MoffatPSF(0.7) == MoffatPSF(0.7)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MoffatPSF(0.0), "fwhm=0.0; expected a positive number, in arcsec."),
        (lambda: GaussianPSF(np.nan), "fwhm=nan; expected a positive number, in arcsec."),
        (lambda: MoffatPSF(0.7, 1.0), "beta=1.0; expected more than 1, as the flux is infinite otherwise."),
        (lambda: GaussianPSF(0.7, 1.0), r"ellipticity=1.0; expected \(a - b\) / \(a \+ b\) of its axes, 0 to 1."),
        (lambda: ImagePSF(np.zeros((5, 5)), 0.2), r"image has shape \(5, 5\) and sum 0; expected an image \(h, w\)"),
        (lambda: ImagePSF(np.ones(5), 0.2), r"image has shape \(5,\) and sum 5; expected an image \(h, w\)"),
        (lambda: ImagePSF(np.ones((5, 5)), -1), "pixel_scale=-1; expected a positive number, in arcsec."),
    ],
)
def test_what_is_no_psf(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_two_moffats_are_their_sum_with_the_width_that_is_said():
    psf = DoubleMoffatPSF(0.7, 3.0, wing_share=0.2, wing_ratio=2.5, wing_beta=2.2)
    star = render_stars(npix=201, pixel_scale=0.01, psf=psf, dtype=torch.float64)[0, 100].numpy()
    assert 2 * np.interp(-0.5, -star[100:] / star[100], 0.01 * np.arange(101)) == pytest.approx(0.7, rel=1e-3)
    core = (psf.transform(K, [0.0]) - 0.2 * MoffatPSF(0.7, 2.2).transform(K * 2.5 * 0.95, [0.0])) / 0.8
    assert np.argmin([abs(core - MoffatPSF(f * 0.7, 3.0).transform(K, [0.0])).max() for f in (0.8, 0.95, 1.1)]) == 1
    plain = DoubleMoffatPSF(0.7, 3.0, wing_share=0.0)
    np.testing.assert_allclose(plain.transform(K, K), MoffatPSF(0.7, 3.0).transform(K, K), atol=1e-12)
    assert repr(plain) == "DoubleMoffatPSF(fwhm=0.7, beta=3.0, wing_share=0.0, wing_ratio=2.5, wing_beta=2.5)"


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"beta": 1.0}, "beta=1.0 and wing_beta=2.5; expected more than 1"),
        ({"wing_share": 1.0}, "wing_share=1.0 and wing_ratio=2.5; expected a share from 0 to below 1"),
        ({"fwhm": 0.0}, "fwhm=0.0; expected a positive number"),
    ],
)
def test_what_are_no_two_moffats(entries, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        DoubleMoffatPSF(**{"fwhm": 0.7, **entries})


@pytest.mark.parametrize("fwhm", [2.0, 3.3, 6.0])
def test_width_of_the_image_of_a_star(fwhm):
    row, column = np.indices((41, 41)) - 20.3
    star = np.exp(-4 * np.log(2) * (row**2 + column**2) / fwhm**2)
    assert ImagePSF(star, 0.2).fwhm == pytest.approx(0.2 * fwhm, rel=0.03)
    assert Widened(ImagePSF(star, 0.2), 1.5).fwhm == pytest.approx(0.3 * fwhm, rel=0.03)


def test_circularized_transforms():
    k = np.linspace(0, 15, 30)
    flat = MoffatPSF(0.7, 3.0, ellipticity=0.2, position_angle=20.0)
    np.testing.assert_allclose(round_transform(flat, k), MoffatPSF(0.7, 3.0).transform(k, [0.0])[0])
    np.testing.assert_allclose(round_transform(Widened(flat, 1.1), k), round_transform(flat, 1.1 * k))
    row, column = np.indices((41, 41)) - 20
    star = np.exp(-0.5 * (row**2 / 2.2**2 + column**2 / 1.8**2))
    expected = np.exp(-0.5 * (2.0 * 0.1 * k) ** 2)
    np.testing.assert_allclose(round_transform(ImagePSF(star, 0.1), k), expected, atol=0.02)


@pytest.mark.parametrize("obscuration", [0.0, 0.33, 0.6])
def test_airys_pattern_is_that_of_galsim(obscuration):
    galsim = pytest.importorskip("galsim")
    theirs = galsim.Airy(lam_over_diam=0.1, obscuration=obscuration)
    radius = np.linspace(0.04, 0.055, 50)
    light = np.array([theirs.xValue(r, 0) for r in radius]) / theirs.xValue(0, 0)
    psf = AiryPSF(2 * np.interp(-0.5, -light, radius), obscuration)
    k = np.linspace(0, 70, 40)  # it ends at 2π / 0.1
    np.testing.assert_allclose(psf.transform(k, [0.0])[0], [theirs.kValue(x, 0).real for x in k], atol=1e-4)
    assert abs(psf.transform(k[k > 63], [0.0])).max() < 1e-8
    star = render_stars(npix=33, pixel_scale=0.03, psf=psf, dtype=torch.float64)[0].numpy()
    expected = theirs.drawImage(nx=33, ny=33, scale=0.03, dtype=float).array
    assert abs(star - expected).max() < 5e-4 * expected.max()


def test_ellipses_of_airys_pattern_turn_and_keep_their_area():
    along, across = (AiryPSF(0.1, 0.3, ellipticity=0.1, position_angle=angle) for angle in (0.0, 90.0))
    np.testing.assert_allclose(along.transform(K, [0.0])[0], across.transform([0.0], K)[:, 0])
    assert repr(AiryPSF(0.1, 0.3)) == "AiryPSF(fwhm=0.1, obscuration=0.3)"


def test_a_mirror_that_is_all_hole():
    with pytest.raises(ValueError, match=re.escape("obscuration=1.0; expected a ratio of diameters")):
        AiryPSF(0.1, 1.0)
