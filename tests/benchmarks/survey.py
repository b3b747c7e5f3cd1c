"""Rate and memory of `predict_catalog` on a mosaic, beside the rates of its parts: the network and the cutting.

    python tests/benchmarks/survey.py --rows 20000                    # the run quoted in docs/benchmarks.md
    python tests/benchmarks/survey.py --rows 40000 --jobs 2           # in two processes of this machine
    python tests/benchmarks/survey.py --rows 1000000                  # the one of a million rows
    python tests/benchmarks/survey.py --rows 40000 --workers 1 2      # on clusters of one worker of Dask, and of two
    python tests/benchmarks/survey.py --tiles 10000                   # to open a survey of so many small files, twice
    python tests/benchmarks/survey.py --tiles 64 --side 1000          # to cut from tiles
    python tests/benchmarks/survey.py --processes                     # what two processes can do on this machine
    python tests/benchmarks/survey.py --smoke                         # to try it out

Galaxies like those that the shipped model knows lie on a grid in a mosaic; the catalog has them again and again, each
time a fraction of a pixel off. Rates are galaxies per second of the clock, and per second of processor time, all
threads together, which a busy machine changes little. Where nothing overlaps, a processor that cuts and predicts has
the rate 1 / (1 / cutting + 1 / network). Memory is resident.
"""

import argparse
import json
import os
import re
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from _record import record
from astropy.io import fits
from astropy.wcs import WCS
from scipy.special import ndtr

from galestim import CutoutFetcher, make_pipeline, predict_catalog
from galestim.checkpoints import load_pretrained
from galestim.cutouts import FitsMosaic
from galestim.datasets import SimulatedGalaxies

SCALE, NPIX, CELLS = 0.168, 96, 20
FWHM, TILED, TURNS = 3.5, 2048, 3  # px of galaxies in tiles, how many are cut; of comparisons
TOGETHER = 100_000  # rows of the catalog that are written together


def write_mosaic(path: Path) -> WCS:
    """Galaxies on a grid, north up."""
    stamps = SimulatedGalaxies(CELLS**2, random_state=0)[:]
    rows = [np.hstack(stamps[first : first + CELLS]) for first in range(0, CELLS**2, CELLS)]
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [150.0, 2.0]
    wcs.wcs.crpix, wcs.wcs.cdelt = [(CELLS * NPIX + 1) / 2] * 2, [-SCALE / 3600, SCALE / 3600]
    fits.PrimaryHDU(np.vstack(rows).astype(np.float32), wcs.to_header()).writeto(path)
    return wcs


def write_catalog(path: Path, wcs: WCS, n: int) -> None:
    """Positions of `n` galaxies, near the middles of cells; not of those at the rim."""
    rng = np.random.default_rng(1)
    with pq.ParquetWriter(
        path, pa.schema({"object_id": pa.string(), "ra": pa.float64(), "dec": pa.float64()})
    ) as out:
        for first in range(0, n, TOGETHER):
            count = min(TOGETHER, n - first)
            cells = rng.integers(1, CELLS - 1, (2, count)) * NPIX + (NPIX - 1) / 2
            ra, dec = wcs.pixel_to_world_values(*(cells + rng.uniform(-0.5, 0.5, (2, count))))
            names = [f"G{row:08d}" for row in range(first, first + count)]
            out.write_table(pa.table({"object_id": names, "ra": ra, "dec": dec}))


def rate(work, n: int) -> dict[str, float]:
    """Galaxies per second of the clock and of the processor."""
    work()  # once before: what is loaded only once
    clock, processor = time.perf_counter(), time.process_time()
    work()
    seconds, of_processor = time.perf_counter() - clock, time.process_time() - processor
    return {"per_second": round(n / seconds, 1), "per_processor_second": round(n / of_processor, 1)}


def spent() -> tuple[float, float]:
    """Processor seconds of this process, and of those that it has started and that live."""
    times = [child.cpu_times() for child in psutil.Process().children(recursive=True)]
    return time.process_time(), sum(one.user + one.system for one in times)


def timed(work, rows: int) -> dict[str, float]:
    """Galaxies per second of the clock and of the processor, and microseconds of the processor for each galaxy."""
    clock, before = time.perf_counter(), spent()
    work()
    seconds, after = time.perf_counter() - clock, spent()
    here, others = (1e6 * (end - start) / rows for start, end in zip(before, after))
    return {
        "per_second": round(rows / seconds, 1),
        "per_processor_second": round(1e6 / (here + others), 1),
        "us_here": round(here, 1),
        "us_of_workers": round(others, 1),
    }


