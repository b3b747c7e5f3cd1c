import pickle
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.append(str(Path(__file__).parent))
try:
    from _survey import catalog_of, point_pipeline, posterior_pipeline, write_mosaic
finally:
    sys.path.pop()

pytest.importorskip("pyarrow")


@pytest.fixture(scope="session")
def survey(tmp_path_factory):
    """Mosaic, catalog (300 rows, the last outside of the mosaic) in three formats, and a model in a pickle."""
    folder = tmp_path_factory.mktemp("survey")
    catalog = catalog_of(300)
    write_mosaic(folder / "field.fits", catalog)
    for name in ("catalog.parquet", "catalog.fits", "catalog.csv"):
        catalog.write(folder / name)
    model = posterior_pipeline(folder / "field.fits", catalog)
    (folder / "model.pickle").write_bytes(pickle.dumps(model))
    points = point_pipeline(folder / "field.fits", catalog)
    return SimpleNamespace(folder=folder, catalog=catalog, model=model, points=points)
