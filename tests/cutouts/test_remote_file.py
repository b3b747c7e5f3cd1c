import gzip
import logging
import pickle
import re
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from threading import Thread

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from galestim import CutoutFetcher
from galestim.cutouts import CutoutRequest, FitsMosaic, Transport
from galestim.cutouts import _header_index as header_index
from galestim.cutouts import _tiles as tiles_module
from galestim.cutouts._errors import CutoutError, TransientCutoutError
from galestim.cutouts._remote_file import RemoteFile

pytest.importorskip("fsspec")
SIDE = 1000
HASTY = Transport(requests_per_second=1e4, max_retries=1, backoff=0.01, timeouts=(2, 2, 5))


class Handler(BaseHTTPRequestHandler):
    """A folder of files, with ranges; or a service that has some fault."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        server = self.server
        server.asked.append((self.path, self.headers.get("Range")))
        server.secrets.append(self.headers.get("Authorization"))
        body = server.files.get(self.path.partition("?")[0])
        if body is None:
            return self.reply(404, b"no such tile")
        first, last = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"]).groups())
        if server.fault == "whole files":
            return self.reply(200, body)
        part = body[first : last + 1]
        told = {"Content-Range": f"bytes {first}-{first + len(part) - 1}/{len(body)}", "ETag": f'"{hash(body)}"'}
        if server.fault == "other bytes":
            told["Content-Range"] = f"bytes {first + 1}-{first + len(part)}/{len(body)}"
        if server.fault == "endless":
            part += bytes(2**24)
        if server.fault == "breaks" and first > 0:
            return self.reply(206, part, told, sent=len(part) // 2)
        return self.reply(206, part, told)

    def reply(self, status, body, headers=(), sent=None):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        body = body[:sent]
        self.server.n_bytes += len(body)
        with suppress(OSError):  # the client has had enough
            self.wfile.write(body)
        self.close_connection = sent is not None


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("GALESTIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    forget()
    with served() as one:
        yield one
    forget()


@contextmanager
def served():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.files, server.asked, server.secrets, server.n_bytes, server.fault = {}, [], [], 0, None
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def forget():
    tiles_module._looks.clear()
    header_index._index.cache_clear()


def field(tmp_path, name="field.fits", at=0, packed=False, seed=0):
    """A field whose pixels are noise, on disk, and its bytes."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [150.0, 2.0 + at]
    wcs.wcs.crpix, wcs.wcs.cdelt = [(SIDE + 1) / 2] * 2, [-0.2 / 3600, 0.2 / 3600]
    pixels = np.random.default_rng(seed).normal(size=(SIDE, SIDE)).astype(np.float32)
    hdu = fits.PrimaryHDU(pixels, wcs.to_header())
    if packed:
        hdu = fits.CompImageHDU(pixels, wcs.to_header(), compression_type="RICE_1")
    path = tmp_path / name
    fits.HDUList([hdu] if not packed else [fits.PrimaryHDU(), hdu]).writeto(path, overwrite=True)
    return path, path.read_bytes()


def request(dec=2.0, npix=40, object_id="NGC 1"):
    return CutoutRequest(150.0, dec, 0.2, npix, object_id)


@pytest.mark.parametrize("packed", [False, True])
def test_only_headers_and_rows_are_read(server, tmp_path, packed):
    path, server.files["/field.fits"] = field(tmp_path, packed=packed)
    mosaic = FitsMosaic(f"{server.url}/field.fits", transport=HASTY)
    np.testing.assert_array_equal(mosaic.cutout(request()), FitsMosaic(path).cutout(request()))
    size, rows = len(server.files["/field.fits"]), (40 + 20) * SIDE * 4
    if packed:
        assert server.n_bytes < 0.5 * size
    else:
        assert server.n_bytes <= 2**16 + rows < 0.08 * size
        assert len(server.asked) == 2  # the header, and the rows of the galaxy
    before = server.n_bytes
    mosaic.cutout(request(2.003))
    assert server.n_bytes - before < (0.4 if packed else 0.08) * size
    forget()  # as another process, to which the index tells all headers
    n_asked = len(server.asked)
    np.testing.assert_array_equal(mosaic.cutout(request()), FitsMosaic(path).cutout(request()))
    assert packed or len(server.asked) == n_asked + 1


def test_tiles_and_bands_and_noise_at_addresses(server, tmp_path):
    for i, name in enumerate(["a_g", "b_g", "a_r", "b_r", "w_r", "v_r"]):
        at = 0.05 if name[0] in "bv" else 0.0
        _, server.files[f"/{name}.fits"] = field(tmp_path, f"{name}.fits", at=at, seed=i)
    local = {band: [tmp_path / f"{tile}_{band}.fits" for tile in "ab"] for band in "gr"}
    remote = {band: [f"{server.url}/{tile}_{band}.fits" for tile in "ab"] for band in "gr"}
    requests = [request(), request(2.05), request(2.026)]
    expected = list(FitsMosaic(local).cutouts(requests))
    for one, again in zip(expected, FitsMosaic(remote, transport=HASTY).cutouts(requests), strict=True):
        np.testing.assert_array_equal(one, again)
    names = ["w_r.fits", "v_r.fits"]
    told = FitsMosaic({"r": remote["r"]}, mask=[f"{server.url}/{name}" for name in names], transport=HASTY)
    alone = FitsMosaic({"r": local["r"]}, mask=[tmp_path / name for name in names])
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(told)).cutout(request()).mask, alone.cutout(request()).mask
    )


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        ("whole files", TransientCutoutError, "does not serve ranges of bytes, but whole files; tried once"),
        ("other bytes", CutoutError, "Content-Range 'bytes 1-65536/.*'; expected bytes 0 to 65535"),
        ("endless", CutoutError, "the reply is larger than 65536 bytes"),
    ],
)
def test_services_that_cannot_be_used(server, tmp_path, fault, error, said):
    _, server.files["/field.fits"] = field(tmp_path)
    server.fault = fault
    with pytest.raises(error, match=said):
        FitsMosaic(f"{server.url}/field.fits", transport=HASTY).cutout(request())
    assert server.n_bytes <= 2 * 2**24 + 2**17


