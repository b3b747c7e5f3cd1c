import warnings

import numpy as np
import pytest

from galestim import predict_catalog
from galestim.production import read_predictions

lsdb = pytest.importorskip("lsdb")


@pytest.mark.filterwarnings("ignore")  # of lsdb and what it needs
def test_a_hats_catalog_goes_in_and_one_comes_out(survey, tmp_path):
    columns = {"ra_column": "ra", "dec_column": "dec", "margin_threshold": None}  # a margin takes a minute to compile
    hats = lsdb.from_dataframe(survey.catalog.to_pandas(), catalog_name="survey", **columns)
    hats.write_catalog(tmp_path / "hats")
    done = predict_catalog(survey.model, tmp_path / "hats", tmp_path / "out")
    found = read_predictions(tmp_path / "out")
    assert (done.n_rows, done.n_ok) == (300, 299)
    expected = dict(zip(survey.catalog["object_id"], survey.model.predict_posterior(survey.catalog).mean()[:, 1]))
    np.testing.assert_allclose(found["flux_mean"], [expected[name] for name in found["object_id"]], rtol=2e-5)

    with warnings.catch_warnings(action="ignore"):
        import pyarrow.parquet as pq

        predicted = pq.read_table(tmp_path / "out").to_pandas()
        catalog = lsdb.from_dataframe(predicted, catalog_name="predicted", **columns)
        catalog.write_catalog(tmp_path / "predicted")
        again = lsdb.open_catalog(tmp_path / "predicted").compute()
    assert sorted(again["row"]) == list(range(300))
    assert np.nanmax(again["flux_mean"]) == np.nanmax(found["flux_mean"])
