"""Bytes from a service are an image of what was asked for, or a BadReplyError that says what they are."""

import io
import struct
import time
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from galestim.cutouts import BadReplyError, CutoutRequest, decode_fits, decode_jpeg
from galestim.cutouts._decode import is_uniform, read_fits

RECORDED = Path(__file__).parents[3] / "shared" / "data" / "skyserver_recorded" / "TestGalaxy.jpeg"


def pixels(npix=32, channels=3):
    return np.random.default_rng(0).integers(0, 255, (npix, npix, channels), dtype=np.uint8)


def encoded(array, kind="JPEG", **options):
    file = io.BytesIO()
    Image.fromarray(array.squeeze()).save(file, kind, **options)
    return file.getvalue()


def request(npix=32, ra=150.0, dec=2.0, pixel_scale=0.5):
    return CutoutRequest(ra, dec, pixel_scale, npix, "a")


def wcs_of(asked, steps=(-1, 1), shift=0.0, scale=1.0, rotation=0.0):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = asked.ra, asked.dec
    wcs.wcs.crpix = [(asked.npix + 1) / 2 + shift] * 2
    turn = np.deg2rad(rotation)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    wcs.wcs.cd = np.diag(steps) @ matrix * asked.pixel_scale * scale / 3600
    return wcs.to_header()


def fits_of(array, header, **options):
    file = io.BytesIO()
    fits.PrimaryHDU(array, header).writeto(file, **options)
    return file.getvalue()


# --- JPEG ---------------------------------------------------------------------------------------------------


def test_a_picture_of_the_right_size_is_decoded():
    image = decode_jpeg(encoded(pixels()), 32)
    assert image.shape == (32, 32, 3)
    assert image.dtype == np.uint8


def test_gray_becomes_three_equal_channels():
    image = decode_jpeg(encoded(pixels(channels=1)), 32)
    assert image.shape == (32, 32, 3)
    assert (image == image[:, :, :1]).all()


def test_another_size_is_refused():
    with pytest.raises(BadReplyError, match="the service sent 32×32 pixels; expected 64×64"):
        decode_jpeg(encoded(pixels()), 64)


def test_a_jpeg_that_announces_30000_pixels_a_side_is_refused_undecoded():
    body = bytearray(encoded(pixels()))
    frame = body.index(b"\xff\xc0")
    body[frame + 5 : frame + 9] = struct.pack(">HH", 30000, 30000)
    with pytest.raises(BadReplyError):
        decode_jpeg(bytes(body), 32)
    with pytest.raises(BadReplyError):
        decode_jpeg(bytes(body), 30000)


