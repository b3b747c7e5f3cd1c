import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import check_estimator

from galestim.trust import NoveltyDetector


def galaxies(n, seed=0, side=40, noise=1.0):
    """Elongated galaxies of any size and brightness, up to a pixel off the center."""
    rng = np.random.default_rng(seed)
    flux, size, ratio, angle = rng.uniform([20, 1, 0.4, 0], [200, 2.5, 1, np.pi], size=(n, 4)).T[:, :, None, None]
    dy, dx = rng.uniform(-1, 1, size=(2, n, 1, 1))
    y, x = np.indices((side, side))[:, None] - (side - 1) / 2
    u = np.cos(angle) * (x - dx) + np.sin(angle) * (y - dy)
    v = np.cos(angle) * (y - dy) - np.sin(angle) * (x - dx)
    light = flux * np.exp(-np.sqrt(1 + (u / size) ** 2 + (v / (ratio * size)) ** 2))
    return (light + noise * rng.normal(size=light.shape)).astype(np.float32)


@pytest.fixture(scope="module")
def detector():
    return NoveltyDetector(random_state=0).fit(galaxies(500))


def share_flagged(detector, images):
    return float((detector.predict(images) == -1).mean())


def test_galaxies_like_the_reference_are_flagged_as_often_as_asked(detector):
    assert share_flagged(detector, galaxies(1000, seed=1)) < 0.03
    often = clone(detector).set_params(false_alarm_rate=0.2).fit(galaxies(500))
    assert share_flagged(often, galaxies(1000, seed=1)) == pytest.approx(0.2, abs=0.06)


def test_a_neighbor_is_seen_wherever_it_is(detector):
    images = galaxies(200, seed=1)
    for shift in [(0, 9), (-14, 0), (10, -10), (15, 17)]:
        neighbor = galaxies(200, seed=2, noise=0.0)
        rolled = np.roll(neighbor, shift, axis=(1, 2))
        assert share_flagged(detector, images + rolled) > 0.97


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda X: np.where(np.indices(X.shape[1:])[1] < 20, X, 0), id="half is missing"),
        pytest.param(lambda X: np.roll(X, 7, axis=1), id="off the center"),
        pytest.param(lambda X: X + 2 * np.random.default_rng(3).normal(size=X.shape), id="more noise"),
        pytest.param(lambda X: X + 4.0, id="sky not taken off"),
        pytest.param(lambda X: X + 60 * (np.indices(X.shape[1:]).sum(axis=0) == 20), id="satellite trail"),
    ],
)
def test_spoiled_images_are_seen(detector, spoil):
    assert share_flagged(detector, spoil(galaxies(100, seed=1)).astype(np.float32)) > 0.9


def test_flips_and_quarter_turns_change_nothing(detector):
    images = galaxies(20, seed=1)
    images[:10] += np.roll(galaxies(10, seed=2), 9, axis=1)
    scores = detector.score_samples(images)
    for same in (images[:, ::-1], images[:, :, ::-1], np.rot90(images, axes=(1, 2)), images.transpose(0, 2, 1)):
        np.testing.assert_allclose(detector.score_samples(same), scores, rtol=1e-3, atol=1e-4)


def test_every_channel_counts():
    images = np.stack([galaxies(300), galaxies(300)], axis=3)
    detector = NoveltyDetector(random_state=0).fit(images[:200])
    images[200:, :, :, 1] += np.roll(galaxies(100, seed=2), 9, axis=1)
    assert share_flagged(detector, images[200:]) > 0.97


def test_missing_cutouts(detector):
    images = galaxies(4, seed=1)
    images[2] = np.nan
    assert np.isnan(detector.score_samples(images)).tolist() == [False, False, True, False]
    assert detector.predict(images)[2] == -1
    with_missing = np.concatenate([galaxies(100), np.full((5, 40, 40), np.nan, np.float32)])
    again = NoveltyDetector(random_state=0).fit(with_missing)
    assert again.offset_ == NoveltyDetector(random_state=0).fit(galaxies(100)).offset_
    with pytest.raises(ValueError, match="n_samples=1 that are no missing cutouts; expected at least 2 images"):
        NoveltyDetector().fit(images[1:3])


def test_images_without_noise_have_scores():
    images = galaxies(60, noise=0.0)
    assert np.isfinite(NoveltyDetector(random_state=0).fit(images).score_samples(images)).all()


def test_sky_level_of_uint8_images(detector):
    images = np.clip(galaxies(150) / 2 + 30, 0, 255).astype(np.uint8)
    assert share_flagged(NoveltyDetector(random_state=0).fit(images[:100]), images[100:]) < 0.1


def test_check_estimator():
    results = check_estimator(NoveltyDetector(), on_fail=None, on_skip=None)
    assert len(results) >= 45
    assert [r["check_name"] for r in results if r["status"] != "passed"] == []
