import sys
from types import SimpleNamespace

import pytest

from galestim._progress import progress_bar


class Kernel:
    """A notebook, as IPython tells of it."""

    def __init__(self, config):
        self.get_ipython = lambda: SimpleNamespace(config=config)


@pytest.mark.parametrize(
    ("config", "verbose", "shown"),
    [({"IPKernelApp": {}}, 1, True), ({"IPKernelApp": {}}, 0, False), ({"TerminalIPythonApp": {}}, 1, False)],
)
def test_shows_in_notebooks_and_not_in_logs(monkeypatch, capsys, config, verbose, shown):
    pytest.importorskip("tqdm.auto")
    monkeypatch.setitem(sys.modules, "IPython", Kernel(config))
    with progress_bar(3, "epoch", verbose) as bar:
        bar.update(3)
    assert ("3/3" in capsys.readouterr().err) == shown


def test_a_terminal_shows_it(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress_bar(2, "cutout", verbose=1) as bar:
        bar.update(2)
    assert "2/2" in capsys.readouterr().err
