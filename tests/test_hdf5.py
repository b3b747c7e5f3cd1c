"""HDF5 files of other programs are sound, whatever they hold beside what is read; no way leads out of the file."""

import h5py
import numpy as np
import pytest

from galestim import Cutouts
from galestim._io.hdf5 import check_hdf5
from galestim.cutouts import ArrayStack
from galestim.posteriors import Posterior

IMAGES = np.ones((3, 8, 8), "f4")


def links(file):
    file["also"] = h5py.SoftLink("/images")
    file["relative"] = h5py.SoftLink("also")
    file["nothing"] = h5py.SoftLink("/not/here")
    file["round"] = h5py.SoftLink("/round")
    file.create_group("below")["root"] = file["/"]


def times(file):
    """Of a type that numpy has not."""
    space = h5py.h5s.create_simple((2,))
    h5py.h5d.create(file.id, b"times", h5py.h5t.UNIX_D32LE, space)
    h5py.h5a.create(file["images"].id, b"when", h5py.h5t.UNIX_D32LE, space)


def scales(file):
    file["x"] = np.arange(8)
    file["x"].make_scale("x")
    file["images"].dims[1].attach_scale(file["x"])
    file["points"] = np.array([file["images"].ref], dtype=h5py.ref_dtype)
    file.attrs["empty"] = h5py.Empty("f4")
    file["type"] = np.dtype("f8")


def many(file):
    for i in range(300):
        file.create_group(f"galaxy {i}").attrs["z"] = 0.1


@pytest.mark.parametrize("fill", [links, times, scales, many])
def test_what_other_programs_write_is_read(fill, tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images"] = IMAGES
        fill(file)
    assert ArrayStack(tmp_path / "a.h5").dtype == np.float32
    if fill is links:
        assert ArrayStack(tmp_path / "a.h5", dataset="relative").dtype == np.float32


@pytest.mark.parametrize("way", ["out/images", "out//images", "/./out/images", "also", "again", "below/again"])
def test_no_way_leads_out_of_the_file(way, tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["images"] = IMAGES
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["out"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/")
        file["also"] = h5py.SoftLink("/out//images")
        file["again"] = h5py.SoftLink("./also")
        file["below/again"] = h5py.SoftLink("/again")
    with pytest.raises(ValueError, match=r"a\.h5 cannot be read: 'out' is a link to elsewhere"):
        check_hdf5(tmp_path / "a.h5", (way,))


@pytest.mark.parametrize("name", ["image", "group", "images/more"])
def test_a_dataset_that_is_none_is_named(name, tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images"] = IMAGES
        file.create_group("group")
    with pytest.raises(ValueError, match=rf"a\.h5 has no dataset '{name}'; it has group, images"):
        assert ArrayStack(tmp_path / "a.h5", dataset=name).dtype


def test_names_of_galaxies_are_not_read_from_elsewhere(tmp_path):
    Posterior.from_draws(np.ones((1, 8, 1)), target_names=["r"]).write(tmp_path / "a.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["names"] = [b"a secret"]
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["object_id"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/names")
    with pytest.raises(ValueError, match=r"a\.h5 cannot be read: 'object_id' is a link to elsewhere"):
        Posterior.read(tmp_path / "a.h5")


def test_cutouts_are_not_read_from_elsewhere(tmp_path):
    Cutouts(IMAGES, noise=0.1).write(tmp_path / "a.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["images"] = IMAGES
    with h5py.File(tmp_path / "a.h5", "a") as file:
        del file["images"]
        file["images"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/images")
    with pytest.raises(ValueError, match=r"a\.h5 cannot be read: .*'images' is a link to elsewhere"):
        Cutouts.read(tmp_path / "a.h5")
