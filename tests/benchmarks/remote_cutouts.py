"""Rate of fetching against the rate that politeness allows, from a sky on this machine, with default limits.

    python tests/benchmarks/remote_cutouts.py                # 500 cutouts: about a minute
    python tests/benchmarks/remote_cutouts.py --cutouts 20

The limits are those of `Transport()`: at most 4 requests in flight, 0.1 s from one to the next, so n cutouts take at
least (n - 1) × 0.1 s. Reported: the time they took, as a multiple of that; what the server saw in flight, between
requests and of User-Agents; and how many requests a second run made.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from _record import record

from galestim import Catalog, CutoutFetcher
from galestim.cutouts import SkyServer
from galestim.testing import GaussianSky, LoopbackSky

INTERVAL = 0.1  # [s], of Transport()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cutouts", type=int, default=500)
    parser.add_argument("--npix", type=int, default=128)
    parser.add_argument("--out", type=Path, help="append the result to this file")
    options = parser.parse_args()

    rng = np.random.default_rng(0)
    ra, dec = rng.uniform(150, 151, options.cutouts), rng.uniform(1, 2, options.cutouts)
    sky = GaussianSky(ra=ra, dec=dec, flux=rng.uniform(50, 500, (options.cutouts, 3)), sigma=np.full(len(ra), 2.0))
    catalog = Catalog({"ra": ra, "dec": dec})
    with LoopbackSky(sky) as server, tempfile.TemporaryDirectory() as cache:
        fetcher = CutoutFetcher(SkyServer(url=server.skyserver_url), npix=options.npix, pixel_scale=0.4, cache=cache)
        start = time.perf_counter()
        images = fetcher.transform(catalog)
        seconds = time.perf_counter() - start
        first = len(server.log)
        started = np.sort([entry.start for entry in server.log])
        start = time.perf_counter()
        again = fetcher.transform(catalog)
        seconds_again = time.perf_counter() - start
        assert np.array_equal(images, again)
        record(
            options.out,
            what="remote_cutouts",
            cutouts=options.cutouts,
            npix=options.npix,
            seconds=round(seconds, 2),
            ratio_to_the_least=round(seconds / max(INTERVAL * (options.cutouts - 1), INTERVAL), 3),
            most_in_flight=server.max_in_flight,
            mean_interval=round(float(np.diff(started).mean()), 4),
            user_agents=sorted({str(entry.user_agent) for entry in server.log}),
            requests=first,
            requests_of_a_second_run=len(server.log) - first,
            seconds_of_a_second_run=round(seconds_again, 2),
        )


if __name__ == "__main__":
    main()
