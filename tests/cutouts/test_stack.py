import joblib
import numpy as np
import pytest
from astropy.utils.masked import Masked
from sklearn.base import clone

from galestim.catalogs import Catalog
from galestim.cutouts import ArrayStack, CutoutError, CutoutFetcher, CutoutRequest, MissingCutoutError

NAMES = ["NGC 1", "NGC 2", "007"]


@pytest.fixture(params=["array", "npy", "hdf5"])
def stack(request, tmp_path):
    """Make a stack of the given images, kept in each of the ways."""

    def make(images, **parameters):
        if request.param == "array":
            return ArrayStack(images, **parameters)
        if request.param == "npy":
            np.save(tmp_path / "images.npy", images)
            return ArrayStack(tmp_path / "images.npy", **parameters)
        h5py = pytest.importorskip("h5py")
        with h5py.File(tmp_path / "images.h5", "w") as file:
            file["survey/images"] = images
            file["survey/redshift"] = np.zeros(len(images))
        return ArrayStack(str(tmp_path / "images.h5"), **parameters)

    return make


def noise(*shape, dtype=np.uint8):
    return np.random.default_rng(0).uniform(0, 255, shape).astype(dtype)


def catalog(names):
    return Catalog({"ra": np.arange(len(names)) + 1.0, "dec": np.zeros(len(names)), "object_id": names})


def request(name, npix=8, pixel_scale=0.4):
    return CutoutRequest(10.0, 20.0, pixel_scale, npix, name)


@pytest.mark.parametrize("shape", [(3, 8, 8), (3, 8, 8, 1), (3, 8, 8, 5)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, ">f4", ">i2"])
def test_rows_by_object_id(stack, shape, dtype):
    images = noise(*shape, dtype=dtype)
    source = stack(images, ids=NAMES, pixel_scale=0.4)
    fetched = CutoutFetcher(source, npix=8).transform(catalog(["007", "NGC 1", "007"]))
    assert fetched.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(fetched, images.reshape(3, 8, 8, -1)[[2, 0, 2]])


def test_rows_by_number(stack):
    images = noise(12, 8, 8)
    fetcher = CutoutFetcher(stack(images), npix=8, pixel_scale=0.4)
    np.testing.assert_array_equal(fetcher.transform(catalog([11, 0, 3]))[..., 0], images[[11, 0, 3]])
    fetcher.acquire(catalog([11, 12, -1]))
    assert fetcher.report_["status"].tolist() == ["ok", "missing", "missing"]
    assert fetcher.report_["reason"][1] == "none of the 12 images is named '12'"


def test_rows_of_a_catalog_are_not_taken_for_rows_of_the_stack():
    unnamed = Catalog({"ra": [1.0], "dec": [2.0]})
    with pytest.raises(ValueError, match="ArrayStack looks images up by object_id, but the catalog has the columns"):
        CutoutFetcher(ArrayStack(noise(3, 8, 8)), npix=8, pixel_scale=1).fit(unnamed)


def test_larger_images_are_cropped_about_their_center(stack):
    images = noise(3, 14, 10, 3)
    np.testing.assert_array_equal(stack(images).cutout(request("1", npix=4)), images[1, 5:9, 3:7])


@pytest.mark.parametrize("npix", [7, 10])
def test_what_cannot_be_cropped_is_missing(stack, npix):
    match = f"the image has 8×8 pixels; expected npix={npix} along each side, or an even number more"
    with pytest.raises(MissingCutoutError, match=match):
        stack(noise(3, 8, 8)).cutout(request("1", npix=npix))


def test_another_scale_is_an_error():
    fetcher = CutoutFetcher(ArrayStack(noise(3, 8, 8), pixel_scale=0.4), npix=8, pixel_scale=0.2)
    with pytest.raises(ValueError, match=r"ArrayStack has pixel_scale=0.4 arcsec, but was asked for 0.2; expected"):
        fetcher.transform(catalog([0]))


