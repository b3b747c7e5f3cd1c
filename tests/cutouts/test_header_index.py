import json
import logging
import os
import resource
import subprocess
import sys
import time

import numpy as np
import pytest
from astropy.io import fits

from galestim.cutouts import CutoutRequest, FitsMosaic
from galestim.cutouts import _header_index as header_index
from galestim.cutouts import _tiles as tiles_module

SIDE, N, SCALE = 8, 36, 0.2  # six by six tiles, which overlap by two pixels


def header_of(i, **cards):
    ra, dec = 150 - (i % 6) * (SIDE - 2) * SCALE / 3600, (i // 6) * (SIDE - 2) * SCALE / 3600
    header = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": ra, "CRVAL2": dec})
    header.update({"CRPIX1": 4.5, "CRPIX2": 4.5, "CDELT1": -SCALE / 3600, "CDELT2": SCALE / 3600})
    header.update({"CUNIT1": "deg", "CUNIT2": "deg", "OBSERVER": "Caroline", **cards})
    return header


def write(folder, i, value=None, **cards):
    pixels = np.full((SIDE, SIDE), float(i if value is None else value), np.float32)
    path = folder / f"tile_{i:03d}.fits"
    fits.writeto(path, pixels, header_of(i, **cards), overwrite=True)
    os.utime(path, (1e9, 1e9 + os.stat(path).st_mtime % 1000))  # long ago, and each time another
    return path


def middle_of(i, npix=3):
    header = header_of(i)
    return CutoutRequest(header["CRVAL1"], header["CRVAL2"], SCALE, npix, str(i))


def value_at(mosaic, i):
    return float(mosaic.cutout(middle_of(i)).mean())


def forget():
    """As a process that begins."""
    tiles_module._looks.clear()
    header_index._index.cache_clear()


@pytest.fixture
def reads(monkeypatch):
    """Paths of the files whose headers are read."""
    read, init = [], header_index.FitsImage.__init__
    monkeypatch.setattr(
        header_index.FitsImage,
        "__init__",
        lambda self, path, *args, **options: (read.append(path.name), init(self, path, *args, **options))[1],
    )
    return read


@pytest.fixture
def survey(tmp_path, monkeypatch):
    monkeypatch.setenv("GALESTIM_CACHE", str(tmp_path / "cache"))
    forget()
    folder = tmp_path / "tiles"
    folder.mkdir()
    for i in range(N):
        write(folder, i)
    yield folder
    forget()


def index_file(folder):
    (file,) = (folder.parent / "cache" / "headers").glob("*.json")
    return file


def test_headers_are_read_once_and_give_the_same_cutouts(survey, reads):
    mosaic = FitsMosaic(str(survey / "tile_*.fits"))
    requests = [middle_of(i, npix=7) for i in range(N)]
    expected = np.stack(list(mosaic.cutouts(requests)))
    assert expected[:, 3, 3, 0] == pytest.approx(np.arange(N), abs=1e-3)
    assert len(set(reads)) == N
    reads.clear()
    forget()
    np.testing.assert_array_equal(np.stack(list(mosaic.cutouts(requests))), expected)
    assert set(reads) <= {"tile_000.fits"}  # the first, which tells the number of channels
    text = index_file(survey).read_text()
    assert "Caroline" not in text
    assert len(json.loads(text.partition("\n")[2])) == N


def test_rewritten_added_and_removed_files_are_noticed(survey, reads):
    mosaic = FitsMosaic(str(survey / "tile_*.fits"))
    assert value_at(mosaic, 8) == pytest.approx(8)
    for process in ("the same", "another"):
        reads.clear()
        write(survey, 8, value=100 if process == "the same" else 200)
        if process == "the same":
            tiles_module._looks.clear()  # as after a while
        else:
            forget()
        assert value_at(mosaic, 8) == pytest.approx(100 if process == "the same" else 200)
        assert "tile_008.fits" in reads
        assert set(reads) <= {"tile_000.fits", "tile_008.fits"}
    reads.clear()
    write(survey, N, value=77)
    (survey / "tile_014.fits").unlink()
    forget()
    assert value_at(mosaic, N) == pytest.approx(77)
    with pytest.raises(Exception, match="has no pixel"):
        mosaic.cutout(middle_of(14, npix=1))
    assert set(reads) <= {"tile_000.fits", f"tile_{N:03d}.fits"}
    assert "tile_014" not in index_file(survey).read_text()


def test_a_file_rewritten_since_the_last_look_is_an_error_and_no_wrong_pixels(survey):
    mosaic = FitsMosaic(str(survey / "tile_*.fits"))
    value_at(mosaic, 8)
    ((key, (_, tiles)),) = tiles_module._looks.items()
    tiles_module._looks[key] = time.monotonic() + 60, tiles
    write(survey, 8, value=100)
    with pytest.raises(ValueError, match=r"tile_008.fits' was rewritten while it was read; fetch again"):
        value_at(mosaic, 8)


@pytest.mark.parametrize("damage", ["cut off", "a byte", "not JSON", "no entries"])
def test_a_damaged_index_is_not_trusted_but_rebuilt(survey, reads, damage, caplog):
    mosaic = FitsMosaic(str(survey / "tile_*.fits"))
    value_at(mosaic, 8)
    file = index_file(survey)
    good = file.read_bytes()
    file.write_bytes(
        {
            "cut off": good[:-100],
            "a byte": good.replace(b"150.0", b"151.0", 1),
            "not JSON": f"{header_index._sha256('[')}\n[".encode(),
            "no entries": f"{header_index._sha256('[1]')}\n[1]".encode(),
        }[damage]
    )
    forget()
    reads.clear()
    with caplog.at_level(logging.WARNING):
        assert value_at(mosaic, 8) == pytest.approx(8)
    assert "is damaged, headers are read anew" in caplog.text
    assert len(set(reads)) == N
    assert file.read_bytes() == good


def test_an_index_of_a_stranger_takes_no_memory(survey):
    mosaic = FitsMosaic(str(survey / "tile_*.fits"))
    value_at(mosaic, 8)
    entries = json.loads(index_file(survey).read_text().partition("\n")[2])
    for _, facts in entries.values():
        facts |= {"shape": [10**9, 10**9], "start": 5}
    text = json.dumps(entries)
    index_file(survey).write_text(f"{header_index._sha256(text)}\n{text}")
    forget()
    with pytest.raises((ValueError, TypeError)):
        value_at(mosaic, 8)


def test_a_cache_that_cannot_be_written_costs_time_only(survey, monkeypatch, caplog):
    (survey.parent / "file").write_text("")
    monkeypatch.setenv("GALESTIM_CACHE", str(survey.parent / "file"))
    assert value_at(FitsMosaic(str(survey / "tile_*.fits")), 8) == pytest.approx(8)
    assert caplog.text.count("Headers cannot be kept in") == 1


def test_two_processes_at_once(survey):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_header_index as t;"
        "print(t.value_at(t.FitsMosaic(sys.argv[2]), 8))"
    )
    command = [sys.executable, "-c", code, os.path.dirname(__file__), str(survey / "tile_*.fits")]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [round(float(one.communicate()[0]), 3) for one in both] == [8, 8]
    assert len(json.loads(index_file(survey).read_text().partition("\n")[2])) == N


