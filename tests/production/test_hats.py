import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from galestim import predict_catalog
from galestim.production import read_predictions, write_hats

IGNORED = pytest.mark.filterwarnings("ignore")  # of lsdb, hats-import and what they need


@pytest.fixture(scope="module")
def predicted(survey, tmp_path_factory):
    """Predictions of 300 rows, of which one has no position."""
    folder, catalog = tmp_path_factory.mktemp("predicted"), survey.catalog.copy()
    catalog["dec"][5] = np.nan
    predict_catalog(survey.model, catalog, folder / "out", chunk_size=64, verbose=0)
    return folder / "out"


@IGNORED
def test_a_hats_catalog_goes_in_and_one_comes_out(survey, tmp_path):
    lsdb = pytest.importorskip("lsdb")
    pytest.importorskip("hats_import")
    columns = {"ra_column": "ra", "dec_column": "dec", "margin_threshold": None}  # a margin takes a minute to compile
    hats = lsdb.from_dataframe(survey.catalog.to_pandas(), catalog_name="survey", **columns)
    hats.write_catalog(tmp_path / "hats")
    done = predict_catalog(survey.model, tmp_path / "hats", tmp_path / "out", chunk_size=64)
    found = read_predictions(tmp_path / "out")
    assert (done.n_rows, done.n_ok) == (300, 299)
    expected = dict(zip(survey.catalog["object_id"], survey.model.predict_posterior(survey.catalog).mean()[:, 1]))
    np.testing.assert_allclose(found["flux_mean"], [expected[name] for name in found["object_id"]], rtol=2e-5)

    assert write_hats(tmp_path / "out", tmp_path / "predicted", verbose=0) == 300
    again = (
        lsdb.open_catalog(tmp_path / "predicted").compute().set_index("object_id").loc[found["object_id"].tolist()]
    )
    np.testing.assert_array_equal(again["flux_mean"].to_numpy(float), np.asarray(found["flux_mean"], float))
    (file,) = (tmp_path / "predicted").rglob("Npix=*.parquet")
    assert pq.read_schema(file).field("half_light_radius_mean").metadata[b"unit"] == b"arcsec"
    with pytest.raises(FileExistsError, match="has a catalog; remove it first"):
        write_hats(tmp_path / "out", tmp_path / "predicted")


@IGNORED
def test_an_interrupted_run_is_taken_up(predicted, tmp_path, monkeypatch):
    run_import = pytest.importorskip("hats_import.catalog.run_import")
    monkeypatch.setattr(run_import, "write_parquet_metadata", _stopped)
    with pytest.raises(KeyboardInterrupt):
        write_hats(predicted, tmp_path / "hats", verbose=0)
    monkeypatch.undo()
    pixels = {path: path.stat().st_mtime_ns for path in (tmp_path / "hats").rglob("Npix=*.parquet")}
    assert write_hats(predicted, tmp_path / "hats", verbose=0) == 299  # all that have a position
    assert pixels == {path: path.stat().st_mtime_ns for path in (tmp_path / "hats").rglob("Npix=*.parquet")}
    rows = pq.read_table(next(iter(pixels)))["row"].to_pylist()
    assert sorted(rows) == [row for row in range(300) if row != 5]


def _stopped(*args, **options):
    raise KeyboardInterrupt


def test_what_cannot_become_a_catalog_is_refused_before_anything_is_written(predicted, tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"has no _manifest.json; expected a folder that predict_catalog wrote"
    ):
        write_hats(tmp_path, tmp_path / "hats")
    with pytest.raises(ValueError, match="expected a name of letters, digits"):
        write_hats(predicted, tmp_path / "my hats")
    unfinished = shutil.copytree(predicted, tmp_path / "unfinished")
    manifest = json.loads((unfinished / "_manifest.json").read_text())
    manifest["progress"]["rows_done"] = 128
    (unfinished / "_manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match="has 128 of 300 rows; finish predict_catalog first"):
        write_hats(unfinished, tmp_path / "hats")
    assert not (tmp_path / "hats").exists()


def test_predictions_need_positions_and_an_empty_place(survey, predicted, tmp_path):
    predict_catalog(survey.model, survey.catalog[:3], tmp_path / "nowhere", columns=["object_id"], verbose=0)
    with pytest.raises(ValueError, match="has no column 'ra', 'dec'; pass them among columns="):
        write_hats(tmp_path / "nowhere", tmp_path / "hats")
    pytest.importorskip("hats_import")
    with pytest.raises(FileExistsError, match="has files that are not of these predictions; take another folder"):
        write_hats(predicted, tmp_path / "nowhere")
