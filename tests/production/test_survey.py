import json
import os
import pickle
import shutil
import threading
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import QTable
from sklearn.model_selection import GridSearchCV

from galestim import Catalog, make_pipeline, predict_catalog
from galestim._io.files import locked_folder
from galestim.calibration import RecalibratedRegressor
from galestim.cutouts import FitsMosaic, SkyServer
from galestim.posteriors import Posterior
from galestim.production import _predict, read_predictions
from galestim.production._model import Model
from galestim.production._pieces import Piece
from galestim.production._rows import MemoryRows
from galestim.production._survey import _task
from galestim.production._workers import _by_worker


def parts_of(folder):
    """Bytes of every partition."""
    return {path.name: path.read_bytes() for path in sorted(folder.glob("part-*.parquet"))}


@pytest.fixture(scope="module")
def whole(survey, tmp_path_factory):
    """Predictions of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    done = predict_catalog(survey.model, survey.folder / "catalog.parquet", folder, chunk_size=70)
    return folder, done


def test_every_row_is_there_once_in_order_and_as_the_estimator_predicts_it(survey, whole):
    folder, done = whole
    table = read_predictions(folder)
    assert (done.n_rows, done.n_ok, done.n_missing, done.n_failed, done.n_resumed) == (300, 299, 1, 0, 0)
    assert table["row"].tolist() == list(range(300))
    assert table["object_id"].tolist() == survey.catalog["object_id"].tolist()
    np.testing.assert_array_equal(table["ra"].value, survey.catalog["ra"])
    posterior = survey.model.predict_posterior(survey.catalog)
    for j, name in enumerate(posterior.target_names):
        column = table[f"{name}_mean"]
        np.testing.assert_allclose(getattr(column, "value", column), posterior.mean()[:, j], rtol=2e-5)
        low, high = posterior.credible_interval(0.6827)[:, j].T
        ends = [
            np.asarray(getattr(table[f"{name}_{end}_68"], "value", table[f"{name}_{end}_68"]))
            for end in ("lower", "upper")
        ]
        np.testing.assert_allclose(ends, [low, high], rtol=2e-5)
    np.testing.assert_array_equal(table["in_domain"], survey.model.in_domain(survey.catalog))


def test_units_are_those_of_catalog_and_targets(whole):
    table = read_predictions(whole[0], columns=["ra", "half_light_radius_median", "flux_median"])
    assert [str(getattr(table[name], "unit", None)) for name in table.colnames] == ["deg", "arcsec", "None"]
    schema = pq.read_schema(whole[0] / "part-000000.parquet")
    assert schema.field("half_light_radius_std").metadata == {b"unit": b"arcsec"}
    assert schema.field("flux_std").type == pa.float32()


def test_what_has_no_image_is_a_row_with_the_reason(whole):
    last = read_predictions(whole[0])[-1]
    assert last["status"] == "missing"
    assert last["reason"].startswith("G00299 at ra=")
    assert (last["in_domain"], last["domain_reason"]) == (False, "missing")
    assert np.isnan(last["flux_mean"])


def test_any_reader_of_parquet_takes_the_folder(whole):
    table = pq.read_table(whole[0])
    assert table.num_rows == 300
    assert table.schema.field("ra").metadata == {b"unit": b"deg"}


@pytest.mark.parametrize("name", ["catalog.fits", "catalog.csv", "in memory", "folder"])
def test_the_kind_of_the_catalog_changes_nothing(survey, whole, tmp_path, name):
    catalog = survey.folder / name
    if name == "in memory":
        catalog = survey.catalog
    elif name == "folder":
        catalog = tmp_path / "catalog"
        (catalog / "sub").mkdir(parents=True)
        survey.catalog[:210].write(catalog / "a.parquet")
        survey.catalog[210:].write(catalog / "sub" / "b.parquet")
        (catalog / "_metadata").write_bytes(b"")
    predict_catalog(survey.model, catalog, tmp_path / "out", chunk_size=70)
    assert parts_of(tmp_path / "out") == parts_of(whole[0])


def test_processes_change_nothing(survey, whole, tmp_path):
    predict_catalog(survey.model, survey.folder / "catalog.parquet", tmp_path, chunk_size=70, n_jobs=2)
    assert parts_of(tmp_path) == parts_of(whole[0])


def test_blocks_that_are_fetched_ahead(survey, tmp_path, monkeypatch):
    monkeypatch.setattr("galestim.production._predict.BLOCK", 64)
    predict_catalog(survey.model, survey.folder / "catalog.parquet", tmp_path, chunk_size=300)
    blocked = read_predictions(tmp_path)
    posterior = survey.model.predict_posterior(survey.catalog)
    np.testing.assert_allclose(blocked["flux_mean"], posterior.mean()[:, 1], rtol=2e-5)
    assert blocked["row"].tolist() == list(range(300))


@pytest.mark.parametrize("waits", [False, True])
def test_a_worker_fetches_ahead_only_what_it_waits_for(survey, waits, monkeypatch):
    threads = []

    def fetched(*args):
        threads.append(threading.current_thread() is threading.main_thread())
        return images_of(*args)

    images_of = _predict._fetched
    monkeypatch.setattr(_predict, "BLOCK", 7)
    model, table = Model.of(survey.points), MemoryRows(survey.catalog[:14])
    task = _task(model, [table], ["object_id"], {}, False)
    task = replace(task, schema=_predict.tried(model, survey.catalog[:2], task)[0])
    monkeypatch.setattr(_predict, "_fetched", fetched)
    monkeypatch.setattr(FitsMosaic, "waits", waits)
    _by_worker(model, Piece(0, 0, table, 0, 14), task)
    assert threads == [not waits] * 2


def test_only_images_at_addresses_are_waited_for():
    assert not FitsMosaic({"g": ["a.fits", Path("b.fits")], "r": "c_*.fits"}).waits
    assert FitsMosaic({"g": ["a.fits", "https://survey.example.org/b.fits"]}).waits
    assert SkyServer().waits


def test_full_posteriors_are_files_of_posteriors(survey, tmp_path):
    predict_catalog(survey.model, survey.catalog, tmp_path, chunk_size=200, full_posterior=True)
    found = Posterior.read(tmp_path / "part-000001.parquet")
    expected = survey.model.predict_posterior(survey.catalog[200:])
    np.testing.assert_allclose(found.means, expected.means, rtol=1e-5)
    assert found.ids.tolist() == expected.ids.tolist()
    assert found.units == expected.units
    assert "means" not in read_predictions(tmp_path).colnames


def test_columns_of_the_catalog_go_along(survey, tmp_path):
    table = survey.catalog[:20]
    table["tract"] = np.arange(20)
    table["band"] = ["r"] * 20
    predict_catalog(survey.model, table, tmp_path, columns=["tract", "band", "half_light_radius"])
    found = read_predictions(tmp_path)
    assert found.colnames[:6] == ["row", "tract", "band", "half_light_radius", "status", "reason"]
    assert found["tract"].tolist() == list(range(20))
    assert found["half_light_radius"].unit == "arcsec"


def test_columns_may_have_any_names(survey, tmp_path):
    table = QTable({"alpha": survey.catalog["ra"][:9], "delta": survey.catalog["dec"][:9]})
    names = {"ra": "alpha", "dec": "delta"}
    with pytest.raises(ValueError, match="no column for ra among 'alpha', 'delta'"):
        predict_catalog(survey.model, table, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert predict_catalog(survey.model, table, tmp_path / "out", names=names).n_ok == 9
    assert read_predictions(tmp_path / "out").colnames[:3] == ["row", "ra", "dec"]


# ---- other estimators


def test_point_estimates(survey, tmp_path):
    done = predict_catalog(survey.points, survey.catalog, tmp_path)
    found = read_predictions(tmp_path)
    assert done.n_ok == 299
    assert found.colnames[-1] == "half_light_radius"
    assert found["half_light_radius"].unit == "arcsec"
    expected = survey.points.predict(survey.catalog)
    np.testing.assert_allclose(found["half_light_radius"].value, expected[:, 0], rtol=1e-6)


def test_a_recalibrated_pipeline_and_a_search(survey, tmp_path):
    catalog = Catalog(survey.catalog[:-1])
    targets = survey.model.steps[-1][1].target_names_
    truth = QTable([np.asarray(catalog[name]) for name in targets], names=targets)
    recalibrated = RecalibratedRegressor(survey.model, cv="prefit").fit(catalog, truth)
    predict_catalog(recalibrated, catalog, tmp_path / "recalibrated", full_posterior=True)
    found = Posterior.read(tmp_path / "recalibrated" / "part-000000.parquet")
    np.testing.assert_allclose(found.draws, recalibrated.predict_posterior(catalog).draws, rtol=1e-5)
    search = GridSearchCV(survey.points, {"cnnregressor__max_epochs": [1]}, cv=2, error_score="raise")
    search.fit(catalog, np.asarray(catalog["half_light_radius"]))
    predict_catalog(search, catalog, tmp_path / "search")
    np.testing.assert_allclose(read_predictions(tmp_path / "search")["y"], search.predict(catalog), rtol=1e-6)


@pytest.mark.parametrize("estimator", ["bare", "images"])
def test_an_estimator_of_images_is_refused(survey, tmp_path, estimator):
    bare = survey.model.steps[-1][1]
    with pytest.raises(ValueError, match="expected a fitted pipeline that begins with a CutoutFetcher"):
        predict_catalog(bare if estimator == "bare" else make_pipeline(bare), survey.catalog, tmp_path)


# ---- rows that are broken


def test_broken_rows_are_rows_with_the_reason(survey, tmp_path):
    table = survey.catalog[:40]
    cells = {name: [str(cell) for cell in table[name]] for name in ("object_id", "ra", "dec")}
    cells["ra"][3], cells["dec"][7], cells["dec"][9] = "", "north", "95.5"
    QTable(cells).write(tmp_path / "broken.csv")
    done = predict_catalog(survey.model, tmp_path / "broken.csv", tmp_path / "out", chunk_size=16)
    found = read_predictions(tmp_path / "out")
    assert (done.n_ok, done.n_missing) == (37, 3)
    assert {row: found["reason"][row] for row in np.flatnonzero(found["status"] != "ok")} == {
        3: "ra is missing; expected degrees",
        7: "dec='north' is not an angle; expected a number, or text such as '12:30:49.4'.",
        9: "dec=95.5 is outside [-90, 90]; expected degrees",
    }
    assert np.isnan(found["ra"][3])
    assert found["object_id"][3] == "G00003"
    np.testing.assert_allclose(
        found["flux_mean"][10:20], survey.model.predict_posterior(table).mean()[10:20, 1], rtol=2e-5
    )


def test_a_corrupt_tile_stops_the_run_until_it_is_whole_again(survey, tmp_path):
    model = pickle.loads(pickle.dumps(survey.model))
    tiles = [tmp_path / "a.fits", tmp_path / "b.fits"]
    for tile, dec in zip(tiles, (2.0, 40.0)):
        shutil.copy(survey.folder / "field.fits", tile)
        fits.setval(tile, "CRVAL2", value=dec)
    model.steps[0][1].source.set_params(paths=[[str(tile) for tile in tiles]])
    catalog = survey.catalog[:60]
    catalog["dec"][30:] += 38.0
    out, options = tmp_path / "out", {"chunk_size": 10}
    assert predict_catalog(model, catalog, out, **options).n_ok == 60
    expected, sound = parts_of(out), tiles[1].read_bytes()
    for name in list(expected)[1:]:
        (out / name).unlink()
    tiles[1].write_bytes(sound[:-4000])
    with pytest.raises(
        RuntimeError, match=r"none of the last images could be had: ValueError: .*b\.fits cannot be read"
    ):
        predict_catalog(model, catalog, out, **options)
    assert json.loads((out / "_manifest.json").read_text())["progress"]["failed"] == 30
    assert set(read_predictions(out)["status"]) == {"ok", "failed"}
    with pytest.raises(
        ValueError, match=r"none of 60 galaxies that were tried, all over the catalog, .*b\.fits cannot be"
    ):
        predict_catalog(model, catalog, tmp_path / "other", **options)
    tiles[1].write_bytes(sound)
    assert predict_catalog(model, catalog, out, **options).n_resumed == 10
    assert parts_of(out) == expected


# ---- runs that follow one another


def test_a_second_run_does_what_is_missing_and_no_more(survey, whole, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(whole[0], out)
    (out / "part-000002.parquet").unlink()
    (out / "part-000003.parquet").write_bytes(b"PAR1 and no more")
    times = {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")}
    done = predict_catalog(survey.model, survey.folder / "catalog.parquet", out, chunk_size=70)
    assert (done.n_rows, done.n_resumed, done.n_ok) == (300, 160, 299)
    assert parts_of(out) == parts_of(whole[0])
    rewritten = {path.name for path in out.glob("part-*") if times.get(path.name) != path.stat().st_mtime_ns}
    assert rewritten == {"part-000002.parquet", "part-000003.parquet"}
    assert json.loads((out / "_manifest.json").read_text())["progress"] == {
        "rows": 300,
        "rows_done": 300,
        "ok": 299,
        "missing": 1,
        "failed": 0,
    }


def test_the_same_model_from_a_file_is_the_same_model(survey, whole, tmp_path):
    shutil.copytree(whole[0], tmp_path / "out")
    model = pickle.loads((survey.folder / "model.pickle").read_bytes())
    model.set_params(posteriorregressor__verbose=1, cutoutfetcher__memmap=False)  # changes no number
    done = predict_catalog(model, survey.folder / "catalog.parquet", tmp_path / "out", chunk_size=70)
    assert done.n_resumed == 300


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("model", "was begun with another model: "),
        ("passes", "was begun with another model: "),
        ("catalog", "was begun with another catalog: catalog.parquet: sha256 "),
        ("rows", "was begun with another catalog: catalog.parquet: rows 300, sha256 "),
        ("settings", "was begun with another settings: chunk_size 70 then, chunk_size 71 now"),
        ("columns", "was begun with another settings: "),
        ("version", "was begun with another galestim: 0.0.9 then, 0.1.0 now. Finish with that version"),
    ],
)
def test_runs_are_not_mixed(survey, whole, tmp_path, change, message):
    out, model, catalog, options = (
        tmp_path / "out",
        survey.model,
        survey.folder / "catalog.parquet",
        {"chunk_size": 70},
    )
    shutil.copytree(whole[0], out)
    before = parts_of(out)
    if change == "model":
        model = make_pipeline(model.steps[0][1], survey.points.steps[1][1])
    elif change == "passes":
        model = pickle.loads(pickle.dumps(model)).set_params(posteriorregressor__n_passes=3)
    elif change in ("catalog", "rows"):
        table = survey.catalog.copy() if change == "catalog" else survey.catalog[:299]
        table["flux"][0] += 1
        (tmp_path / "other").mkdir()
        catalog = tmp_path / "other" / "catalog.parquet"
        table.write(catalog)
    elif change == "settings":
        options = {"chunk_size": 71}
    elif change == "columns":
        options["columns"] = ["ra"]
    else:
        text = (out / "_manifest.json").read_text()
        (out / "_manifest.json").write_text(text.replace('"galestim": "0.1.0"', '"galestim": "0.0.9"'))
    with pytest.raises(ValueError, match="was begun with") as error:
        predict_catalog(model, catalog, out, **options)
    assert message in str(error.value)
    assert parts_of(out) == before


def test_other_versions_of_packages_are_told(survey, whole, tmp_path):
    shutil.copytree(whole[0], tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "_manifest.json").read_text())
    manifest["versions"]["torch"] = "1.0"
    (tmp_path / "out" / "_manifest.json").write_text(json.dumps(manifest))
    with pytest.warns(UserWarning, match=r"was begun with torch 1\.0, now torch .*; the last bits may differ"):
        predict_catalog(survey.model, survey.folder / "catalog.parquet", tmp_path / "out", chunk_size=70)


def test_a_catalog_that_changes_while_it_is_read(survey, tmp_path):
    path = tmp_path / "catalog.csv"
    shutil.copy(survey.folder / "catalog.csv", path)
    from galestim.production._pieces import pieces_of, tables_of

    pieces = pieces_of(tables_of(path), 100)
    assert len(next(pieces).read()) == 100
    path.write_text(path.read_text() + "G9,150,2,1,1\n")
    with pytest.raises(ValueError, match=r"catalog\.csv has changed since this run began"):
        next(pieces).read()


def test_two_runs_into_one_folder(survey, tmp_path):
    with locked_folder(tmp_path), pytest.raises(BlockingIOError, match="is in use by another run; wait for it"):
        predict_catalog(survey.model, survey.catalog, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_folders_of_others(survey, whole, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="file is a file; expected a folder"):
        predict_catalog(survey.model, survey.catalog, tmp_path / "file")
    (tmp_path / "mine.parquet").touch()
    with pytest.raises(FileExistsError, match=r"'mine\.parquet', and no manifest of predict_catalog"):
        predict_catalog(survey.model, survey.catalog, tmp_path)
    with pytest.raises(FileExistsError, match="pass resume=True"):
        predict_catalog(survey.model, survey.catalog, whole[0], chunk_size=70, resume=False)
    with pytest.raises(FileNotFoundError, match=r"has no _manifest\.json"):
        read_predictions(tmp_path)


# ---- refused before anything is written


def test_what_is_asked_wrongly(survey, tmp_path):
    def ask(catalog=survey.catalog, **options):
        return predict_catalog(survey.model, catalog, tmp_path / "out", **options)

    with pytest.raises(ValueError, match="columns has 'tract'; the catalog has 'object_id', 'ra'"):
        ask(columns=["tract"])
    with pytest.raises(ValueError, match=r"columns='ra'; expected a sequence of names, such as \('ra',\)"):
        ask(columns="ra")
    with pytest.raises(ValueError, match="the catalog has no rows"):
        ask(survey.catalog[:0])
    with pytest.raises(FileNotFoundError, match=r"nowhere\.parquet is neither a file nor a folder"):
        ask(tmp_path / "nowhere.parquet")
    with pytest.raises(ValueError, match="chunk_size"):
        ask(chunk_size=0)
    wrong = survey.catalog.copy()
    wrong["ra"].unit = "kg"
    with pytest.raises(ValueError, match="ra has the unit kg; expected an angle"):
        ask(wrong)
    assert not (tmp_path / "out").exists()


def test_a_catalog_without_any_image(survey, tmp_path):
    table = survey.catalog.copy()
    table["dec"] = 50.0
    with pytest.raises(
        ValueError, match="none of 32 galaxies that were tried, all over the catalog, has an image: G00000 at"
    ):
        predict_catalog(survey.model, table, tmp_path)
    assert list(tmp_path.iterdir()) == []  # so that one may try again


def test_a_folder_that_cannot_be_written_to(survey, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    out.chmod(0o555)
    as_root = os.geteuid() == 0
    if as_root:
        tmp_path.chmod(0o755)
        shutil.copy(survey.folder / "field.fits", tmp_path)
        os.seteuid(65534)
    try:
        with pytest.raises(PermissionError):
            predict_catalog(survey.model, survey.catalog, out)
    finally:
        if as_root:
            os.seteuid(0)
        out.chmod(0o755)
    assert list(out.iterdir()) == []


def test_warnings_of_single_rows_are_in_their_reason(survey, tmp_path):
    model = pickle.loads(pickle.dumps(survey.points))
    network = model.steps[-1][1].network_
    state = {
        name: value * np.float32(1e30) if value.is_floating_point() else value
        for name, value in network.state_dict().items()
    }
    network.load_state_dict(state)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        done = predict_catalog(model, survey.catalog[:5], tmp_path)
    assert done.n_missing == 5
    assert "no finite prediction" in read_predictions(tmp_path)["reason"][0]
