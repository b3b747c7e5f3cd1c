"""Tables of other packages, and packages that are missing; posteriors of theirs are tested in files of their own."""

import sys

import numpy as np
import pytest
from astropy.table import QTable

from galestim import Catalog
from galestim.posteriors import _skpro

IDS = ["NGC 1", "λ 2", "NGC 3", "1237648720693755918"]


@pytest.mark.parametrize("backend", ["pandas", "polars", "pyarrow"])
def test_summaries_there_and_back(galaxies, backend):
    galaxies.ids = IDS
    table = galaxies.summary(levels=0.9)
    frame = table.to_df(backend)

    back = QTable.from_df(frame)
    assert back["object_id"].tolist() == IDS
    for name in table.colnames[1:]:
        values = np.ma.filled(back[name], np.nan)
        np.testing.assert_allclose(values, getattr(table[name], "value", table[name]), rtol=1e-6)


@pytest.mark.parametrize("backend", ["pandas", "polars", "pyarrow"])
def test_summaries_are_catalogs(galaxies, backend):
    galaxies.ids = IDS
    summary = galaxies.summary(levels=0.9)
    summary["ra"], summary["dec"] = np.arange(4.0), np.zeros(4)
    assert Catalog(summary.to_df(backend))["object_id"].tolist() == IDS


@pytest.mark.parametrize(
    ("method", "module", "extra"),
    [("to_arviz", "arviz", "export"), ("to_qp", "qp", "qp"), ("to_skpro", "skpro.distributions.base", "skpro")],
)
def test_missing_packages(galaxies, monkeypatch, method, module, extra):
    _skpro._distribution_class.cache_clear()
    monkeypatch.setitem(sys.modules, module, None)
    package = module.partition(".")[0]
    with pytest.raises(ImportError, match=rf"{method} needs {package}, .*run: pip install 'galestim\[{extra}\]'"):
        getattr(galaxies["flux"], method)()
