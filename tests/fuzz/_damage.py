"""Small sound files of every format that galestim reads, ways to damage them, and a process that reads those.

Run as a script, ``_damage.py seed first last format…``, it reads cases until it is done or dies, and prints a line of
JSON before and after each.
"""

import hashlib
import json
import re
import signal
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np

SECONDS, MEMORY = 40, 8 * 2**30  # for one case
N_WARNINGS = 20  # more that differ are a flood: python shows what is alike once

rng = np.random.default_rng(0)
IMAGES = rng.integers(1, 255, (6, 12, 12)).astype("u1")
AT = {"ra": [150.0], "dec": [2.0], "object_id": ["1"]}


# --- sound files --------------------------------------------------------------------------------------------------


def _header():
    from astropy.wcs import WCS

    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [150.0, 2.0], [6.5, 6.5]
    wcs.wcs.cdelt = [-0.4 / 3600, 0.4 / 3600]
    return wcs.to_header()


def _table(path):
    from astropy import units as u
    from astropy.table import QTable

    table = QTable({"object_id": ["a", "b", "c"], "ra": [1.0, 2, 3] * u.deg, "dec": [4.0, 5, 6] * u.deg})
    table["flux"] = [1.5, 2.5, 3.5]
    how = {
        ".vot": {"format": "votable"},
        ".h5": {"path": "data", "serialize_meta": True},
        ".csv": {"format": "ascii.csv"},
    }
    if path.suffix == ".h5":
        table["object_id"] = table["object_id"].astype(bytes)
    table.write(path, **how.get(path.suffix, {}))


def _fits(path):
    from astropy.io import fits

    pixels = IMAGES[1].astype("f4")
    hdu = fits.PrimaryHDU(pixels, _header())
    if path.suffix == ".fz":
        hdu = fits.CompImageHDU(pixels, _header(), compression_type="GZIP_1", quantize_level=0)
        hdu = fits.HDUList([fits.PrimaryHDU(), hdu])
    hdu.writeto(path)


def _picture(path):
    from PIL import Image

    Image.fromarray(np.stack([IMAGES[1]] * 3, -1)).save(path)


def _stack(path):
    import h5py

    if path.suffix == ".npy":
        np.save(path, IMAGES)
        return
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=IMAGES, chunks=(2, 12, 12), compression="gzip")
        file["ids"] = [str(i) for i in range(len(IMAGES))]


def _posterior(path):
    from galestim.posteriors import MixturePosterior

    scales = np.tril(rng.normal(size=(3, 2, 2, 2)), -1) + 0.3 * np.eye(2)
    MixturePosterior(rng.normal(size=(3, 2, 2)), scales, target_names=["r", "flux"], units=["arcsec", None]).write(
        path
    )


def _model(path):
    from galestim import CompactCNN, PosteriorRegressor
    from galestim.checkpoints import save_estimator

    model = PosteriorRegressor(
        CompactCNN(widths=(2,)), max_epochs=1, target_transforms="log", random_state=0, n_passes=2
    )
    save_estimator(model.fit(IMAGES[..., None] / 99.0, IMAGES[:, 3, 3] + 1.0), path)


def _cutouts(path):
    from astropy.wcs import WCS

    from galestim import Cutouts

    psf = np.ones((6, 3, 3)) / 9
    mask = IMAGES > 250
    wcs = [WCS(_header()) for _ in IMAGES]
    Cutouts(IMAGES / 9.0, psf=psf, noise=np.arange(6.0), mask=mask, gain=2.0, zero_point=30.0, wcs=wcs).write(path)


# --- how they are read --------------------------------------------------------------------------------------------


def _read_table(path):
    from galestim import Catalog

    return Catalog(path)


def _read_folder(path):
    from galestim import CutoutFetcher
    from galestim.cutouts import ImageDirectory

    return CutoutFetcher(ImageDirectory(path.parent), npix=12, pixel_scale=0.4).transform(AT)


def _read_pictures(path):
    from galestim.datasets import load_image_folder

    return load_image_folder(path.parent, n_jobs=1).images


def _read_mosaic(path):
    from galestim import CutoutFetcher
    from galestim.cutouts import FitsMosaic

    return CutoutFetcher(FitsMosaic(path), npix=8, pixel_scale=0.4).transform(AT)


def _read_stack(path):
    from galestim import CutoutFetcher
    from galestim.cutouts import ArrayStack

    ids = "ids" if path.suffix == ".h5" else None
    return CutoutFetcher(ArrayStack(path, ids=ids), npix=12, pixel_scale=0.4).transform(AT)