def test_distortions_in_tables_are_not_taken_from_the_index(survey, reads):
    """A lookup table of distortions is an extension of its own: the header alone would be wrong."""
    path = survey / "tile_008.fits"
    head = header_of(8, CPDIS1="Lookup", CPDIS2="Lookup", CPERR1=2.0, CPERR2=2.0)
    for axis in (1, 2):
        for key, value in {"EXTVER": 1.0, "NAXES": 2.0, "AXIS.1": 1.0, "AXIS.2": 2.0}.items():
            head[f"DP{axis}.{key}"] = value
    lookup = fits.ImageHDU(np.full((4, 4), 1.5, np.float32), name="WCSDVARR", ver=1)
    lookup.header.update(CRPIX1=0.0, CRPIX2=0.0, CRVAL1=0.0, CRVAL2=0.0, CDELT1=3.0, CDELT2=3.0)
    primary = fits.PrimaryHDU(np.full((SIDE, SIDE), 8.0, np.float32), head)
    fits.HDUList([primary, lookup]).writeto(path, overwrite=True)
    os.utime(path, (1e9, 1e9))
    mosaic = FitsMosaic(str(survey / "tile_*.fits"))
    first = value_at(mosaic, 8)
    forget()
    reads.clear()
    assert value_at(mosaic, 8) == first
    assert "tile_008.fits" in reads
    assert set(reads) <= {"tile_000.fits", "tile_008.fits"}


def test_few_files_are_open_at_a_time(survey):
    mosaic = FitsMosaic(str(survey / "tile_*.fits"), weight=str(survey / "tile_*.fits"))
    mosaic.cutout(middle_of(1))  # what is opened once per process
    is_open = {int(name) for name in os.listdir("/proc/self/fd")}
    allowed = [fd for fd in range(10_000) if fd not in is_open][8]
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, before[1]))
    try:
        cutouts = list(mosaic.cutouts([middle_of(i) for i in range(1, N)]))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert [round(float(one.images.mean())) for one in cutouts] == list(range(1, N))


def test_weights_of_many_tiles_are_in_an_index_too(survey, reads):
    mosaic = FitsMosaic(str(survey / "tile_*.fits"), weight=str(survey / "tile_*.fits"))
    cutouts = mosaic.cutout(middle_of(4))
    np.testing.assert_allclose(cutouts.noise, 0.5, rtol=0.2)
    reads.clear()
    forget()
    np.testing.assert_array_equal(mosaic.cutout(middle_of(4)).noise, cutouts.noise)
    assert set(reads) <= {"tile_000.fits"}
