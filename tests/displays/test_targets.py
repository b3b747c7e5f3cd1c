import re

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from astropy import units as u
from astropy.table import MaskedColumn, QTable, Table
from sklearn.pipeline import Pipeline

from galestim.displays._targets import as_predicted, pair_target

TWO = pd.DataFrame({"bulge_to_total": [0.1, 0.2, 0.3], "flux": [10.0, 20.0, 30.0]})


@pytest.mark.parametrize("frame", [TWO, pl.from_pandas(TWO)], ids=["pandas", "polars"])
@pytest.mark.parametrize("target", ["flux", 1, -1])
def test_a_target_by_name_and_by_index(frame, target):
    pair = pair_target(frame, TWO.to_numpy() + 1, target=target)
    np.testing.assert_array_equal(pair.actual, [10, 20, 30])
    np.testing.assert_array_equal(pair.predicted, [11, 21, 31])
    assert pair.name == "$F$"


def test_a_series_lends_its_name_and_target_name_goes_first():
    y = TWO["flux"]
    assert pair_target(y, y.to_numpy()).name == "$F$"
    assert pair_target(y, y, target_name="F").name == "F"
    assert pair_target(y.to_numpy(), y.to_numpy()).name is None
    assert pair_target(pd.Series([1.0], name=0), [1.0]).name is None


def test_a_single_column_needs_no_target():
    pair = pair_target([[1.0], [2.0]], [1.5, 2.5])
    np.testing.assert_array_equal(pair.actual, [1, 2])
    assert pair.predicted.shape == (2,)


def test_missing_predictions_stay_nan():
    assert np.isnan(pair_target([1.0, 2.0], [np.nan, 2.0]).predicted[0])


@pytest.mark.parametrize(
    ("y_true", "y_pred", "target", "sentence"),
    [
        (
            [1, 2, 3],
            [1, 2],
            None,
            "y_true has shape (3,) and y_pred has shape (2,); expected one prediction for each actual value.",
        ),
        (
            TWO,
            TWO.to_numpy(),
            None,
            "target=None, but y_true has 2 target(s); "
            "expected one of ['bulge_to_total', 'flux'] or an index below 2.",
        ),
        (TWO.to_numpy(), TWO.to_numpy(), 2, "target=2, but y_true has 2 target(s); expected an index below 2."),
        (
            TWO,
            TWO.rename(columns={"flux": "radius"}),
            "flux",
            "y_pred has the columns 'bulge_to_total', 'radius', but none named 'flux'; expected 'bulge_to_total', "
            "'flux'. Add or rename columns, or pass an array without names.",
        ),
        (
            [1, np.nan, 3],
            [1, 2, 3],
            None,
            "y_true is not finite in 1 row(s), first in row 1; drop the rows that have no label.",
        ),
        (
            [1, 2, 3],
            [1, np.nan, -np.inf],
            None,
            "y_pred is infinite in 1 row(s), first in row 2; use NaN where there is no prediction.",
        ),
    ],
)
def test_errors_say_what_to_do(y_true, y_pred, target, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        pair_target(y_true, y_pred, target=target)


TABLES = {
    "astropy": lambda: Table.from_pandas(TWO),
    "quantities": lambda: QTable({"bulge_to_total": TWO["bulge_to_total"], "flux": TWO["flux"].to_numpy() * u.nJy}),
    "masked": lambda: Table(TWO.to_dict("list"), masked=True),
    "structured": lambda: TWO.to_records(index=False),
    "pyarrow": lambda: pa.Table.from_pandas(TWO),
}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_table_has_names(table):
    pair = pair_target(table(), TWO.to_numpy() + 1, target="flux")
    assert pair.actual.tolist() == [10, 20, 30]
    assert pair.name.startswith("$F$")


def test_a_masked_label_is_no_label():
    y = MaskedColumn([1.0, 2.0, 3.0], mask=[False, True, False], name="flux")
    with pytest.raises(ValueError, match=r"^y_true is not finite in 1 row\(s\), first in row 1; drop the rows"):
        pair_target(y, [1, 2, 3])


class Fitted:
    def __init__(self):
        self.target_names_ = ["flux", "bulge_to_total"]


@pytest.mark.parametrize("wrap", [lambda model: model, lambda model: Pipeline([("model", model)])])
def test_columns_are_paired_by_the_names_of_the_fit(wrap):
    y = as_predicted(wrap(Fitted()), TWO)
    assert list(y) == ["flux", "bulge_to_total"]
    assert pair_target(y, TWO[["flux", "bulge_to_total"]].to_numpy(), target="flux").predicted.tolist() == [
        10,
        20,
        30,
    ]
    array = TWO[["flux", "bulge_to_total"]].to_numpy()
    assert pair_target(as_predicted(wrap(Fitted()), array), array, target="flux").actual.tolist() == [10, 20, 30]
    with pytest.raises(ValueError, match="none named 'bulge_to_total'; expected 'flux', 'bulge_to_total'"):
        as_predicted(wrap(Fitted()), TWO["flux"])
