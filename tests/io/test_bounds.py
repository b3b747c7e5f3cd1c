"""Files are refused for what they claim before anything is decoded, in little time and memory; sound ones are not."""

import bz2
import gzip
import io
import os
import re
import struct
import time
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table
from PIL import Image

from galestim._io import unpack
from galestim._io.bounds import check_fits, check_parquet, check_scans
from galestim._io.unpack import check_unpacked, unpacked

BIG = 300 * 2**20


@pytest.fixture(autouse=True)
def _soon():
    """Whatever is refused takes no time."""
    start = time.process_time()
    yield
    assert time.process_time() - start < 10


def header(**cards):
    lines = [f"{key.replace('_', '-'):<8}= {value:>20}".ljust(80) for key, value in cards.items()]
    text = "".join([*lines, "END".ljust(80)])
    return text.ljust(-(-len(text) // 2880) * 2880).encode()


def primary(**cards):
    return header(**{"SIMPLE": "T", "BITPIX": 8, "NAXIS": 0, **cards})


def table(**cards):
    usual = {"XTENSION": "'BINTABLE'", "BITPIX": 8, "NAXIS": 2, "NAXIS1": 8, "NAXIS2": 1, "PCOUNT": 0, "GCOUNT": 1}
    return primary() + header(**{**usual, "TFIELDS": 1, "TFORM1": "'D'", **cards})


def written(*hdus):
    body = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(body)
    return body.getvalue()


def zeros(n, wbits=31):
    """The gzip of n zeros."""
    packer = zlib.compressobj(9, wbits=wbits)
    return b"".join(packer.compress(bytes(2**20)) for _ in range(n // 2**20)) + packer.flush()


def with_tiles(content, **options):
    """A compressed image, all of whose tiles are `content`."""
    whole = written(fits.CompImageHDU(np.ones((64, 64), "f4"), quantize_level=0, **options))
    with fits.open(io.BytesIO(whole), disable_image_compression=True) as hdus:
        place, head = hdus[1].fileinfo(), hdus[1].header.copy()
    width, n = head["NAXIS1"], head["NAXIS2"]
    rows = bytearray(whole[place["datLoc"] : place["datLoc"] + width * n])
    for row in range(n):
        rows[row * width : row * width + 8] = struct.pack(">ii", len(content), 0)
    head["PCOUNT"] = len(content)
    out = whole[: place["hdrLoc"]] + head.tostring().encode() + bytes(rows) + content
    return out + bytes(-len(out) % 2880)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (primary(NAXIS=10**9), "NAXIS is 1000000000; expected 0 to 999"),
        (primary(NAXIS=-1), "NAXIS is -1"),
        (primary(NAXIS="'2'"), "NAXIS is \"'2'\"; expected a whole number"),
        (primary(NAXIS="1E3"), "NAXIS is '1E3'; expected a whole number"),
        (primary(NAXIS=2, NAXIS1=64), "NAXIS2 is None"),
        (primary(NAXIS=2, NAXIS1=2**31, NAXIS2=2**31) + bytes(2880), "its data are cut off: .* are missing"),
        (primary(NAXIS=1, NAXIS1=64, PCOUNT=-64) + bytes(2880), "PCOUNT is -64"),
        (primary(BITPIX=2**31), "BITPIX is 2147483648"),
        (primary()[:2000], "the header is cut off"),
        (primary().replace(b"END     ", b"END   1 "), "END is followed by '1'"),
        (primary()[:240] + b" " * 4_000_000, "the header has no END within 36000 cards"),
        (primary()[:240] + b"HISTORY x".ljust(80) * 40_000 + primary()[240:], "no END within 36000 cards"),
        (primary() + header(XTENSION="'IMAGE   '", BITPIX=8, NAXIS=1000), "in extension 1, NAXIS is 1000"),
        (primary() + b"<html>" * 1000, "begins neither with XTENSION nor with blanks"),
        (primary() + bytes(40_000), "begins neither with XTENSION nor with blanks"),
        (table(TFIELDS=10**7) + bytes(2880), "TFIELDS is 10000000"),
        (table(TFORM1="'99999999D'") + bytes(2880), "its columns take 799999992 bytes, and its rows 8"),
        (table(TFORM1="'1PD'", PCOUNT=64) + struct.pack(">ii", 9, 0).ljust(2880, b"\0"), "lie outside of the file"),
        (table(TFORM1="'1PD'", PCOUNT=64) + struct.pack(">ii", -1, 0).ljust(2880, b"\0"), "a negative or huge place"),
        (with_tiles(zeros(2**28)), "a compressed tile of 64 pixels takes more bytes than they do"),
        (with_tiles(zeros(BIG), tile_shape=(64, 64)), "takes more bytes|unpacks to more than its 4096 pixels"),
        (b"<html>", "it does not begin with SIMPLE"),
        (b"", "it does not begin with SIMPLE"),
    ],
)
def test_claims_that_cannot_be(content, said, tmp_path):
    file = tmp_path / "a.fits"
    file.write_bytes(content)
    for source, name in ((file, str(file)), (content, "the reply")):
        with pytest.raises(ValueError, match=rf"^{re.escape(name)}.* cannot be read: .*(?:{said})"):
            check_fits(source, None if source is file else name)
    with pytest.raises(ValueError, match=said):
        check_fits(gzip.compress(content))


@pytest.mark.parametrize(
    "content",
    [
        primary(A_ORDER="2.0", B_ORDER="3."),
        primary(WCSAXES="2.", BP_ORDER=0),
        primary() + b"\n",
        primary() + b"\r\n",
        primary() + bytes(2880) + b"\n",
    ],
)
def test_what_some_programs_write_is_sound(content):
    check_fits(content)


def test_many_rows_of_one_piece_of_the_file_are_too_much():
    n = 300_000
    rows = np.tile(np.array([2000, 0], ">i4"), n).tobytes()
    body = table(TFORM1="'1PD'", NAXIS2=n, PCOUNT=16000) + rows + bytes(16000)
    with pytest.raises(ValueError, match="unpacks from 16000 bytes to 4800000000 or more"):
        check_fits(body + bytes(-len(body) % 2880), "a.fits")


def test_a_compressed_image_beyond_its_file_is_too_much():
    whole = written(fits.CompImageHDU(np.ones((64, 64), "i2"), compression_type="RICE_1", tile_shape=(64, 64)))
    for side in (40_000, 2**31 - 1):
        sides = f"ZNAXIS2 = {side:>20}".encode()
        forged = re.sub(rb"ZNAXIS2 = +64", sides, whole).replace(
            b"ZTILE2  =                   64", sides.replace(b"ZNAXIS2", b"ZTILE2 ")
        )
        with pytest.raises(ValueError, match=r"unpacks from|has 1 rows"):
            check_fits(forged.replace(b"ZNAXIS1 =                   64", b"ZNAXIS1 =                40000"))


SOUND = {
    "image": fits.ImageHDU(np.zeros((5, 7), ">i2")),
    "cube": fits.ImageHDU(np.zeros((2, 3, 4, 5), "f8")),
    "empty": fits.ImageHDU(),
    "groups of rows": fits.BinTableHDU(Table({"a": [1, 2], "b": ["x", "yy"], "c": np.zeros((2, 3, 4))})),
    "bits": fits.BinTableHDU.from_columns([fits.Column("b", "11X", array=np.zeros((3, 11), bool))]),
    "variable": fits.BinTableHDU.from_columns(
        [fits.Column("v", "QD()", array=np.array([np.arange(3.0), np.arange(9.0)], object))]
    ),
    "text": fits.TableHDU.from_columns([fits.Column("t", "F8.3", array=[1.5, 2.5])]),
    **{
        kind: fits.CompImageHDU(
            np.arange(9000, dtype="i4").reshape(100, 90), compression_type=kind, tile_shape=(10, 30)
        )
        for kind in ("GZIP_1", "GZIP_2", "RICE_1", "PLIO_1", "HCOMPRESS_1", "NOCOMPRESS")
    },
    "quantized": fits.CompImageHDU(np.random.default_rng(0).normal(size=(64, 64))),
    "all alike": fits.CompImageHDU(np.zeros((2000, 2000), "i2"), compression_type="GZIP_1", tile_shape=(2000, 2000)),
}


@pytest.mark.parametrize("kind", SOUND)
@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress])
def test_sound_files_pass(kind, pack):
    content = written(SOUND[kind], fits.ImageHDU(np.zeros(3)))
    check_fits(pack(content))
    with pytest.raises(ValueError, match=r"cut off|cannot be read"):
        check_fits(pack(content)[:-2900] if pack is bytes else pack(content)[:-9], "a.fits")