def test_ids_from_the_hdf5_file(tmp_path):
    h5py = pytest.importorskip("h5py")
    images = noise(3, 8, 8)
    with h5py.File(tmp_path / "images.h5", "w") as file:
        file["g"], file["r"], file["names"] = images, images + 1, NAMES
    source = ArrayStack(tmp_path / "images.h5", dataset="r", ids="names")
    np.testing.assert_array_equal(source.cutout(request("007"))[..., 0], images[2] + 1)
    with pytest.raises(ValueError, match=r"holds 2 datasets of 3 or 4 dimensions \(g, r\); expected one"):
        ArrayStack(tmp_path / "images.h5").cutout(request("1"))


@pytest.mark.parametrize(
    ("images", "ids", "match"),
    [
        (noise(3, 8), None, r"got an array of shape \(3, 8\) and dtype uint8; expected images \(n, H, W\) or"),
        (noise(3, 8, 8).astype(complex), None, "dtype complex128; expected images"),
        (noise(3, 8, 8), ["a", "b"], "has 3 images, but 2 ids; expected one for each"),
        (noise(3, 8, 8), ["a", "b", "a"], "1 ids of ArrayStack occur more than once, such as 'a'; expected unique"),
    ],
)
def test_impossible_stacks(images, ids, match):
    with pytest.raises(ValueError, match=match):
        ArrayStack(images, ids=ids).cutout(request("a"))


def test_images_are_copies(stack):
    images = noise(3, 8, 8)
    source = stack(images)
    source.cutout(request("1"))[:] = 0
    np.testing.assert_array_equal(source.cutout(request("1"))[..., 0], noise(3, 8, 8)[1])


def test_a_clone_shares_the_array(stack):
    source = stack(noise(3, 8, 8))
    assert clone(source).images is source.images


def test_files_are_not_pickled(tmp_path):
    np.save(tmp_path / "images.npy", noise(300, 8, 8))
    source = ArrayStack(tmp_path / "images.npy")
    source.cutout(request("1"))
    joblib.dump(source, tmp_path / "source.joblib")
    assert (tmp_path / "source.joblib").stat().st_size < 2000
    loaded = joblib.load(tmp_path / "source.joblib")
    np.testing.assert_array_equal(loaded.cutout(request("299")), source.cutout(request("299")))


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float64])
@pytest.mark.parametrize("container", [np.ma.array, lambda *args, mask: Masked(args[0], mask=mask)])
def test_masked_pixels_are_nan(dtype, container):
    images, mask = noise(3, 8, 8, dtype=dtype), np.zeros((3, 8, 8), dtype=bool)
    mask[1, 2, 3] = True
    source = ArrayStack(container(images, mask=mask))
    fetched = CutoutFetcher(source, npix=8, pixel_scale=1, min_coverage=0.5).transform(catalog([0, 1, 2]))[..., 0]
    np.testing.assert_array_equal(np.isnan(fetched), mask)
    np.testing.assert_array_equal(fetched[~mask], images[~mask])


def test_rows_that_cannot_be_read_fail_alone(tmp_path):
    h5py = pytest.importorskip("h5py")
    images = np.random.default_rng(0).integers(0, 255, (3, 8, 8), dtype=np.uint8)
    with h5py.File(tmp_path / "images.h5", "w") as file:
        file.create_dataset("images", data=images, chunks=(1, 8, 8), compression="gzip", fletcher32=True)
        place = file["images"].id.get_chunk_info(1).byte_offset
    content = bytearray((tmp_path / "images.h5").read_bytes())
    content[place + 10] ^= 255
    (tmp_path / "images.h5").write_bytes(content)
    answers = list(ArrayStack(tmp_path / "images.h5").cutouts([request(name) for name in "012"]))
    np.testing.assert_array_equal(answers[0][..., 0], images[0])
    assert isinstance(answers[1], CutoutError)
    np.testing.assert_array_equal(answers[2][..., 0], images[2])


# --- what is known of the rows ------------------------------------------------------------------------------


