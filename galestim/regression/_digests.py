"""Training examples as a network has digested them: it looks at an image once, and not in every epoch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from sklearn.utils import gen_batches

from ..networks import ImageNetwork, Inputs
from ._redraw import RedrawnExamples
from ._training import Examples, Labels

AT_A_TIME = 256  # images
MAX_BYTES = 2**30  # beyond which digests of stored images are not kept
Digest = Callable[[Inputs], torch.Tensor | None]


def digested(examples: Examples, network: ImageNetwork, device) -> Examples:
    """`examples` as digests, if the network makes them; those that are redrawn only if their looks are replayed."""

    @torch.no_grad()
    def digest(inputs: Inputs):
        return network.digest(**{name: tensor.to(device) for name, tensor in inputs.items()})

    replays = getattr(examples, "replays", 1)
    if isinstance(examples, RedrawnExamples) and replays == 1:
        return examples
    network.eval()
    first = digest(examples.batch(np.arange(min(2, len(examples))), 1)[0])
    if first is None:
        return examples
    if isinstance(examples, RedrawnExamples):
        return Replays(examples, digest, replays)
    return Digests(examples, digest) if len(examples) * first[0].nbytes <= MAX_BYTES else examples


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
    """Digests of redrawn images: those of an epoch, and of some epochs before, which are replayed.

    The first epoch draws all of them, so that every epoch is as long.

    Parameters
    ----------
    examples : RedrawnExamples
    digest : callable
        From inputs to digests.
    n_looks : int
        How many looks at each row are kept.
    """

    def __init__(self, examples: RedrawnExamples, digest: Digest, n_looks: int):
        super().__init__(examples.images, examples.rows, examples.labels, examples.dtype)
        self.examples, self.digest, self.n_looks = examples, digest, n_looks
        self.looks: list = []  # digests and labels of each, the oldest first

    def __len__(self):
        return self.n_looks * len(self.rows)

    def begin(self, epoch):
        """Draw what is new in an epoch."""
        new = range(epoch, epoch + self.n_looks) if not self.looks else [epoch + self.n_looks - 1]
        self.looks += [_look(self.examples, self.digest, number) for number in new]
        self.looks = self.looks[-self.n_looks :]

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


def _look(examples: Examples, digest: Digest, epoch: int) -> tuple[np.ndarray, Labels]:
    """Digests and labels of all rows, as they are in an epoch."""
    digests, labels = [], []
    for rows in gen_batches(len(examples), AT_A_TIME):
        inputs, known = examples.batch(np.arange(len(examples))[rows], epoch)
        made = digest(inputs)
        assert made is not None  # as it was for the first of them
        digests.append(made.cpu().numpy())
        labels.append({name: tensor.numpy() for name, tensor in known.items()})
    return np.concatenate(digests), {name: np.concatenate([part[name] for part in labels]) for name in labels[0]}