def _read_posterior(path):
    from galestim.posteriors import Posterior

    posterior = Posterior.read(path)
    return posterior.mean(), posterior.sample(2, random_state=0)


def _read_cutouts(path):
    from galestim import Cutouts

    cutouts = Cutouts.read(path)
    arrays = (cutouts.images, cutouts.psf, cutouts.noise, cutouts.mask, cutouts.gain, cutouts.zero_point)
    return (*arrays, *[wcs.to_header_string() for wcs in cutouts.wcs or []])


def _read_model(path):
    from galestim.checkpoints import load_estimator

    model = load_estimator(path, device="cpu")
    try:
        return model.predict(np.ones((2, *model.image_shape_)))
    except Exception as error:
        raise AssertionError(f"it loads, but does not predict: {error!r}") from error


def _read_entry(path):
    """The store answers with the bytes that were kept, or with nothing."""
    from galestim.cutouts import CutoutStore
    from galestim.cutouts._store import request_key

    key, store = request_key({"ra": 1}), CutoutStore(tempfile.mkdtemp(dir=path.parent))
    store.put(key, b"a JPEG", {"ra": 1})
    store._request_file(key).write_bytes(path.read_bytes())
    body = store.get(key)
    assert body in (None, b"a JPEG"), body
    assert body is not None or store.missing(key) is None
    return body


def _entry(path):
    from galestim.cutouts import CutoutStore
    from galestim.cutouts._store import request_key

    key, store = request_key({"ra": 1}), CutoutStore(tempfile.mkdtemp(dir=path.parent))
    store.put(key, b"a JPEG", {"ra": 1})
    path.write_bytes(store._request_file(key).read_bytes())


def _read_reply(path):
    from galestim.cutouts import CutoutRequest, decode_fits, decode_jpeg

    if path.suffix == ".jpg":
        return decode_jpeg(path.read_bytes(), 12)
    return decode_fits(path.read_bytes(), CutoutRequest(150.0, 2.0, 0.4, 12, "a"))


FORMATS = {
    **{f"table{suffix}": (_table, _read_table) for suffix in (".csv", ".ecsv", ".fits", ".vot", ".parquet", ".h5")},
    **{f"folder/1{suffix}": (_fits, _read_folder) for suffix in (".fits", ".fits.gz", ".fits.fz")},
    **{f"folder/1{suffix}": (_picture, _read_folder) for suffix in (".jpg", ".png")},
    **{f"pictures/1{suffix}": (_picture, _read_pictures) for suffix in (".jpg", ".png")},
    **{f"mosaic{suffix}": (_fits, _read_mosaic) for suffix in (".fits", ".fits.gz", ".fits.fz")},
    **{f"stack{suffix}": (_stack, _read_stack) for suffix in (".npy", ".h5")},
    **{f"posterior{suffix}": (_posterior, _read_posterior) for suffix in (".fits", ".parquet", ".h5")},
    **{f"cutouts{suffix}": (_cutouts, _read_cutouts) for suffix in (".fits", ".h5")},
    "model.safetensors": (_model, _read_model),
    "forged.safetensors": (_model, _read_model),
    "entry.json": (_entry, _read_entry),
    "reply.fits": (_fits, _read_reply),
    "reply.jpg": (_picture, _read_reply),
}


# --- damage -------------------------------------------------------------------------------------------------------


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """`content` with one to three faults."""
    for _ in range(rng.integers(1, 4)):
        content = rng.choice([_flip, _zero, _cut, _splice, _repeat, _digits, _digits])(content, rng) or b"\0"
    return content


def _span(content, rng):
    length = int(rng.choice([1, 4, 8, 80, 300]))
    near_an_end = int(rng.choice([200, 3000, len(content)]))
    start = int(rng.integers(0, max(1, min(near_an_end, len(content)))))
    start = len(content) - start if rng.random() < 0.3 else start
    return start, start + length


def _flip(content, rng):
    start, stop = _span(content, rng)
    noise = rng.integers(1, 256, len(content[start:stop]), dtype="u1")
    return content[:start] + bytes(np.frombuffer(content[start:stop], "u1") ^ noise) + content[stop:]


def _zero(content, rng):
    start, stop = _span(content, rng)
    return content[:start] + bytes(len(content[start:stop])) + content[stop:]


def _cut(content, rng):
    return content[: int(rng.integers(0, len(content) + 1))]


def _splice(content, rng):
    start, stop = _span(content, rng)
    other = int(rng.integers(0, len(content) + 1))
    return content[:start] + content[other : other + stop - start] + content[stop:]


