"""The progress bar of long work: on terminals and in notebooks, not in logs."""

from __future__ import annotations

import sys
from typing import Any


def progress_bar(total: int, unit: str, verbose: int, *, leave: bool = True, done: int = 0) -> Any:
    """A bar of tqdm, the one that fits the place, if `verbose` asks for it and someone can see it.

    `done` of the total were done before, and do not count for the rate.
    """
    from tqdm.auto import tqdm

    # disable=None is silent where there is no terminal, and a notebook is none to tqdm
    hidden = (False if _in_notebook() else None) if verbose else True
    return tqdm(total=total, unit=unit, leave=leave, initial=done, disable=hidden)


def _in_notebook() -> bool:
    """True if this process is the kernel of a notebook, which can be no place without IPython."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and "IPKernelApp" in shell.config
