"""Training examples as a network has digested them: it looks at an image once, and not in every epoch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from sklearn.utils import gen_batches

from ..networks import ImageNetwork, Inputs
from ._looks import Look, LookFiles
from ._redraw import RedrawnExamples
from ._training import Examples

AT_A_TIME = 256  # images
MAX_BYTES = 2**30  # beyond which digests of stored images are not kept
MAX_MEMORY = 2**31  # bytes of looks that are kept to be replayed
Digest = Callable[[Inputs], torch.Tensor | None]


def digested(
    examples: Examples, network: ImageNetwork, device, first: int = 1, files: LookFiles | None = None
) -> Examples:
    """`examples` as digests, if the network makes them; those that are redrawn only if their looks are replayed.

    The training begins, or began before it was interrupted, with the epoch `first`.
    """

    @torch.no_grad()
    def digest(inputs: Inputs):
        return network.digest(**{name: tensor.to(device) for name, tensor in inputs.items()})

    replays = getattr(examples, "replays", 1)
    if isinstance(examples, RedrawnExamples) and replays == 1:
        return examples
    network.eval()
    some = digest(examples.batch(np.arange(min(2, len(examples))), 1)[0])
    if some is None:
        return examples
    if isinstance(examples, RedrawnExamples):
        return Replays(examples, digest, replays, first, files)
    return Digests(examples, digest) if len(examples) * some[0].nbytes <= MAX_BYTES else examples


class Digests(Examples):
    """Digests of stored images.

    Parameters
    ----------
    examples : Examples
    digest : callable
        From inputs to digests.
    """

    def __init__(self, examples: Examples, digest: Digest):
        super().__init__(examples.images, examples.rows, examples.labels, examples.dtype)
        self.digests, _ = _look(examples, digest, 0)

    def batch(self, which, epoch):
        labels = {name: torch.from_numpy(values[which]) for name, values in self.labels.items()}
        return {"digest": torch.from_numpy(self.digests[which])}, labels


class Replays(Examples):
    """Digests of redrawn images: a new look in each epoch, and some of the looks before, which are replayed.

    All looks are kept, up to `MAX_MEMORY`, and the replayed ones are drawn anew in each epoch: so the last epochs,
    which settle the network, learn from the looks of the whole training, and none is learned by heart. The first
    epoch draws as many looks as an epoch has, so that every epoch is as long.

    Parameters
    ----------
    examples : RedrawnExamples
    digest : callable
        From inputs to digests.
    n_looks : int
        How many looks at each row an epoch has.
    first : int, default=1
        Epoch with which the training begins.
    files : LookFiles, default=None
        Where looks are kept beyond an interruption.
    """

    def __init__(
        self,
        examples: RedrawnExamples,
        digest: Digest,
        n_looks: int,
        first: int = 1,
        files: LookFiles | None = None,
    ):
        super().__init__(examples.images, examples.rows, examples.labels, examples.dtype)
        self.examples, self.digest, self.n_looks, self.first, self.files = examples, digest, n_looks, first, files
        self.memory: dict[int, Look] = {}  # the oldest first
        self.looks: list[Look] = []  # those of this epoch

    def __len__(self):
        return self.n_looks * len(self.rows)

    def begin(self, epoch):
        """Draw what is new in an epoch, and choose what is replayed."""
        latest = epoch + self.n_looks - 1
        new = self._look(latest)
        n_kept = max(MAX_MEMORY // _bytes(new), self.n_looks)
        kept = range(max(self.first, latest + 1 - n_kept), latest)
        self.memory = {**{number: self._look(number) for number in kept}, latest: new}
        if self.files is not None:
            self.files.keep(self.memory.keys())
        replayed = np.random.default_rng(epoch).choice(kept, self.n_looks - 1, replace=False)
        self.looks = [self.memory[number] for number in (*replayed, latest)]

    def _look(self, number: int) -> Look:
        """That of an epoch: from memory, from its file, or drawn."""
        if number in self.memory:
            return self.memory[number]
        kept = None if self.files is None else self.files.load(number)
        if kept is not None:
            return kept
        look = _look(self.examples, self.digest, number)
        if self.files is not None:
            self.files.save(number, look)
        return look

    def batch(self, which, epoch):
        look, row = np.divmod(which, len(self.rows))
        digests = np.empty((len(which), self.looks[0][0].shape[1]), dtype=self.dtype)
        labels = {name: np.empty((len(which), *v.shape[1:]), v.dtype) for name, v in self.looks[0][1].items()}
        for number, (seen, known) in enumerate(self.looks):
            here = look == number
            digests[here] = seen[row[here]]
            for name, values in labels.items():
                values[here] = known[name][row[here]]
        return {"digest": torch.from_numpy(digests)}, {name: torch.from_numpy(v) for name, v in labels.items()}


def _bytes(look: Look) -> int:
    digests, labels = look
    return digests.nbytes + sum(values.nbytes for values in labels.values())


def _look(examples: Examples, digest: Digest, epoch: int) -> Look:
    """Digests and labels of all rows, as they are in an epoch."""
    digests, labels = [], []
    for rows in gen_batches(len(examples), AT_A_TIME):
        inputs, known = examples.batch(np.arange(len(examples))[rows], epoch)
        made = digest(inputs)
        assert made is not None  # as it was for the first of them
        digests.append(made.cpu().numpy())
        labels.append({name: tensor.numpy() for name, tensor in known.items()})
    return np.concatenate(digests), {name: np.concatenate([part[name] for part in labels]) for name in labels[0]}
