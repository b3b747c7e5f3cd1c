"""Where pieces of a catalog are predicted: here, in other processes of this machine, or on a cluster of Dask."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import joblib

from .._heap import give_freed_memory_back, keep_freed_memory
from ..posteriors import optional_import
from ._model import Model
from ._pieces import Piece
from ._predict import Task, predict_rows

_log = logging.getLogger(__name__)

Done = Iterator[tuple[Piece, Any]]  # a piece, and its table


def here(model: Model, pieces: Iterable[Piece], task: Task, tick: Callable[[int], Any]) -> Done:
    """One after the other, in this process."""
    for piece in pieces:
        yield piece, predict_rows(model, piece.read(), piece.first, task, tick)


def _by_worker(model: Model, piece: Piece, task: Task):
    """Read a piece and predict it, on one processor: a second thread is for waiting."""
    return predict_rows(model, piece.read(), piece.first, task, ahead=model.fetcher.source.waits)


# ---- processes of this machine


def in_processes(model: Model, pieces: Iterable[Piece], task: Task, n_jobs: int, tick: Callable[[int], Any]) -> Done:
    """In `n_jobs` processes, each of which opens the model once."""
    with TemporaryDirectory(prefix="galestim-model-") as folder:
        path = Path(folder, "model.pickle")
        path.write_bytes(pickle.dumps(model))
        # returned as they are ready, and few at a time are under way: memory does not grow with the catalog
        parallel = joblib.Parallel(n_jobs, backend="loky", return_as="generator_unordered", pre_dispatch="2*n_jobs")
        for piece, table in parallel(joblib.delayed(_with_model_at)(path, piece, task) for piece in pieces):
            tick(len(piece))
            yield piece, table


def _with_model_at(path: Path, piece: Piece, task: Task):
    return piece, _by_worker(_opened(path), piece, task)


@lru_cache(maxsize=1)
def _opened(path: Path) -> Model:
    return pickle.loads(path.read_bytes())


# ---- Dask


def on_cluster(client, model: Model, pieces: Iterable[Piece], task: Task, tick: Callable[[int], Any]) -> Done:
    """By the workers of `client`, each of which is given the model once, also those that start later."""
    distributed = optional_import("distributed", "client=")
    check_workers(client)
    plugin = _model_plugin(distributed)(model)
    client.register_plugin(plugin, name=plugin.name)
    _log.info("Dask's dashboard is at %s", client.dashboard_link)
    waiting, ready = iter(pieces), distributed.as_completed()
    under_way: dict[Any, Piece] = {}
    try:
        while True:
            for piece in islice(waiting, max(0, 2 * len(client.nthreads()) - len(under_way))):
                future = client.submit(_with_model_of_worker, plugin.name, piece, task, pure=False)
                under_way[future] = piece
                ready.add(future)
            if not under_way:
                return
            future = next(ready)
            piece, table = under_way.pop(future), future.result()
            future.release()
            tick(len(piece))
            yield piece, table
    finally:
        client.cancel(list(under_way))
        client.unregister_worker_plugin(plugin.name)


def check_workers(client) -> None:
    """Refuse workers in which several threads would share a model, and a client without workers."""
    threads = client.nthreads()
    if not threads:
        raise ValueError(
            "client has no workers; expected some, as of LocalCluster(n_workers=4, threads_per_worker=1)."
        )
    if max(threads.values()) > 1:
        raise ValueError(
            f"client has workers with {max(threads.values())} threads; expected threads_per_worker=1, and as many "
            "workers as there are to be models."
        )


def _model_plugin(distributed) -> type:
    """Plugin that keeps a model on each worker; a class of Dask, made only where there is Dask."""

    class ModelOfWorker(distributed.WorkerPlugin):
        def __init__(self, model: Model):
            self.pickled, self.name = pickle.dumps(model), f"galestim-model-{id(model):x}"

        def setup(self, worker):
            worker.galestim_models = {self.name: pickle.loads(self.pickled)}
            keep_freed_memory()

        def teardown(self, worker):
            worker.galestim_models = {}
            give_freed_memory_back()

    return ModelOfWorker


def _with_model_of_worker(name: str, piece: Piece, task: Task):
    worker = optional_import("distributed", "client=").get_worker()
    return _by_worker(worker.galestim_models[name], piece, task)