def test_what_is_no_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.fits")
    for path in (tmp_path / "pipe.fits", tmp_path, "/dev/zero", tmp_path / "none"):
        with pytest.raises(FileNotFoundError, match=f"{path} is not a file"):
            check_fits(path)


@pytest.fixture
def _little(monkeypatch):
    """A MiB, where it is else 256."""
    monkeypatch.setattr(unpack, "UNPACKED_BYTES", 2**20)


@pytest.mark.usefixtures("_little")
def test_a_file_that_unpacks_to_too_much():
    packer = zlib.compressobj(9, wbits=31)
    bomb = packer.compress(primary(NAXIS=1, NAXIS1=10**12)) + packer.compress(bytes(2**24)) + packer.flush()
    with pytest.raises(ValueError, match=r"^a\.fits unpacks from [0-9]+ bytes to [0-9]+ or more; expected at most"):
        check_fits(bomb, "a.fits")
    with unpacked(bomb, "a") as stream, pytest.raises(ValueError, match="unpacks from"):
        stream.read()
    check_unpacked(2**20, 1, "a")
    check_unpacked(10**12, 10**10, "a")


@pytest.mark.usefixtures("_little")
def test_footers_of_parquet(tmp_path):
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": pa.array(np.zeros(200_000, "i1"))}), file)  # one value, again and again
    with pytest.raises(ValueError, match=r"a\.parquet unpacks from [0-9]+ bytes to 1600000 or more"):
        check_parquet(file, pq.ParquetFile(file))
    pq.write_table(pa.table({str(i): [i] for i in range(10_001)}), file)
    with pytest.raises(ValueError, match="has 10001 columns; expected at most 10000"):
        check_parquet(file, pq.ParquetFile(file))
    pq.write_table(pa.table({"a": np.random.default_rng(0).normal(size=10**5)}), file)
    check_parquet(file, pq.ParquetFile(file))


def jpeg(size, **options):
    body = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (size, size, 3), dtype="u1")
    Image.fromarray(noise).save(body, "JPEG", **options)
    return body.getvalue()


def test_scans_of_a_jpeg(tmp_path):
    body = jpeg(64, progressive=True)
    scan = body[body.rfind(b"\xff\xda") : -2]
    (tmp_path / "a.jpg").write_bytes(body[:-2] + scan * 200 + body[-2:])
    with pytest.raises(ValueError, match=r"a\.jpg has more than 100 scans of 4096 pixels each; expected about ten"):
        check_scans(tmp_path / "a.jpg", 64 * 64)
    with pytest.raises(ValueError, match="the reply has more than 4 scans of 500000000 pixels each"):
        check_scans(body, 500_000_000, "the reply")
    for sound in (body, jpeg(64), jpeg(512, quality=98)):
        check_scans(sound, 89_000_000)
