import json
import sys

import h5py
import numpy as np
import pyarrow.parquet
import pytest
from astropy import units as u
from astropy.io import fits

from galestim.posteriors import DrawsPosterior, MixturePosterior, Posterior
from galestim.targets import AsinhTransform, IdentityTransform, LogitTransform, LogTransform

SUFFIXES = [".fits", ".parquet", ".h5"]
NAMES = ["bulge_to_total", "half_light_radius", "flux 'i' ", "λ_R\\"]
UNITS = [None, "arcsec", "nmgy", ""]
TRANSFORMS = [
    LogitTransform(low=np.float32(-0.1), high=1.1234567890123456e-5, margin=0.1 + 0.2),
    LogTransform(),
    AsinhTransform(softening=np.int64(3)),
    IdentityTransform(),
]


def mixture(n=5, m=3, k=4, **options):
    """Numbers without pattern; the third galaxy is a missing cutout."""
    rng = np.random.default_rng(0)
    means = rng.normal(size=(n, m, k))
    means[2:3] = np.nan
    scale_trils = np.tril(rng.normal(size=(n, m, k, k)), -1) + 0.3 * np.eye(k)
    return MixturePosterior(means, scale_trils, rng.uniform(size=(n, m)), **options)


def galaxies(**options):
    return mixture(target_names=NAMES, units=UNITS, transforms=TRANSFORMS, groups=[7, 0, 7], **options)


def bits(array):
    return array.shape, array.dtype, array.tobytes()


def assert_same(posterior, other):
    assert type(posterior) is type(other)
    for name in ("means", "scale_trils", "weights", "groups", "draws"):
        assert hasattr(posterior, name) == hasattr(other, name)
        if hasattr(posterior, name):
            assert bits(getattr(posterior, name)) == bits(getattr(other, name)), name
    assert posterior.target_names == other.target_names
    assert posterior.units == other.units
    mine, others = (getattr(one, "transforms", []) for one in (posterior, other))
    assert [type(transform) for transform in mine] == [type(transform) for transform in others]
    assert [transform.get_params() for transform in mine] == [transform.get_params() for transform in others]


def round_trip(posterior, path):
    posterior.write(path)
    return Posterior.read(path)


@pytest.fixture(params=SUFFIXES)
def path(request, tmp_path):
    return tmp_path / f"night=1 posterior{request.param}"


# ---- what comes back


def test_mixture_comes_back_to_the_bit(path):
    posterior = galaxies()
    assert np.isnan(posterior.means[2]).all()
    assert_same(round_trip(posterior, path), posterior)


def test_draws_come_back_to_the_bit(path):
    weights = np.random.default_rng(1).uniform(size=(5, 40))
    draws = galaxies().sample(40, random_state=0)
    draws[0, 3, 1] = np.nan  # as the magnitude of a negative flux
    draws[1, 0, :2] = -0.0, np.inf
    posterior = Posterior.from_draws(draws, weights, target_names=NAMES, units=UNITS)
    assert_same(round_trip(posterior, path), posterior)


def test_what_follows_from_a_posterior_is_the_same_after_reading(path):
    posterior = mixture(transforms=["log", "logit", "identity", "asinh"], units=["arcsec", None, None, "mag(AB)"])
    read = round_trip(posterior, path)
    np.testing.assert_array_equal(read.sample(20, random_state=0), posterior.sample(20, random_state=0))
    np.testing.assert_array_equal(read.epistemic_covariance(), posterior.epistemic_covariance())
    assert_same(round_trip(read[1:], path.with_stem("some")), posterior[1:])
    assert repr(read) == repr(posterior)


@pytest.mark.parametrize("suffix", [".HDF5", ".hdf5", ".FITS"])
def test_a_format_has_names(suffix, tmp_path):
    assert_same(round_trip(galaxies(), tmp_path / f"posterior{suffix}"), galaxies())


@pytest.mark.parametrize("shape", [(1, 1, 1), (4, 1, 1), (4, 3, 1), (4, 1, 2), (0, 3, 2), (0, 1, 1)])
def test_shapes_at_their_smallest(path, shape):
    posterior = mixture(*shape)
    assert_same(round_trip(posterior, path), posterior)
    draws = DrawsPosterior(posterior.means)
    assert_same(round_trip(draws, path.with_stem("draws")), draws)


def test_long_names_and_many_targets(path):
    names = ["a name that goes on " * 7, *(f"y{j}" for j in range(98))]
    posterior = DrawsPosterior(np.zeros((2, 3, 99)), target_names=names)
    assert_same(round_trip(posterior, path), posterior)


