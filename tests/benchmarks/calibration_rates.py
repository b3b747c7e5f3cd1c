"""Detection and false-alarm rates of the diagnostics of calibration, of posteriors with one fault each or none.

    python tests/benchmarks/calibration_rates.py                         # the table quoted in docs/benchmarks.md
    python tests/benchmarks/calibration_rates.py --repetitions 2         # does it run?

The posteriors are those of `tests/calibration`, two correlated targets of 400 galaxies, right or with one fault;
`l_c2st`, which has to learn what to look for, gets 800, and half of the repetitions, as it is slow. A test says
"wrong" if its p-value is below 5 %; of several p-values, any one after Bonferroni. So right posteriors should be
flagged in 5 % of the repetitions, or less where a test counts galaxies, as its p-values are discrete. In bold: what
a diagnostic is made to see, by the guide. Scores and `sharpness` are left out: they compare posteriors, and have no
p-value.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from _record import record
from scipy.stats import binomtest

from galestim.calibration import (
    conditional_coverage,
    coverage,
    joint_coverage,
    l_c2st,
    pit_uniformity,
    sbc_uniformity,
    tarp,
)

sys.path.insert(0, str(Path(__file__).parents[1] / "calibration"))
from _faults import FAULTS, flagged, simulate

LEVEL = 0.6827
DRAWS = {"n_samples": 50}
CLASSIFIERS = {"n_samples": 5, "n_null": 19}
NOMINAL = 0.105  # so much may 5 % become in 200 repetitions
SEEN = 0.8


def binomial(posterior, y):
    """P-values of the shares that `coverage` finds."""
    return [
        binomtest(round(share * len(y)), len(y), LEVEL).pvalue
        for share in coverage(posterior, y, [LEVEL]).coverage[0]
    ]


def product(values):
    return values[:, 0] * values[:, 1]


def by_classifier(g, features, seed):
    return l_c2st(g.posterior, g.y, features, **CLASSIFIERS, random_state=seed).p_value - 1e-9  # 1 in 20 is the least


WIDTHS, MARGINALS = {"too wide", "too narrow"}, {"too wide", "too narrow", "biased"}
JOINT = MARGINALS | {"correlation"}
ALL = JOINT | {"bright", "cancel"}


class Diagnostic(NamedTuple):
    """P-values of galaxies, of what is measured of them, and of a seed; and the faults that they are made to see."""

    p_values: Callable
    sees: set[str]
    galaxies: int = 400
    repetitions: int = 200


DIAGNOSTICS = {
    "`coverage` of 68 %": Diagnostic(lambda g, m, s: binomial(g.posterior, g.y), WIDTHS),
    "`pit_uniformity`, Kolmogorov–Smirnov": Diagnostic(
        lambda g, m, s: pit_uniformity(g.posterior, g.y).p_value, MARGINALS
    ),
    "`pit_uniformity`, band": Diagnostic(lambda g, m, s: pit_uniformity(g.posterior, g.y).band_p_value, MARGINALS),
    "`sbc_uniformity`, band": Diagnostic(
        lambda g, m, s: sbc_uniformity(g.posterior, g.y, **DRAWS, random_state=s).band_p_value, MARGINALS
    ),
    "`sbc_uniformity` of the product": Diagnostic(
        lambda g, m, s: sbc_uniformity(g.posterior, g.y, quantity=product, **DRAWS, random_state=s).band_p_value,
        WIDTHS | {"correlation"},
    ),
    "`joint_coverage`": Diagnostic(
        lambda g, m, s: joint_coverage(g.posterior, g.y, **DRAWS, random_state=s).p_value, ALL - {"biased"}
    ),
    "`conditional_coverage` by magnitude": Diagnostic(
        lambda g, m, s: conditional_coverage(g.posterior, g.y, g.magnitude, bins=4).p_value,
        WIDTHS | {"bright", "cancel"},
    ),
    "`tarp`": Diagnostic(lambda g, m, s: tarp(g.posterior, g.y, **DRAWS, random_state=s).p_value, JOINT),
    "`tarp`, random references": Diagnostic(
        lambda g, m, s: tarp(g.posterior, g.y, references="random", **DRAWS, random_state=s).p_value, set()
    ),
    "`tarp`, measured references": Diagnostic(
        lambda g, m, s: tarp(g.posterior, g.y, references=m, **DRAWS, random_state=s).p_value, WIDTHS | {"ignorant"}
    ),
    "`l_c2st` by magnitude": Diagnostic(
        lambda g, m, s: by_classifier(g, g.magnitude, s), ALL, galaxies=800, repetitions=100
    ),
    "`l_c2st` by magnitude and measurements": Diagnostic(
        lambda g, m, s: by_classifier(g, np.column_stack([g.magnitude, m]), s),
        ALL | {"ignorant"},
        galaxies=800,
        repetitions=100,
    ),
}


def rate(diagnostic: Diagnostic, fault, repetitions: int) -> float:
    """Return the share of the seeds 0, 1, … in which the diagnostic says "wrong"."""
    found = []
    for seed in range(repetitions):
        galaxies, right = (simulate(given, diagnostic.galaxies, seed) for given in (fault, None))
        found.append(flagged(diagnostic.p_values(galaxies, right.posterior.mean(), seed)))
    return float(np.mean(found))


def row(name: str, rates: dict[str, float], sees: set[str]) -> str:
    """Return a row of the table."""
    cells = (f"**{100 * value:.0f}**" if fault in sees else f"{100 * value:.0f}" for fault, value in rates.items())
    return f"| {name} | " + " | ".join(cells) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=200, help="at most")
    parser.add_argument("--only", nargs="+", help="names of diagnostics that hold one of these words")
    parser.add_argument("--out", type=Path, help="append the results to this file")
    options = parser.parse_args()

    header = ["flagged [%]", "right", *FAULTS]
    rows = ["| " + " | ".join(header) + " |", "|---|" + "---:|" * (len(header) - 1)]
    for name, diagnostic in DIAGNOSTICS.items():
        if options.only and not any(word in name for word in options.only):
            continue
        start = time.process_time()
        n = min(options.repetitions, diagnostic.repetitions)
        rates = {"right": rate(diagnostic, None, n)} | {fault: rate(diagnostic, fault, n) for fault in FAULTS}
        record(
            options.out,
            what="calibration_rates",
            diagnostic=name,
            galaxies=diagnostic.galaxies,
            repetitions=n,
            rates=rates,
            passes_right=rates["right"] <= NOMINAL,
            missed=sorted(fault for fault in diagnostic.sees if rates[fault] < SEEN),
            cpu_seconds=round(time.process_time() - start, 1),
        )
        rows.append(row(name, rates, diagnostic.sees))
    print("\n".join([*rows, "", *(f"- *{fault}*: {how}" for fault, how in FAULTS.items())]))


if __name__ == "__main__":
    main()