@pytest.mark.parametrize("lenient", [False, True])
def test_every_truncation_is_refused(lenient, monkeypatch):
    # astronomers set this to look at what they have; a cutout must not be half gray for it
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", lenient)
    body = encoded(pixels())
    for length in {0, 1, 2, 10, 100, len(body) // 2, len(body) - 20, len(body) - 2, len(body) - 1}:
        with pytest.raises(BadReplyError):
            decode_jpeg(body[:length], 32)


WAYS = {
    "baseline": {},
    "fine": {"quality": 100, "subsampling": 0},
    "coarse": {"quality": 5},
    "optimized": {"optimize": True},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 3},
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("npix", [2, 8, 33, 100])
@pytest.mark.parametrize("way", WAYS)
def test_whole_pictures_are_whole_however_they_are_encoded(way, npix, channels):
    noise, flat = pixels(npix, channels), np.full((npix, npix, channels), 128, np.uint8)
    for picture in (noise, flat):
        for end in (b"", b"\0\0\0", b"\r\n"):
            body = encoded(picture, **WAYS[way]) + end
            with Image.open(io.BytesIO(body)) as image:
                np.testing.assert_array_equal(decode_jpeg(body, npix), np.array(image.convert("RGB")))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_a_picture_that_ends_early_but_looks_closed_is_refused(way, share):
    body = encoded(pixels(100), **WAYS[way])
    begin = body.rindex(b"\xff\xda") + 14  # behind the head of the last scan
    cut = body[: begin + int(share * (len(body) - 2 - begin))].rstrip(b"\xff") + b"\xff\xd9"
    with pytest.raises(BadReplyError, match="a JPEG that is cut off"):
        decode_jpeg(cut, 100)


@pytest.mark.parametrize(("n_scans", "npix"), [(200, 32), (5000, 32), (20000, 2048)])
def test_a_picture_of_many_scans_is_refused_undecoded(n_scans, npix):
    body = encoded(np.full((npix, npix, 3), 120, np.uint8), progressive=True, quality=1)
    scan = body[body.rindex(b"\xff\xda") : -2]
    start = time.monotonic()
    with pytest.raises(BadReplyError, match="what the service sent has more than 100 scans"):
        decode_jpeg(body[:-2] + scan * n_scans + b"\xff\xd9", npix)
    assert time.monotonic() - start < 5


def test_other_formats_are_refused_and_shown():
    page = b"<html><body>We are down for maintenance</body></html>"
    with pytest.raises(BadReplyError, match=f"no JPEG image but {len(page)} bytes that begin b'<html><body>We are"):
        decode_jpeg(page, 32)
    with pytest.raises(BadReplyError):
        decode_jpeg(encoded(pixels(), "PNG"), 32)


def test_color_spaces_that_pictures_of_the_sky_do_not_have_are_refused():
    file = io.BytesIO()
    Image.new("CMYK", (32, 32)).save(file, "JPEG")
    with pytest.raises(BadReplyError, match="mode CMYK; expected 8-bit gray or color"):
        decode_jpeg(file.getvalue(), 32)


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_damaged_pictures_are_refused_or_have_the_right_shape(data):
    body = bytearray(encoded(pixels()))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        image = decode_jpeg(bytes(body), 32)
    except BadReplyError:
        return
    assert image.shape == (32, 32, 3)


@pytest.mark.skipif(not RECORDED.is_file(), reason="needs ../shared/data/skyserver_recorded")
def test_what_skyserver_sent_is_decoded():
    image = decode_jpeg(RECORDED.read_bytes(), 512)
    assert image.shape == (512, 512, 3)
    core, sky = image[246:266, 246:266].mean(axis=(0, 1)), image[40:80, 200:300].mean(axis=(0, 1))
    assert (core > sky + 50).all()
    assert core[0] > core[2]  # i is red, g is blue, and the bulge is old


def test_uniform_pictures():
    gray = np.full((8, 8, 3), 32, np.uint8)
    gray[3, 3] = 34
    assert is_uniform(gray)
    gray[3, 3] = 36
    assert not is_uniform(gray)


# --- FITS ---------------------------------------------------------------------------------------------------


def marked(npix=32):
    """One bright pixel in the northwest, one less bright in the northeast; row 0 is north, column 0 east."""
    image = np.zeros((npix, npix), np.float32)
    image[2, npix - 3], image[2, 2] = 2, 1
    return image


@pytest.mark.parametrize("npix", [32, 33])
@pytest.mark.parametrize("steps", [(-1, 1), (1, 1), (-1, -1), (1, -1)])
def test_north_is_up_whichever_way_the_file_has_it(steps, npix):
    asked = request(npix)
    in_file = marked(npix)[:: -steps[1], :: -steps[0]]
    image = decode_fits(fits_of(in_file, wcs_of(asked, steps)), asked)
    np.testing.assert_array_equal(image, marked(npix)[:, :, None])
    assert image.dtype == np.float32
    assert image.dtype.isnative


@pytest.mark.parametrize(("ra", "dec"), [(0.0, 0.0), (359.9999, 60.0), (10.0, 89.9), (10.0, -90.0)])
def test_the_position_is_checked_wherever_it_is(ra, dec):
    asked = request(ra=ra, dec=dec)
    assert decode_fits(fits_of(marked()[::-1], wcs_of(asked)), asked).shape == (32, 32, 1)
    elsewhere = asked._replace(dec=dec - np.sign(dec or 1) * 0.1 / 3600)
    with pytest.raises(BadReplyError, match="north of the position asked for"):
        decode_fits(fits_of(marked(), wcs_of(elsewhere)), asked)


@pytest.mark.parametrize("fault", [{"shift": 0.5}, {"shift": -0.5}, {"scale": 1.1}, {"rotation": 4.0}])
def test_an_image_of_another_piece_of_sky_is_refused(fault):
    with pytest.raises(BadReplyError, match="expected it centered, with axes along east and north"):
        decode_fits(fits_of(marked(), wcs_of(request(), **fault)), request())


def test_an_image_that_does_not_say_where_it_is_is_refused():
    with pytest.raises(BadReplyError):
        decode_fits(fits_of(marked(), None), request())


@pytest.mark.parametrize("key", ["CDELT1", "CDELT2", "PC1_1"])
@pytest.mark.parametrize("value", [0.0, 1e-300, 1e-12, 2.0, 1e300, -1e300])
def test_axes_without_a_length_are_refused(key, value):
    header = wcs_of(request())
    header[key] = value
    with pytest.raises(BadReplyError):
        decode_fits(fits_of(marked(), header), request())


def card(key, value):
    return f"{key:<8}= {value:>20}".ljust(80).encode()


def with_cards(cards):
    """An image with more cards in front of those that it has, or in their place."""
    body = fits_of(marked()[::-1], wcs_of(request()))
    kept = [body[i : i + 80] for i in range(0, 2880, 80)]
    keys = {new[:8] for new in cards}
    kept = [old for old in kept if old.strip() and old[:8] not in keys and old[:3] != b"END"]
    head = b"".join([*kept[:1], *cards[: cards[0].startswith(b"SIMPLE")], *kept[1:], *cards, b"END".ljust(80)])
    return head.ljust(-(-len(head) // 2880) * 2880) + body[2880:]


def test_cards_in_front_do_no_harm():
    image = decode_fits(with_cards([b"HISTORY of it".ljust(80)] * 50), request())
    np.testing.assert_array_equal(image[:, :, 0], marked())


HUGE = {
    "many axes": [card("NAXIS", 10**9)],
    "axes without a number": [card("NAXIS", 5 * 10**8)],
    "an axis beyond the body": [card("NAXIS2", 10**15)],
    "negative axis": [card("NAXIS2", -32)],
    "many cards": [b"COMMENT nothing".ljust(80)] * 100_000,
    "axes of the WCS": [card("WCSAXES", 10**6)],
    "axes of another WCS": [card("WCSAXESB", 10**6)],
    "distortion": [card("A_ORDER", 30_000), card("B_ORDER", 30_000)],
    "inverse distortion": [
        card("A_ORDER", 2),
        card("B_ORDER", 2),
        card("AP_ORDER", 30_000),
        card("BP_ORDER", 30_000),
    ],
    "parameters": [card("PCOUNT", 10**15)],
    "groups": [card("GCOUNT", 10**15)],
}


@pytest.mark.parametrize("what", HUGE)
def test_a_fits_file_that_claims_more_than_it_holds_is_refused_unread(what):
    body, start = with_cards(HUGE[what]), time.monotonic()
    with pytest.raises(BadReplyError, match=r"what the service sent .* in extension 0"):
        decode_fits(body, request())
    assert time.monotonic() - start < 5


def test_planes_become_channels():
    cube = np.stack([np.full((32, 32), value, np.float32) for value in (1, 2, 3)])
    image = decode_fits(fits_of(cube, wcs_of(request())), request(), 3)
    assert image.shape == (32, 32, 3)
    assert image[5, 7].tolist() == [1, 2, 3]
    with pytest.raises(BadReplyError, match="the service sent 3 bands; expected 2"):
        decode_fits(fits_of(cube, wcs_of(request())), request(), 2)


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.float64, np.uint8])
def test_every_number_format(dtype):
    values = marked().astype(dtype)[::-1]
    np.testing.assert_array_equal(decode_fits(fits_of(values, wcs_of(request())), request())[:, :, 0], marked())


def test_compressed_images_in_extensions():
    file = io.BytesIO()
    hdus = [
        fits.PrimaryHDU(),
        fits.CompImageHDU(marked()[::-1], wcs_of(request()), compression_type="GZIP_2", quantize_level=0),
    ]
    fits.HDUList(hdus).writeto(file)
    np.testing.assert_array_equal(decode_fits(file.getvalue(), request())[:, :, 0], marked())


def test_another_number_of_pixels_is_refused():
    with pytest.raises(BadReplyError, match="the service sent 32×32 pixels; expected 64×64"):
        decode_fits(fits_of(marked(), wcs_of(request())), request(64))


def test_a_fits_file_that_announces_30000_pixels_a_side_is_refused_unread():
    body = fits_of(marked(), wcs_of(request())).replace(b"= " + b"32".rjust(20), b"= " + b"30000".rjust(20))
    with pytest.raises(BadReplyError):
        decode_fits(body, request())


def test_every_truncated_fits_file_is_refused():
    body = fits_of(marked(), wcs_of(request()))
    n_bytes = 2880 + 32 * 32 * 4
    for length in (0, 5, 80, 2000, 2880, 2881, 4000, n_bytes - 1):
        with pytest.raises(BadReplyError):
            decode_fits(body[:length], request())


@pytest.mark.parametrize("body", [b"", b"<html>down</html>", b"SIMPLE  =                    T", b"\x1f\x8b\x08 gzip"])
def test_no_fits_file_at_all(body):
    with pytest.raises(BadReplyError):
        decode_fits(body, request())


def test_a_fits_file_without_an_image():
    with pytest.raises(BadReplyError, match="a FITS file without an image"):
        decode_fits(fits_of(None, None), request())


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_damaged_fits_headers_are_refused_or_read_right(data):
    body = bytearray(fits_of(marked()[::-1], wcs_of(request())))
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, 2879))] = data.draw(st.integers(32, 126))
    try:
        image = decode_fits(bytes(body), request())
    except BadReplyError:
        return
    assert image.shape == (32, 32, 1)


def test_read_fits_shows_the_shape_before_the_pixels():
    def refuse(shape):
        raise BadReplyError(f"too large: {shape}")

    with pytest.raises(BadReplyError, match=r"too large: \(32, 32\)"):
        read_fits(fits_of(marked(), None), refuse)
