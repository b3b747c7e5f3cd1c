import numpy as np
import pytest

from galestim.posteriors import Posterior

IDS = ["a", "b", "c", "d"]
KNOWN = [0, 1, 3]


@pytest.fixture
def qp():
    return pytest.importorskip("qp")


def test_the_latent_mixture_there_and_back(qp, galaxies):
    galaxies.ids = IDS
    flux = galaxies["flux"]
    ensemble = flux.to_qp(latent=True)
    z = np.array([-0.3, 0.1, 0.8])
    theirs = np.where(np.isin(range(4), KNOWN)[:, None], ensemble.cdf(z), np.nan)  # latent is asinh(flux / 1)
    ours = flux.cdf(np.broadcast_to(np.sinh(z)[:, None], (4, 3, 1)))[..., 0]
    np.testing.assert_allclose(theirs, ours, atol=1e-12)
    assert np.isnan(ensemble.pdf(0.0)[2])
    back = Posterior.from_qp(ensemble, "flux", "nJy", "asinh")
    for name in ("means", "scale_trils", "weights"):
        np.testing.assert_allclose(getattr(back, name), getattr(flux, name), atol=1e-14)
    assert (back.target_names, back.units, back.ids.tolist()) == (["flux"], flux.units, IDS)


def test_a_missing_cutout_does_not_hide_the_quantiles_of_others(qp, galaxies):
    alone, together = (
        posterior["flux"].to_qp(latent=True).ppf([0.16, 0.84]) for posterior in (galaxies[KNOWN], galaxies)
    )
    np.testing.assert_allclose(together[KNOWN], alone)


def test_physical_quantiles_are_exact_at_the_probabilities(qp, galaxies, draws):
    probabilities = np.linspace(0.05, 0.95, 19)
    for posterior in (galaxies[KNOWN], draws[KNOWN]):
        radius = posterior["half_light_radius"]
        ensemble = radius.to_qp(quantiles=probabilities)
        np.testing.assert_allclose(ensemble.ppf(probabilities), radius.quantile(probabilities)[..., 0], atol=1e-6)


def test_physical_quantiles_come_back_as_draws(qp, galaxies):
    radius = galaxies[KNOWN]["half_light_radius"]
    back = Posterior.from_qp(radius.to_qp(), "half_light_radius", "arcsec", n_samples=2000)
    np.testing.assert_allclose(back.median(), radius.median(), rtol=1e-3)
    np.testing.assert_allclose(back.std(), radius.std(), rtol=0.02)  # what lies beyond the last quantile is lost
    assert back.units == radius.units


def test_a_mixture_in_physical_units_stays_one(qp, galaxies):
    flux = galaxies["flux"]
    plain = type(flux)(flux.means, flux.scale_trils, flux.weights)
    assert plain.to_qp().metadata["pdf_name"] == [b"mixmod"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # qp leaves FITS files open
@pytest.mark.parametrize("suffix", ["hdf5", "fits", "pq"])
def test_files_of_qp_keep_the_names(qp, galaxies, suffix, tmp_path):
    galaxies.ids = IDS
    flux = galaxies[KNOWN]["flux"]
    flux.to_qp(latent=True).write_to(str(tmp_path / f"flux.{suffix}"))
    back = Posterior.from_qp(qp.read(str(tmp_path / f"flux.{suffix}")), "flux", "nJy", "asinh")
    np.testing.assert_allclose(back.means, flux.means)
    assert back.ids.tolist() == ["a", "b", "d"]


def test_ensembles_of_others(qp):
    ensemble = qp.Ensemble(qp.interp, data={"xvals": np.linspace(0, 2, 401), "yvals": np.ones((3, 401))})
    posterior = Posterior.from_qp(ensemble, "redshift")
    np.testing.assert_allclose(posterior.mean(), 1, atol=1e-3)
    np.testing.assert_allclose(posterior.std(), 1 / np.sqrt(3), atol=1e-3)
    assert posterior.ids is None
    with pytest.raises(ValueError, match="transform='log' of an ensemble of the kind 'interp'; expected None"):
        Posterior.from_qp(ensemble, "redshift", transform="log")


def test_what_has_no_ensemble(qp, galaxies, draws):
    with pytest.raises(
        ValueError, match=r"an ensemble of qp is of one number; choose one: posterior\['bulge_to_total"
    ):
        galaxies.to_qp()
    with pytest.raises(ValueError, match=r"row 2 has quantiles that are NaN or infinite.*Leave out missing cutouts"):
        galaxies["flux"].to_qp()
    with pytest.raises(ValueError, match="row 0 has quantiles that are NaN or infinite"):
        galaxies[KNOWN]["flux"].to_qp(quantiles=[0, 0.5, 1])
    with pytest.raises(TypeError, match="draws have no latent mixture"):
        draws["flux"].to_qp(latent=True)
    with pytest.raises(ValueError, match="quantiles are in physical units and the mixture is latent"):
        galaxies["flux"].to_qp(quantiles=[0.5], latent=True)


@pytest.mark.parametrize("quantiles", [0.5, [0.5], [0.9, 0.1], [0.5, 0.5]])
def test_quantiles_that_do_not_increase(qp, galaxies, quantiles):
    with pytest.raises(ValueError, match="expected increasing probabilities, two or more"):
        galaxies[KNOWN]["flux"].to_qp(quantiles=quantiles)


def test_no_ensemble_and_no_galaxies(qp, galaxies):
    with pytest.raises(TypeError, match=r"got list; expected a qp\.Ensemble"):
        Posterior.from_qp([1.0])
    with pytest.raises(ValueError, match="a posterior of no galaxies; expected one or more"):
        galaxies[:0]["flux"].to_qp()
