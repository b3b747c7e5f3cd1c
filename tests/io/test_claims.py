"""Tables that refer to other files or addresses, or claim more than they hold, are refused before they are read."""

import gzip
import http.server
import io
import threading

import h5py
import numpy as np
import pytest
from astropy.table import Table

from galestim import Catalog
from galestim.cutouts import ArrayStack
from galestim.posteriors import Posterior

COLUMNS = {"object_id": ["a", "b"], "ra": [1.0, 2.0], "dec": [3.0, 4.0]}


@pytest.fixture
def asked():
    """Address of a server on this machine, and what it was asked for."""
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/secret", seen
        server.shutdown()


def votable(
    data, fields='<FIELD name="ra" datatype="double"/><FIELD name="dec" datatype="double"/>', start="", rows=""
):
    return (
        f'<?xml version="1.0"?>{start}<VOTABLE version="1.3" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE>'
        f"<TABLE{rows}>{fields}<DATA>{data}</DATA></TABLE></RESOURCE></VOTABLE>"
    ).encode()


@pytest.mark.parametrize("kind", ["BINARY", "BINARY2", "FITS", "PARQUET"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, lambda data: data.decode().encode("utf-16")])
def test_the_address_of_a_stream_is_not_followed(kind, pack, asked, tmp_path):
    url, seen = asked
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(32))
    for address in (url, f"file://{secret}", f"file:{secret}", "ftp://127.0.0.1:9/x"):
        (tmp_path / "c.vot").write_bytes(pack(votable(f'<{kind}><STREAM href="{address}"/></{kind}>')))
        with pytest.raises(
            ValueError, match=r"c\.vot keeps its data elsewhere, at '.*'; expected a VOTable that holds"
        ):
            Catalog(tmp_path / "c.vot")
        for source in (tmp_path / "c.vot", io.BytesIO(pack(votable(f'<{kind}><STREAM href="{address}"/></{kind}>')))):
            with pytest.raises(ValueError, match="keeps its data elsewhere"):
                Catalog.read(source, format="votable")
    assert seen == []


def test_an_address_by_default_is_none_either(tmp_path):
    start = '<!DOCTYPE VOTABLE [<!ATTLIST STREAM href CDATA "file:///etc/passwd">]>'
    (tmp_path / "c.xml").write_bytes(votable("<BINARY><STREAM/></BINARY>", start=start))
    with pytest.raises(ValueError, match="keeps its data elsewhere, at 'file:///etc/passwd'"):
        Catalog(tmp_path / "c.xml")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (votable("<TABLEDATA/>", rows=' nrows="100000000000"'), "unpacks from"),
        (
            votable("<TABLEDATA/>", fields='<FIELD name="ra" datatype="char" arraysize="99999x9999x*"/>'),
            "unpacks from",
        ),
        (b"ra,dec" + b"," * 10**6 + b"\n1,2\n", "has no rows within 262144 bytes"),
        (b"ra,dec" + b"," * 20_000 + b"\n1,2\n", "has 20002 columns; expected at most 10000"),
        (b"# x\n" * 10**5 + b"ra,dec\n1,2\n", "has no rows within 262144 bytes"),
        (gzip.compress(b"ra,dec\n1,2\n", mtime=0), "is compressed; of tables, only FITS and VOTable are read so"),
    ],
)
@pytest.mark.parametrize("suffix", [".csv", ".ecsv", ".dat"])
def test_claims_of_text(content, said, suffix, tmp_path):
    (tmp_path / f"c{suffix}").write_bytes(content)
    with pytest.raises(ValueError, match=rf"c\{suffix} {said}"):
        Catalog(tmp_path / f"c{suffix}")


@pytest.mark.parametrize("name", ["c.csv", "c.ecsv", "c.fits", "c.vot", "c.parquet", "c.h5"])
def test_sound_tables_are_read(name, tmp_path):
    columns = {key: np.array(values, dtype="S1" if key == "object_id" else None) for key, values in COLUMNS.items()}
    how = {"c.vot": {"format": "votable"}, "c.h5": {"path": "t"}, "c.csv": {"format": "ascii.csv"}}
    Table(columns).write(tmp_path / name, **how.get(name, {}))
    assert Catalog(tmp_path / name)["ra"].value.tolist() == [1.0, 2.0]


# --- HDF5 ------------------------------------------------------------------------------------------------------


def external(file, other):
    file.create_dataset("draws", shape=(1, 8, 1), dtype="<f8", external=[(str(other), 0, 64)])


def virtual(file, other):
    layout = h5py.VirtualLayout((1, 8, 1), "f8")
    layout[:] = h5py.VirtualSource(str(other), "draws", (1, 8, 1))
    file.create_virtual_dataset("draws", layout)


def link(file, other):
    file["draws"] = h5py.ExternalLink(str(other), "/draws")


def soft(file, other):
    file["out"] = h5py.ExternalLink(str(other), "/")
    file["draws"] = h5py.SoftLink("/out/draws")


def unwritten(file, other):
    file.create_dataset("draws", (10**9, 8, 1), "f8", chunks=(10**4, 8, 1), fillvalue=1.0)


def bomb(file, other):
    data = file.create_dataset("draws", (1, 8, 1), "f8", chunks=(1, 8, 1), compression="gzip")
    data.id.write_direct_chunk((0, 0, 0), gzip.compress(bytes(10**8))[10:-8])


@pytest.mark.parametrize("make", [external, virtual, link, soft, unwritten, bomb])
def test_hdf5_that_leads_elsewhere_or_claims_too_much(make, tmp_path):
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["draws"] = np.arange(8.0)[None, :, None]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs.update(version=1, form="draws", targets='[{"name": "r"}]')
        file["weights"] = np.full((1, 8), 1 / 8)
        make(file, other)
    said = (
        r"a\.h5 cannot be read: .*(lies in other files|a link to elsewhere|unpacks from 0 bytes|takes [0-9]+ bytes)"
    )
    for read in (
        Posterior.read,
        lambda path: ArrayStack(path).dtype,
        lambda path: ArrayStack(path, dataset="draws").dtype,
    ):
        with pytest.raises(ValueError, match=said):
            read(tmp_path / "a.h5")


def test_hdf5_that_hangs_is_refused(tmp_path, monkeypatch):
    """Damage in the heap that holds text of variable length, where the library looks for the next piece for ever."""
    from galestim._io import hdf5

    monkeypatch.setattr(hdf5, "CPU_SECONDS", 1)
    Posterior.from_draws(np.ones((1, 8, 1)), target_names=["r"]).write(tmp_path / "a.h5")
    content = bytearray((tmp_path / "a.h5").read_bytes())
    heap = content.index(b"GCOL")
    content[heap + 16 : heap + 32] = bytes([1, 0, 1, 0, 0, 0, 0, 0]) + b"\xf0" + b"\xff" * 7
    (tmp_path / "a.h5").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.h5 cannot be read: .*Expected a complete HDF5 file"):
        Posterior.read(tmp_path / "a.h5")