def test_row_groups(tmp_path, monkeypatch):
    monkeypatch.setattr("galestim.posteriors._io._ROW_GROUP", 130)  # 2 galaxies of 63 numbers
    posterior = galaxies()
    assert_same(round_trip(posterior, tmp_path / "posterior.parquet"), posterior)
    assert pyarrow.parquet.ParquetFile(tmp_path / "posterior.parquet").num_row_groups == 3


def test_arrays_read_can_be_changed(path):
    read = round_trip(galaxies(), path)
    read.means[0] = 0.0
    assert read.means.flags.c_contiguous
    assert read.means.dtype.isnative


# ---- what others see


@pytest.fixture
def radius():
    return mixture(
        4, 3, 2, target_names=["half_light_radius", "λ_R"], units=["arcsec", None], transforms=["log", None]
    )


def assert_told(columns, posterior):
    """The latent mean follows from the columns alone."""
    mean = (np.asarray(columns["weights"])[..., None] * np.asarray(columns["means"])).sum(axis=1)
    np.testing.assert_allclose(mean, posterior.latent_mean())


def test_fits_without_galestim(radius, tmp_path):
    radius.write(tmp_path / "posterior.fits")
    with fits.open(tmp_path / "posterior.fits") as hdus:
        header = hdus["POSTERIOR"].header
        assert_told(hdus["POSTERIOR"].data, radius)
        assert hdus["POSTERIOR"].data["scale_trils"].shape == (4, 3, 2, 2)
        assert hdus["COMPONENTS"].data["groups"].tolist() == [0, 1, 2]
    assert header["POSTFORM"] == "mixture"
    assert [header[f"{card}1"] for card in ("TARGET", "UNIT", "TRANSF")] == ["half_light_radius", "arcsec", "log"]
    assert [header["TARGET2"], header["TRANSF2"], header.get("UNIT2")] == [r"\u03bb_R", "identity", None]


def test_parquet_without_galestim(radius, tmp_path):
    radius.write(tmp_path / "posterior.parquet")
    table = pyarrow.parquet.read_table(tmp_path / "posterior.parquet")
    assert table.num_rows == 4
    assert_told(table.to_pydict(), radius)
    about = json.loads(table.schema.metadata[b"galestim"])
    assert about["targets"] == [
        {"name": "half_light_radius", "unit": "arcsec", "transform": "log", "parameters": {}},
        {"name": "λ_R", "transform": "identity", "parameters": {}},
    ]
    assert [about["form"], about["groups"]] == ["mixture", [0, 1, 2]]


def test_hdf5_without_galestim(radius, tmp_path):
    radius.write(tmp_path / "posterior.h5")
    with h5py.File(tmp_path / "posterior.h5") as file:
        assert_told(file, radius)
        assert file["groups"][()].tolist() == [0, 1, 2]
        assert file.attrs["form"] == "mixture"
        assert json.loads(file.attrs["targets"])[0]["unit"] == "arcsec"


def test_columns_that_others_add_are_left_alone(radius, tmp_path):
    path = tmp_path / "posterior.fits"
    radius.write(path)
    with fits.open(path) as hdus:
        columns = hdus["POSTERIOR"].columns + fits.ColDefs([fits.Column("object_id", "20A", array=["M31"] * 4)])
        table = fits.BinTableHDU.from_columns(columns, header=hdus["POSTERIOR"].header, name="POSTERIOR")
        fits.HDUList([fits.PrimaryHDU(), table, hdus["COMPONENTS"]]).writeto(path.with_stem("other"))
    assert_same(Posterior.read(path.with_stem("other")), radius)


# ---- writing


def test_suffix_is_the_format(tmp_path):
    for call in (mixture().write, Posterior.read):
        with pytest.raises(ValueError, match=r"csv has the suffix '\.csv'; expected one of \.fits, \.parquet, \.h5"):
            call(tmp_path / "posterior.csv")


def test_existing_files_are_kept(path):
    first, second = galaxies(), mixture(2)
    first.write(str(path))
    with pytest.raises(FileExistsError, match="exists; pass overwrite=True to replace it"):
        second.write(path)
    assert_same(Posterior.read(str(path)), first)
    second.write(path, overwrite=True)
    assert_same(Posterior.read(path), second)
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_loses_nothing(tmp_path):
    path = tmp_path / "posterior.fits"
    galaxies().write(path)
    with pytest.raises(ValueError, match=r"100 targets; FITS headers have room for 99\. Write \.h5 instead"):
        mixture(1, 1, 100).write(path, overwrite=True)
    assert_same(Posterior.read(path), galaxies())
    assert list(tmp_path.iterdir()) == [path]