def test_a_file_that_is_not_there(server):
    with pytest.raises(FileNotFoundError, match=r"no file 'http://.*/none.fits': the service answered 404"):
        FitsMosaic(f"{server.url}/none.fits", transport=HASTY).cutout(request())


@pytest.mark.parametrize("packed", [False, True])
def test_a_connection_that_breaks_is_a_row_that_failed(server, tmp_path, packed):
    for name, at in (("a", 0.0), ("b", 1.0)):
        _, server.files[f"/{name}.fits"] = field(tmp_path, f"{name}.fits", at=at, packed=packed)
    mosaic = FitsMosaic({"r": [f"{server.url}/{name}.fits" for name in "ab"]}, transport=HASTY)
    catalog = {"ra": [150.0, 150.0, 150.0], "dec": [2.0, 3.0, 40.0]}
    mosaic.cutout(request())
    fetcher = CutoutFetcher(mosaic, npix=40, on_error="nan")
    server.fault = "breaks"
    reasons = fetcher.prefetch(catalog)["reason"]
    assert ["the reply broke off" in reason for reason in reasons] == [True, True, False]
    server.fault = None
    rewritten = fits.HDUList.fromstring(server.files["/b.fits"])
    rewritten[-1].header["OBSERVER"] = "Caroline"
    with BytesIO() as stream:
        rewritten.writeto(stream)
        server.files["/b.fits"] = stream.getvalue()
    report = fetcher.prefetch(catalog)
    assert report["status"].tolist() == ["ok", "failed", "missing"]
    assert "b.fits' was rewritten since its header was read; fetch again" in report["reason"][1]
    forget()  # as the run that comes next
    assert fetcher.prefetch(catalog)["status"].tolist() == ["ok", "ok", "missing"]


def test_secrets_are_sent_to_the_host_and_written_nowhere(server, tmp_path, caplog):
    _, server.files["/field.fits"] = field(tmp_path)
    transport = Transport(requests_per_second=1e4, headers={"Authorization": "Bearer 5ecret"})
    mosaic = FitsMosaic(f"{server.url}/field.fits?token=5ecret", transport=transport)
    with caplog.at_level(logging.DEBUG):
        mosaic.cutout(request())
    assert set(server.secrets) == {"Bearer 5ecret"}
    with pytest.raises(CutoutError, match="has no pixel") as error:
        mosaic.cutout(request(40.0))
    kept = [path.read_bytes() for path in (tmp_path / "cache").rglob("*.json")]
    assert kept
    for text in (str(error.value), repr(mosaic), caplog.text, *map(str, kept)):
        assert "5ecret" not in text


def test_a_login_is_that_of_the_mosaic_and_not_of_another_one(server, tmp_path):
    _, server.files["/field.fits"] = field(tmp_path)
    for login in ("Bearer Ann", "Bearer Bob", None):
        headers = {"Authorization": login} if login else None
        server.secrets.clear()
        transport = Transport(requests_per_second=1e4, headers=headers)
        FitsMosaic(f"{server.url}/field.fits", transport=transport).cutout(request())
        assert set(server.secrets) == {login}


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1/a.fits", "file:///etc/passwd", "gs://bucket/a.fits", "simplecache::https://127.0.0.1/a"]
)
def test_addresses_of_other_kinds_are_refused(url):
    with pytest.raises(ValueError, match=r"an address of the kind '\w+'; expected https:// or http://"):
        FitsMosaic(url).cutout(request())


def test_objects_of_public_buckets(server, tmp_path, monkeypatch):
    path, server.files["/survey/dr1/a%20b.fits"] = field(tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"{server.url}/")
    cutout = FitsMosaic("s3://survey/dr1/a b.fits", transport=HASTY).cutout(request())
    np.testing.assert_array_equal(cutout, FitsMosaic(path).cutout(request()))
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3")
    assert RemoteFile.of("s3://stpubdata/hst/a.fits", HASTY).url == "https://stpubdata.s3.amazonaws.com/hst/a.fits"
    assert RemoteFile.of("S3://a.survey/b.fits", HASTY).url == "https://s3.amazonaws.com/a.survey/b.fits"
    with pytest.raises(ValueError, match="an image has the address 's3://survey'; expected s3://bucket/key"):
        FitsMosaic("s3://survey").cutout(request())


def test_what_cannot_be_read_in_parts(server, tmp_path):
    server.files["/field.fits.gz"] = gzip.compress(field(tmp_path)[1][:10_000])
    with pytest.raises(ValueError, match="is compressed as a whole, so that parts of it cannot be read; download it"):
        FitsMosaic(f"{server.url}/field.fits.gz", transport=HASTY).cutout(request())
    with pytest.raises(ValueError, match="is a pattern, and a service does not tell its files; give a list"):
        FitsMosaic(f"{server.url}/*.fits", transport=HASTY).cutout(request())
