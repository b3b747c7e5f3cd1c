"""Checkpoints of a fit: its whole state in one file, from which it goes on at the same step.

The file is of safetensors; what is no tensor is JSON in its metadata, so that nothing in it can be run. It is written
whole or not at all. Looks at redrawn galaxies, which never change, lie beside it, each in a file of its own.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import nn

from .._io.files import locked_folder, read_whole, written_whole
from .._randomness import generator_states, set_generator_states
from ._looks import LookFiles
from ._nested import flattened, restored

FILE = "checkpoint.safetensors"

logger = logging.getLogger(__name__)


class Identity(Protocol):
    """What tells one fit from another; see `FitIdentity`."""

    def told(self) -> dict[str, Any]: ...

    def require(self, found: dict[str, Any], folder: Path) -> None: ...


class NoCheckpoint:
    """What a fit without a checkpoint knows of itself.

    Attributes
    ----------
    history : list of dict
        Epochs of the members that are trained.
    member : int
        Number of the one that is next, or under way.
    """

    def __init__(self) -> None:
        self.history: list[dict] = []
        self.member = 0

    def take(self) -> dict | None:
        """State of the training that was under way."""
        return None

    def is_due(self) -> bool:
        """Whether it is time to write."""
        return False

    def write(self, training: dict | None) -> None:
        """Write the state, with that of the training of this member; None if it is over."""

    def looks(self) -> LookFiles | None:
        """Files of what this member has looked at."""
        return None

    def end_member(self, history: list[dict]) -> None:
        """Go on to the next member, when one is trained."""
        self.history, self.member = self.history + history, self.member + 1


@contextmanager
def checkpoint_in(folder: Path, minutes: float, identity: Identity, network: nn.Module) -> Iterator[Checkpoint]:
    """Checkpoint of a fit, in a folder that nobody else uses meanwhile.

    Raises
    ------
    ValueError
        If the folder has that of another fit, or it is damaged.
    BlockingIOError
        If another fit is using the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with locked_folder(folder):
        checkpoint = Checkpoint(folder, minutes, identity, network)
        checkpoint.read()
        try:
            yield checkpoint
        except FloatingPointError:  # it would diverge again
            checkpoint.remove()
            raise


class Checkpoint(NoCheckpoint):
    """State of a fit, on disk.

    Parameters
    ----------
    folder : Path
    minutes : float
        How often it is written.
    identity : Identity
        What the fit is of.
    network : nn.Module
        All members of an ensemble.
    """

    def __init__(self, folder: Path, minutes: float, identity: Identity, network: nn.Module):
        super().__init__()
        self.folder, self.minutes, self.identity, self.network = folder, minutes, identity, network
        self.path = folder / FILE
        self._under_way: dict | None = None  # state of the training of this member, as it was read
        self._generators: dict[str, torch.Tensor] = {}
        self._due = 0.0  # the first one at once: a folder that cannot be written to is found at once

    def read(self) -> None:
        """Be in the state that the file has, if there is one."""
        if not self.path.exists():
            return
        cure = f"Expected a checkpoint of galestim; delete {self.folder} to begin anew."
        with read_whole(self.path, cure), safe_open(self.path, framework="pt") as file:
            told = json.loads(file.metadata()["galestim"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            state = restored(told["state"], tensors)
        self.identity.require(told["identity"], self.folder)
        self.network.load_state_dict(state["network"])
        self.history, self.member, self._under_way = state["history"], state["member"], state["training"]
        self._generators = state["generators"]
        self._due = time.monotonic() + 60 * self.minutes
        logger.info("%s: going on after epoch %d", self.folder, len((self._under_way or {}).get("epochs", [])))

    def take(self):
        state, self._under_way = self._under_way, None
        if state is not None:
            set_generator_states(self._generators)
        return state

    def is_due(self):
        return time.monotonic() >= self._due

    def write(self, training):
        state = {
            "network": self.network.state_dict(),
            "history": self.history,
            "member": self.member,
            "training": training,
            "generators": generator_states(),
        }
        try:
            self._write(state)
        except (OSError, SafetensorError) as error:
            if not self.path.exists():  # later, a full disk does not end the training
                raise OSError(f"{self.path} could not be written: {error}. Make room, or name another.") from error
            logger.warning("%s is that of an earlier step: it could not be written: %s", self.path, error)
        self._due = time.monotonic() + 60 * self.minutes

    def _write(self, state: dict) -> None:
        tensors: dict[str, Any] = {}
        told = {"identity": self.identity.told(), "state": flattened(state, "state", tensors)}
        with written_whole(self.path, sync=True) as finished:
            save_file(tensors, finished, {"galestim": json.dumps(told)})

    def end_member(self, history):
        self.looks().keep(())
        super().end_member(history)
        self.write(None)

    def looks(self):
        return LookFiles(self.folder, self.member)

    def remove(self) -> None:
        """Delete it."""
        self.looks().keep(())
        self.path.unlink(missing_ok=True)