def _repeat(content, rng):
    start, stop = _span(content, rng)
    return content[:stop] + content[start:stop] * int(rng.choice([1, 2, 100])) + content[stop:]


def _digits(content, rng):
    """Another number in text."""
    places = [match.span() for match in re.finditer(rb"-?[0-9]+", content[:20000])]
    if not places:
        return _flip(content, rng)
    start, stop = places[rng.integers(len(places))]
    number = rng.choice(
        ["0", "-1", "3", "7", "64", "999", "65536", "2147483648", "1e9", "99999999999", "nan"]
    ).encode()
    return content[:start] + number + content[max(stop, start + len(number)) if rng.random() < 0.7 else stop :]


ODD = [0, -1, 3, 7, 2**20, 2**31, 2**70, 0.5, 1e308, float("nan"), None, True, "x", "", [], [1], {}, {"tuple": [5]}]


def forged(path, rng):
    """Rewrite a checkpoint with odd values, and a digest that fits, as someone would who means harm."""
    from safetensors.numpy import save

    from galestim.checkpoints import _safetensors

    description, tensors = _safetensors._read(path)
    for _ in range(rng.integers(1, 3)):
        if rng.random() < 0.4:
            name = list(tensors)[rng.integers(len(tensors))]
            tensors[name] = _odd_array(tensors[name], rng)
        else:
            _alter(description, rng)
    text = json.dumps({**description, "sha256": _safetensors._digest(_safetensors._Content(description, tensors))})
    path.write_bytes(save(tensors, {"galestim": text}))


def _odd_array(array, rng):
    array = np.atleast_1d(array)
    others = [
        array[..., None],
        array[:0],
        array.astype("i4"),
        array.astype("f2"),
        array * np.nan,
        array * 0,
        array.ravel(),
    ]
    return np.ascontiguousarray(others[rng.integers(len(others))])


def _alter(description, rng):
    places = []

    def walk(value):
        for key, item in list(value.items()) if isinstance(value, dict) else list(enumerate(value)):
            places.append((value, key))
            if isinstance(item, dict | list):
                walk(item)

    walk({"parameters": description["parameters"], "fitted": description["fitted"]})
    holder, key = places[rng.integers(len(places))]
    holder[key] = ODD[rng.integers(len(ODD))]


# --- the process --------------------------------------------------------------------------------------------------


def digest(value) -> str:
    """What stands for an answer."""
    sha = hashlib.sha256()
    for part in value if isinstance(value, tuple) else (value,):
        sha.update(part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode())
    return sha.hexdigest()


def judged(name, read, path, expected) -> tuple[str, str]:
    """What becomes of a file: "right", "other" (it was read, otherwise), "error" or "wrong", and why."""
    from galestim.cutouts import BadReplyError, CutoutFetchError, MissingCutoutError

    clear = ValueError, OSError, CutoutFetchError, MissingCutoutError, BadReplyError
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            verdict = ("right" if digest(read(path)) == expected else "other"), ""
        except clear as error:
            names_it = (
                "reply" in name or str(path.parent) in str(error) or re.search(r"\brow |column|shape", str(error))
            )
            is_clear = names_it and len(str(error)) > 40 and not isinstance(error, UnicodeError)
            verdict = ("error" if is_clear else "wrong"), f"{type(error).__name__}: {error}"
        except BaseException as error:
            verdict = "wrong", f"{type(error).__name__}: {error}"
    if len({str(warning.message) for warning in caught}) > N_WARNINGS:
        return "wrong", f"{len(caught)} warnings, such as {caught[0].message}"
    return verdict


def main(seed: str, first: str, last: str, *names: str) -> None:
    """Read cases."""
    import resource

    from galestim._io import hdf5

    hdf5.CPU_SECONDS = 2
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    folder = Path(tempfile.mkdtemp())
    sound = {}
    for name in names or FORMATS:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        write, read = FORMATS[name]
        write(path)
        sound[name] = path, path.read_bytes(), read, digest(read(path))
        path.unlink()
    for case in range(int(first), int(last)):
        name = list(sound)[case % len(sound)]
        path, content, read, expected = sound[name]
        print(json.dumps([case, name]), flush=True)
        generator = np.random.default_rng([int(seed), case])
        path.write_bytes(content)
        if name.startswith("forged"):
            forged(path, generator)
        else:
            path.write_bytes(damaged(content, generator))
        signal.alarm(SECONDS)
        verdict, said = judged(name, read, path, expected)
        signal.alarm(0)
        path.unlink()
        print(json.dumps([case, name, verdict, said[:400]]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
