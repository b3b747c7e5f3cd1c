import numpy as np
import pytest

from galestim.calibration import sharpness
from galestim.posteriors import MixturePosterior


def test_of_gaussians_it_is_their_mean_standard_deviation(simulate):
    posterior, _, _ = simulate(n=200)
    found, std = sharpness(posterior), posterior.std()
    np.testing.assert_allclose(found.width, std.mean(axis=0), rtol=1e-4)
    half = 1.959964 * std.std(axis=0, ddof=1) / np.sqrt(200)
    np.testing.assert_allclose(found.high - found.width, half, rtol=1e-3)
    np.testing.assert_allclose(found.width - found.low, half, rtol=1e-3)


def test_it_exists_where_a_standard_deviation_does_not():
    draws = np.random.default_rng(0).standard_cauchy(size=(50, 1000, 1))
    # a quantile of 1000 draws is off by 0.16, and this is the mean of a hundred
    assert sharpness(draws).width.item() == pytest.approx(np.tan(0.6827 * np.pi / 2), abs=4 * 0.016)


@pytest.mark.parametrize(("fault", "ratio"), [(None, 1.0), ("too wide", 1.3), ("too narrow", 1 / 1.3), ("biased", 1)])
def test_it_sees_widths_beside_the_limit(simulate, fault, ratio):
    limit = simulate(n=100).posterior.std()
    found = sharpness(simulate(fault, n=100).posterior.sample(2000, 0), limit=limit)
    np.testing.assert_allclose(found.width, ratio, rtol=0.02)
    assert (found.low < ratio + 0.01).all()
    assert (found.high > ratio - 0.01).all()


def test_its_interval_holds_the_mean_of_all_galaxies():
    held = []
    for seed in range(200):
        width = np.random.default_rng(seed).gamma(9.0, size=60)
        found = sharpness(MixturePosterior(np.zeros((60, 1, 1)), width[:, None, None, None]))
        held.append(found.low.item() <= 9.0 <= found.high.item())
    assert 0.9 <= np.mean(held) <= 0.99


def test_bad_input_is_told(simulate):
    posterior, _, _ = simulate(n=5)
    for limit, sentence in [
        (np.ones((4, 2)), r"^limit has 4 rows; expected 5, one for each posterior\.$"),
        (np.zeros((5, 2)), r"^limit is 2 columns from 0\.0 on; expected 2, positive\.$"),
    ]:
        with pytest.raises(ValueError, match=sentence):
            sharpness(posterior, limit=limit)
    with pytest.raises(ValueError, match=r"^1 posterior; expected at least 2, for the error of a mean width\.$"):
        sharpness(posterior[0])
