import numpy as np
import pytest

from galestim.simulation import GaussianPSF, ImagePSF, MoffatPSF
from galestim.simulation._psf import PSF

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
