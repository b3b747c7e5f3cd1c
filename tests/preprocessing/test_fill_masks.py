"""Bad pixels hold what the good ones let expect, and never what they held."""

import numpy as np
import pytest

from galestim import CNNRegressor, CompactCNN, Cutouts, MaskFiller, make_pipeline


def galaxies(npix, axis_ratio=0.5):
    y, x = np.indices((npix, npix)) - (npix - 1) / 2
    return np.exp(-((x + 0.5 * y) ** 2 + (y / axis_ratio) ** 2) / npix)[None]


@pytest.mark.parametrize("npix", [16, 17])
def test_pixels_of_a_symmetric_galaxy_are_restored(npix):
    images = galaxies(npix)
    mask = np.random.default_rng(0).random(images.shape) < 0.2
    mask &= ~mask[:, ::-1, ::-1]  # one of two opposites
    filled = MaskFiller().transform(Cutouts(np.where(mask, 1e9, images), mask=mask))
    assert mask.sum() > 20
    assert filled.mask is None or not filled.mask.any()
    np.testing.assert_allclose(filled.images, images, rtol=1e-12)


def test_both_opposites_bad_is_the_mean_of_their_ring_and_no_ring_that_of_the_image():
    images = galaxies(15, axis_ratio=1.0)
    y, x = np.indices((15, 15)) - 7
    ring = np.hypot(y, x).astype(int)
    bad = np.zeros((1, 15, 15), dtype=bool)
    bad[0, 7, [4, 10]] = True  # at a distance of 3
    bad[0, 7, 7] = True
    filled = MaskFiller().transform(np.where(bad, np.nan, images))
    assert filled[0, 7, 4] == pytest.approx(images[0][(ring == 3) & ~bad[0]].mean())
    assert filled[0, 7, 7] == pytest.approx(images[0][~bad[0]].mean())
    np.testing.assert_array_equal(filled[~bad], images[~bad])


def test_channels_are_filled_from_themselves_and_missing_cutouts_stay_missing():
    images = np.stack([galaxies(8)[0], 5 + galaxies(8)[0]], axis=-1)[None].repeat(3, axis=0)
    images[0, 2, 3, 1] = np.nan
    images[1] = np.nan
    images[2, :, :, 0] = np.nan
    filled = MaskFiller().transform(images)
    assert filled[0, 2, 3, 1] == images[0, 5, 4, 1]
    assert np.isnan(filled[1]).all()
    assert np.isnan(filled[2, :, :, 0]).all()
    assert not np.isnan(filled[2, :, :, 1]).any()


def test_a_network_without_masks_takes_masked_cutouts_behind_it():
    rng = np.random.default_rng(0)
    images, y = rng.normal(size=(40, 24, 24)).astype(np.float32), rng.random(40)
    mask = rng.random(images.shape) < 0.05
    model = make_pipeline(MaskFiller(), CNNRegressor(CompactCNN(), max_epochs=1, random_state=0))
    model.fit(Cutouts(images, mask=mask), y)
    held = [model.predict(Cutouts(np.where(mask, value, images), mask=mask)) for value in (np.nan, 1e9)]
    np.testing.assert_array_equal(*held)
    with pytest.raises(ValueError, match=r"has some NaN pixels\. Put a MaskFiller in front"):
        model[-1].predict(Cutouts(images, mask=mask))