def on_workers(n: int, pipeline, folder: Path, rows: int) -> dict[str, float]:
    """Rates on `n` workers of Dask, once they have everything loaded; client, scheduler and nannies are "here"."""
    from dask.distributed import Client, LocalCluster

    catalog = folder / "catalog.parquet"
    with (
        LocalCluster(n_workers=n, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        how = {"client": client, "verbose": 0}
        predict_catalog(pipeline, few(folder), folder / f"few-{n}", chunk_size=64, **how)
        out = folder / f"workers-{n}"
        return timed(lambda: predict_catalog(pipeline, catalog, out, chunk_size=2048, **how), rows)


def few(folder: Path) -> dict:
    """Rows by which workers load everything that they need."""
    return pq.read_table(folder / "catalog.parquet").slice(0, 512).to_pydict()


# ---- a survey of many files


def write_tiles(folder: Path, n: int, side: int) -> None:
    """Tiles in a square, each with a Gaussian of the flux 1 in its middle and a header of 100 cards."""
    columns, step = int(np.ceil(np.sqrt(n))), side * SCALE / 3600
    edges = (np.arange(side + 1) - side / 2) / (FWHM / np.sqrt(8 * np.log(2)))
    image = np.outer(*[np.diff(ndtr(edges))] * 2).astype(np.float32)
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [(side + 1) / 2] * 2
    wcs.wcs.crval, wcs.wcs.cdelt = [150, 0.5], [-SCALE / 3600, SCALE / 3600]
    header = wcs.to_header()
    header.update({f"KEY{k}": float(k) for k in range(80)})
    stream = BytesIO()
    fits.PrimaryHDU(image, header).writeto(stream)
    cards = {key: re.search(rb"%-8s=.{71}" % key, stream.getvalue())[0] for key in (b"CRVAL1", b"CRVAL2")}
    for i in range(n):  # astropy would take minutes
        content = stream.getvalue()
        for (key, card), value in zip(cards.items(), (150 - i % columns * step, i // columns * step)):
            content = content.replace(card, b"%-8s= %20.13f%50s" % (key, value, b""))
        Path(folder, f"tile_{i:06d}.fits").write_bytes(content)


def galaxies(n: int, side: int, count: int) -> dict:
    """Positions within a pixel of the middles of tiles."""
    rng = np.random.default_rng(2)
    columns, step, tile = int(np.ceil(np.sqrt(n))), side * SCALE / 3600, np.sort(rng.integers(0, n, count))
    ra, dec = 150 - tile % columns * step, tile // columns * step
    return {
        "ra": ra + rng.uniform(-1, 1, count) * SCALE / 3600,
        "dec": dec + rng.uniform(-1, 1, count) * SCALE / 3600,
    }


def opened(folder: Path, n: int, side: int) -> dict[str, float]:
    """Seconds that the first cutout of a process takes, and the next one; then the rate of many, and their fluxes."""
    fetcher = CutoutFetcher(FitsMosaic(str(folder / "tile_*.fits")), npix=min(NPIX, side // 2), cache=None)
    found: dict[str, float] = {}
    for name in ("open", "next"):
        clock, processor = time.perf_counter(), time.process_time()
        fetcher.transform({"ra": [150.0], "dec": [0.0]})
        found[f"{name}_processor_s"] = round(time.process_time() - processor, 3)
        found[f"{name}_s"] = round(time.perf_counter() - clock, 3)
    catalog = galaxies(n, side, TILED)
    found |= rate(lambda: fetcher.transform(catalog), TILED)
    found["flux_error"] = float(np.abs(fetcher.transform(catalog).sum(axis=(1, 2, 3)) - 1).max())
    return found


def tiles(n: int, side: int, out: Path | None) -> None:
    """Open a survey in two processes, one after the other, and cut from it."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GALESTIM_CACHE"] = f"{folder}/cache"
        Path(folder, "tiles").mkdir()
        write_tiles(Path(folder, "tiles"), n, side)
        runs = []
        for _ in range(2):
            with ProcessPoolExecutor(1, get_context("spawn")) as process:
                runs.append(process.submit(opened, Path(folder, "tiles"), n, side).result())
        index = sum(path.stat().st_size for path in Path(folder, "cache").rglob("*.json"))
    ratio = runs[0]["open_processor_s"] / runs[1]["open_processor_s"]
    record(out, what="tiles", tiles=n, first=runs[0], second=runs[1], ratio=round(ratio, 1), index_bytes=index)


# ---- what the machine can do


def predicted(images, seconds: float) -> tuple[float, float]:
    """Galaxies per second of the clock and of the processor, of the bare network."""
    model = load_pretrained("hsc-sim-i")
    summarized(model, images)
    clock, processor, n = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - clock < seconds:
        summarized(model, images)
        n += len(images)
    return n / (time.perf_counter() - clock), n / (time.process_time() - processor)


def processes(seconds: float, out: Path | None) -> None:
    """The bare network in one process, and in two at once, in turns: no engine can have a better ratio.

    By the processor's time it is what two processors do that are as busy, also where others use them.
    """
    images = SimulatedGalaxies(512, random_state=0)[:]
    ratios: dict[str, list[float]] = {"by_clock": [], "by_processor": []}
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        list(pool.map(predicted, [images[:64]] * 2, [0.1] * 2))
        for _ in range(TURNS):
            alone = pool.submit(predicted, images, seconds).result()
            both = list(pool.map(predicted, [images] * 2, [seconds] * 2))
            for of_one, of_two, found in zip(alone, zip(*both), ratios.values()):
                found.append(round(sum(of_two) / of_one, 2))
    record(out, what="processes", processors=len(os.sched_getaffinity(0)), load=os.getloadavg()[0], **ratios)


class Resident(threading.Thread):
    """Resident memory of this process, and of the largest that it started [MiB], every quarter of a second."""

    def __init__(self):
        super().__init__(daemon=True)
        self.seen, self.of_workers, self._over = [], [], threading.Event()

    def run(self):
        me = psutil.Process()
        while not self._over.wait(0.25):
            self.seen.append(me.memory_info().rss / 2**20)
            others = [one.memory_info().rss for one in me.children(recursive=True)]
            self.of_workers.append(max(others, default=0) / 2**20)

    def end(self):
        self._over.set()
        self.join()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--workers", type=int, nargs="*", default=[], help="also on so many workers of Dask, in turn")
    parser.add_argument("--parts-of", type=int, default=2048, help="galaxies for the rates of network and cutting")
    parser.add_argument("--tiles", type=int, help="open a survey of so many files, and cut from it, instead")
    parser.add_argument("--side", type=int, default=32, help="of these files [px]")
    parser.add_argument("--processes", action="store_true", help="compare one process with two instead")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each process")
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.smoke:
        options.rows, options.parts_of = 300, 64
    if options.tiles:
        tiles(options.tiles, options.side, options.out)
    elif options.processes:
        processes(options.seconds, options.out)
    else:
        survey(options)


def survey(options) -> None:
    """The parts, and then the whole."""
    model = load_pretrained("hsc-sim-i")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        wcs = write_mosaic(folder / "field.fits")
        write_catalog(folder / "catalog.parquet", wcs, options.rows)
        fetcher = CutoutFetcher(FitsMosaic(folder / "field.fits"), npix=NPIX)
        some = pq.read_table(folder / "catalog.parquet").slice(0, options.parts_of).to_pydict()
        images = fetcher.transform(some)
        network = rate(lambda: summarized(model, images), len(images))
        cutting = rate(lambda: fetcher.transform(some), len(images))
        pipeline, how = make_pipeline(fetcher, model), {"n_jobs": options.jobs, "verbose": 0}
        predict_catalog(pipeline, few(folder), folder / "few", chunk_size=64, **how)
        memory = Resident()
        memory.start()
        catalog = folder / "catalog.parquet"
        whole = timed(lambda: predict_catalog(pipeline, catalog, folder / "out", **how), options.rows)
        memory.end()
        done = json.loads((folder / "out" / "_manifest.json").read_text())["progress"]
        of_workers = {str(n): on_workers(n, pipeline, folder, options.rows) for n in options.workers}
        n_bytes = sum(path.stat().st_size for path in (folder / "out").iterdir())
    n = len(memory.seen)
    in_turn = 1 / (1 / network["per_processor_second"] + 1 / cutting["per_processor_second"])
    record(
        options.out,
        what="survey",
        rows=done["rows"],
        ok=done["ok"],
        jobs=options.jobs,
        processors=len(os.sched_getaffinity(0)),
        network=network,
        cutting=cutting,
        one_processor_in_turn=round(in_turn, 1),
        **whole,
        share=round(whole["per_second"] / min(network["per_second"], cutting["per_second"]), 3),
        workers=of_workers or None,
        bytes_per_row=round(n_bytes / options.rows),
        resident_mebibytes={
            "after a tenth": round(memory.seen[n // 10]) if n else None,
            "in the middle": round(memory.seen[n // 2]) if n else None,
            "at the end": round(memory.seen[-1]) if n else None,
            "at most": round(max(memory.seen)) if n else None,
            "of a worker, at most": round(max(memory.of_workers)) if n else None,
        },
    )


def summarized(model, images) -> None:
    """What the network and the summaries of its posteriors take."""
    for first in range(0, len(images), 512):
        posterior = model.predict_posterior(images[first : first + 512])
        posterior.mean(), posterior.std(), posterior.quantile([0.5, 0.16, 0.84, 0.025, 0.975])


if __name__ == "__main__":
    main()
