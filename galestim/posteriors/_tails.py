"""Tails that draws do not vouch for, as those of conformal posteriors beyond the level that is guaranteed."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Tails(NamedTuple):
    """Probability on either side of which no draw tells where it is, and the ends of the support of the target."""

    share: float
    low: float
    high: float

    def described(self) -> list[float | None]:
        """Numbers for JSON, which has none for infinity."""
        return [self.share, *(end if math.isfinite(end) else None for end in self[1:])]

    @classmethod
    def of(cls, described: Sequence[float | None]) -> Tails:
        """Inverse of `described`."""
        share, low, high = described
        ends = -math.inf if low is None else float(low), math.inf if high is None else float(high)
        return cls(float(share or 0), *ends)

    def times(self, factor: float) -> Tails:
        """Those of the target times a positive `factor`."""
        return Tails(self.share, self.low * factor, self.high * factor)

    def cut(self, values: NDArray, q: NDArray) -> NDArray:
        """Quantiles `values` of the probabilities `q`, at the ends of the support where these lie in the tails."""
        q = np.broadcast_to(q, values.shape)
        edge = self.share * (1 - 1e-9)  # as sums of shares are rounded
        return np.where(q < edge, self.low, np.where(q > 1 - edge, self.high, values))


def joined(tails: Sequence[Tails | None]) -> Tails | None:
    """The widest of several tails of one target."""
    known = [tail for tail in tails if tail is not None]
    shares, lows, highs = zip(*known) if known else ((), (), ())
    return Tails(max(shares), min(lows), max(highs)) if known else None


def warn_beyond(
    tails: Sequence[Tails | None], names: Sequence[str], levels: Sequence[float], stacklevel: int
) -> None:
    """Warn if equal-tailed intervals of one of the `levels` end in tails."""
    level = max(levels, default=0)
    for tail, name in zip(tails, names):
        if tail is not None and level > 1 - 2 * tail.share * (1 - 1e-9):
            cure = f": at least {math.ceil(2 / (1 - level) - 1 - 1e-9)}, and as many draws." if level < 1 else "."
            warnings.warn(
                f"{name}: intervals are guaranteed up to the level {1 - 2 * tail.share:.4g}; those of {level:.6g} "
                "reach to the ends of the target's support, which may be infinite. Ask for lower levels, or "
                f"recalibrate on more galaxies{cure}",
                stacklevel=stacklevel,
            )
            return
