"""The command line: ``galestim demo``, also ``python -m galestim demo``."""

from __future__ import annotations

import argparse
from pathlib import Path

from . import __version__


def main(arguments: list[str] | None = None) -> None:
    """Run the command that the arguments name; see ``galestim --help``."""
    parser = argparse.ArgumentParser(prog="galestim", description="Estimators for galaxy images.")
    parser.add_argument("--version", action="version", version=f"galestim {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser(
        "demo", help="simulate galaxies, learn their spin and structure, draw and save the results"
    )
    demo.add_argument("--output", type=Path, default=Path("galestim-demo"), help="folder for the results")
    demo.add_argument("--galaxies", type=int, default=1500, help="how many galaxies to simulate (at least 50)")
    demo.add_argument("--epochs", type=int, default=12, help="passes over the training galaxies")
    demo.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    if options.galaxies < 50:
        parser.error(f"--galaxies {options.galaxies}; expected at least 50, of which a quarter are for testing")
    from ._demo import run_demo  # torch is loaded only when there is something to do

    run_demo(options.output, options.galaxies, options.epochs, options.seed)


if __name__ == "__main__":
    main()