@pytest.fixture(params=["array", "npy", "hdf5"])
def known(request, tmp_path):
    """Make a stack with named planes, kept in each of the ways."""

    def make(images, **planes):
        arrays = {name: np.asarray(plane) for name, plane in planes.items()}
        if request.param == "array":
            return ArrayStack(images, **planes)
        if request.param == "npy":
            for name, plane in {"images": images, **arrays}.items():
                np.save(tmp_path / f"{name}.npy", plane)
            return ArrayStack(tmp_path / "images.npy", **{name: str(tmp_path / f"{name}.npy") for name in planes})
        h5py = pytest.importorskip("h5py")
        with h5py.File(tmp_path / "field.h5", "w") as file:
            for name, plane in {"images": images, **arrays}.items():
                file[f"planes/{name}"] = plane
        of = {name: f"planes/{name}" for name in planes}
        return ArrayStack(tmp_path / "field.h5", dataset="planes/images", **of)

    return make


def test_planes_are_those_of_the_row_and_cropped(known):
    rng = np.random.default_rng(0)
    images, noise = rng.normal(size=(2, 5, 12, 12)).astype(np.float32)
    psf = rng.random((5, 7, 7))
    psf /= psf.sum(axis=(1, 2), keepdims=True)
    source = known(
        images, noise=noise**2, mask=noise > 0, psf=psf, gain=np.arange(5) + 1.0, zero_point=np.full(5, 30.0)
    )
    cutouts = CutoutFetcher(source, npix=8, pixel_scale=0.3).transform(catalog([3, 1]))
    crop = ([3, 1], slice(2, 10), slice(2, 10))
    np.testing.assert_array_equal(cutouts.images[..., 0], images[crop])
    np.testing.assert_array_equal(cutouts.noise[..., 0], noise[crop] ** 2)
    np.testing.assert_array_equal(cutouts.mask[..., 0], noise[crop] > 0)
    np.testing.assert_allclose(cutouts.psf, psf[[3, 1]])
    assert cutouts.gain.tolist() == [4, 2]
    assert (cutouts.pixel_scale, cutouts.zero_point) == (0.3, 30.0)


def test_numbers_and_one_stamp_for_all(known):
    source = known(noise(3, 8, 8, 2, dtype=np.float32), psf=np.full((5, 5), 0.04), noise=[[1.0, 2.0]] * 3)
    cutouts = CutoutFetcher(source, npix=8, pixel_scale=0.3).transform(catalog([0, 1]))
    assert cutouts.noise.tolist() == [[1, 2], [1, 2]]
    assert cutouts.psf.shape == (2, 5, 5)


@pytest.mark.parametrize(
    ("planes", "match"),
    [
        ({"noise": np.ones(2)}, r"noise has shape \(2,\); expected \(3,\) or \(3, 8, 8\) for images \(3, 8, 8\)"),
        ({"psf": np.ones((2, 5, 5))}, r"psf has shape \(2, 5, 5\); expected \(3, 5, 5\)"),
        ({"mask": np.ones((3, 4, 4), bool)}, r"mask has shape \(3, 4, 4\)"),
        ({"mask": np.ones((3, 8, 8), np.uint8)}, "mask has the dtype uint8; expected bool"),
        ({"noise": -np.ones(3)}, "noise is negative"),
        ({"psf": np.full((3, 5, 5), -1.0)}, "psf of row 0 has the sum -25"),
    ],
)
def test_planes_that_cannot_be(known, planes, match):
    with pytest.raises(ValueError, match=match):
        CutoutFetcher(known(noise(3, 8, 8), **planes), npix=8, pixel_scale=1).transform(catalog([0, 1, 2]))


def test_planes_that_are_not_there(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "field.h5", "w") as file:
        file["images"] = noise(3, 8, 8)
    with pytest.raises(ValueError, match="has no dataset 'sigma'; it has images"):
        ArrayStack(tmp_path / "field.h5", noise="sigma").cutout(request("1"))
    with pytest.raises(ValueError, match=r"noise='sigma'; expected an array, an .npy file, or a dataset"):
        ArrayStack(noise(3, 8, 8), noise="sigma").cutout(request("1"))


def test_the_images_need_no_name_beside_named_planes(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "field.h5", "w") as file:
        file["images"], file["sigma"], file["psf"] = noise(3, 8, 8), np.ones((3, 8, 8)), np.full((3, 5, 5), 0.04)
    cutout = ArrayStack(tmp_path / "field.h5", noise="sigma", psf="psf").cutout(request("1"))
    assert cutout.noise.shape == (1, 8, 8, 1)