def test_folder_must_exist(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere is not a folder; make it first"):
        mixture().write(tmp_path / "nowhere" / "posterior.fits")


class Squared(LogTransform):
    """A transform of a user's own."""


def test_own_transforms_are_written_as_draws(path):
    posterior = mixture(3, 2, 1, target_names=["flux"], units=["nmgy"], transforms=Squared())
    with pytest.raises(TypeError, match=r"flux: a file cannot tell the transform Squared\(\).*; write draws instead"):
        posterior.write(path)
    draws = Posterior.from_draws(
        posterior.sample(50, random_state=0), target_names=posterior.target_names, units=posterior.units
    )
    assert_same(round_trip(draws, path), draws)


def test_units_must_have_a_name_that_astropy_knows(path):
    counts = u.def_unit("adu_of_mine")
    posterior = mixture(2, 1, 1, target_names=["flux"], units=[counts])
    with pytest.raises(ValueError, match=r"flux: astropy does not know the unit 'adu_of_mine' .*enabled_units"):
        posterior.write(path)
    with u.add_enabled_units([counts]):
        assert_same(round_trip(posterior, path), posterior)
    with pytest.raises(ValueError, match="holds no posterior that this galestim can read: flux: unit 'adu_of_mine'"):
        Posterior.read(path)


# ---- reading


def test_missing_file(path):
    with pytest.raises(FileNotFoundError, match=r"is not a file; expected one that `Posterior.write` wrote"):
        Posterior.read(path)


def test_truncated_files(path):
    galaxies().write(path)
    whole = path.read_bytes()
    step = 2880 if path.suffix == ".h5" else 720  # FITS has blocks of 2880; HDF5 is looked through in other processes
    for end in [0, 1, 100, len(whole) - 1, *range(720, len(whole), step)]:
        path.write_bytes(whole[:end])
        with pytest.raises(ValueError, match=r"cannot be read: .*Expected a complete|was not written by"):
            Posterior.read(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_files_of_others(suffix, tmp_path):
    path = tmp_path / f"other{suffix}"
    if suffix == ".fits":
        fits.PrimaryHDU(np.zeros((4, 4))).writeto(path)
    elif suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.table({"means": [1.0]}), path)
    else:
        with h5py.File(path, "w") as file:
            file["means"] = [1.0]
    with pytest.raises(ValueError, match=r"was not written by `Posterior.write`.*`Posterior.from_draws`"):
        Posterior.read(path)
    path.write_text("ra,dec\n1,2\n" * 100)
    with pytest.raises(ValueError, match=r"cannot be read: .*Expected a complete (FITS|Parquet|HDF5) file"):
        Posterior.read(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "its layout has version 2, expected 1; install a newer galestim"),
        ({"form": "flow"}, "its form is 'flow', expected one of 'mixture', 'draws'"),
        ({"form": "draws"}, "it has no column 'draws'"),
        (
            {"targets": '[{"name": "y", "transform": "os.system", "parameters": {"command": "ls"}}]'},
            "expected one of id",
        ),
        ({"targets": '[{"name": "y", "transform": "log", "parameters": {"command": "ls"}}]'}, "takes no arguments"),
        ({"targets": "[]"}, "target_names"),
    ],
)
def test_contents_are_checked(change, message, tmp_path):
    path = tmp_path / "posterior.h5"
    mixture(2, 2, 1).write(path)
    with h5py.File(path, "r+") as file:
        file.attrs.update(change)
    with pytest.raises(ValueError, match=f"holds no posterior that this galestim can read: .*{message}"):
        Posterior.read(path)


@pytest.mark.parametrize(("suffix", "package"), [(".parquet", "pyarrow.parquet"), (".h5", "h5py")])
def test_missing_packages(suffix, package, tmp_path, monkeypatch):
    path = tmp_path / f"posterior{suffix}"
    mixture().write(path)
    monkeypatch.setitem(sys.modules, package, None)
    for call in (lambda: Posterior.read(path), lambda: mixture().write(path, overwrite=True)):
        with pytest.raises(ImportError, match=r"needs (pyarrow|h5py), .*run: pip install 'galestim\[export\]'"):
            call()


# ---- ids


@pytest.mark.parametrize("suffix", [".fits", ".parquet", ".h5"])
@pytest.mark.parametrize("ids", [["a", "b", "c", "d"], ["", " padded ", "λ_R", "1237648720693755918"], [""] * 4])
def test_ids_are_kept(tmp_path, galaxies, draws, ids, suffix):
    for form in (galaxies, draws):
        form.ids = ids
        form.write(tmp_path / f"ids{suffix}", overwrite=True)
        assert Posterior.read(tmp_path / f"ids{suffix}").ids.tolist() == ids
        form[:0].write(tmp_path / f"none{suffix}", overwrite=True)
        assert Posterior.read(tmp_path / f"none{suffix}").ids.tolist() == []
        form.ids = None
        form.write(tmp_path / f"ids{suffix}", overwrite=True)
        assert Posterior.read(tmp_path / f"ids{suffix}").ids is None
