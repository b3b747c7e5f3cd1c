"""The command line: ``galestim demo | fetch | fit | predict | report | info``, also ``python -m galestim``."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import click

from . import __version__

FAILED, USAGE, SOME_FAILED, INTERRUPTED = 1, 2, 3, 130  # exit codes, besides 0

RECIPE = """\b
  [catalog]
  file = "catalog.parquet"                # CSV, FITS, Parquet, VOTable
  names = { ra = "ALPHA_J2000" }          # where columns have uncommon names
\b
  [images]                                # a source of galestim.cutouts, with its parameters
  class = "FitsMosaic"
  paths = "field_r.fits"
  noise = 0.1
  psf = { class = "GaussianPSF", fwhm = 0.8 }
\b
  [cutouts]                               # parameters of CutoutFetcher
  npix = 64
\b
  [model]                                 # a regressor of galestim, with its parameters
  class = "PosteriorRegressor"
  network = { class = "HarmonicNet", hidden = 64 }
  target_transforms = ["log", "log"]
  random_state = 0
\b
  [targets]
  columns = ["half_light_radius", "flux"]
  cv = 5                                  # scores of a cross-validation; leave it out for none"""

EPILOG = (
    "Exit codes: 0 done; 1 refused or failed, with the reason; 2 wrong arguments; 3 done, but rows have failed and \
may be tried again; 130 interrupted."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}, epilog=EPILOG)
@click.version_option(__version__, prog_name="galestim", message="%(prog)s %(version)s")
@click.option("-v", "--verbose", is_flag=True, help="Tell on standard error what is going on.")
def galestim(verbose: bool) -> None:
    """Estimate parameters of galaxies from their images: spin, structure, with joint posteriors.

    A catalog has the positions. `galestim fit` trains a model on galaxies whose parameters are known, `galestim
    report` tells whether it can be trusted, and `galestim predict` applies it to a whole survey. Start with `galestim
    demo`.
    """
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )


FILE = click.Path(exists=True, path_type=Path)
NEW = click.Path(path_type=Path)
as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
images = click.option(
    "--images",
    "images_file",
    type=FILE,
    help="Recipe with [images] and [cutouts], where they are not those of the model's training.",
)


@galestim.command()
@click.option("--output", type=NEW, default=Path("galestim-demo"), show_default=True, help="Folder for the results.")
@click.option("--galaxies", type=int, default=1500, show_default=True, help="How many to simulate, at least 50.")
@click.option("--epochs", type=int, default=12, show_default=True, help="Passes over the training galaxies.")
@click.option("--seed", type=int, default=0, show_default=True)
def demo(output: Path, galaxies: int, epochs: int, seed: int) -> None:
    """Simulate galaxies, learn their spin and structure, draw and save the results."""
    if galaxies < 50:
        raise click.UsageError(f"--galaxies {galaxies}; expected at least 50, of which a quarter are for testing")
    from ._demo import run_demo  # torch is loaded only when there is something to do

    run_demo(output, galaxies, epochs, seed)


@galestim.command()
@click.argument("recipe", type=FILE)
@click.argument("catalog", type=FILE, required=False)
@click.option("--report", "report_file", type=NEW, help="Where to write what became of each row, as .csv, .fits, …")
@as_json
def fetch(recipe: Path, catalog: Path | None, report_file: Path | None, as_json: bool) -> None:
    """Fetch the images of a catalog into the cache, of a source that asks a service.

    RECIPE has the sections [images] and [cutouts]; CATALOG is that of its [catalog], unless given. What is in the
    cache is not asked for again, so an interrupted run goes on where it was.
    """
    from ._cli.commands import fetch as run

    say(run(recipe, catalog, report_file), as_json, "{ok} of {rows} images; {missing} missing, {failed} failed")


@galestim.command(epilog=f"A recipe:\n\n{RECIPE}")
@click.argument("recipe", type=FILE)
@click.option("--out", type=NEW, required=True, help="The model: .safetensors, without code; or .joblib, a pickle.")
@as_json
def fit(recipe: Path, out: Path, as_json: bool) -> None:
    """Train a model as RECIPE says, a TOML file.

    Every key, column and file is checked, and some images are fetched, before the training begins. Galaxies without
    an image are left out.

    The state of the training is kept beside the model, every ten minutes (checkpoint_minutes in [model]) until it is
    done: interrupt it, or let it crash, and the same command goes on from there. If RECIPE has no random_state, it
    is 0.
    """
    from ._cli.commands import fit as run

    say(run(recipe, out), as_json, "{model}: trained on {galaxies} galaxies; {missing} had no image")


@galestim.command()
@click.argument("model")
@click.argument("catalog", type=FILE)
@click.option("--out", type=NEW, required=True, help="Folder of the output; an interrupted run goes on in it.")
@images
@click.option("--column", "columns", multiple=True, help="Column of the catalog to keep; may be repeated.")
@click.option("--name", "names", multiple=True, help="Which column is which, as ra=ALPHA_J2000; may be repeated.")
@click.option("--full-posterior", is_flag=True, help="Write all of the posteriors, not only summaries.")
@click.option("--chunk-size", type=int, default=8192, show_default=True, help="Rows of a file of the output.")
@click.option("--jobs", "n_jobs", type=int, help="Processes on this machine; -1 for all processors.")
@click.option("--scheduler", help="Address of a scheduler of Dask, as tcp://node:8786, to predict on its workers.")
@click.option("--no-resume", is_flag=True, help="Refuse a folder in which there is an earlier run.")
@as_json
def predict(model, catalog, out, images_file, columns, names, no_resume, as_json, **options) -> None:
    """Predict a whole catalog with MODEL, into Parquet files.

    MODEL is a file that `galestim fit` wrote (.joblib only from people you trust: it is code), or the name of a
    model that comes with galestim. CATALOG is a Parquet, FITS or CSV file, or a folder of Parquet files.

    Memory does not grow with the catalog. Interrupt it, or let it crash: the same command goes on where it was.
    Rows without a prediction are in the output, with the reason.
    """
    from ._cli.commands import predict as run

    options["names"] = dict(_named(pair) for pair in names)
    if columns:
        options["columns"] = columns
    found = run(model, catalog, out, images_file, resume=not no_resume, **options)
    say(found, as_json, "{out}: {rows} rows; {ok} ok, {missing} missing, {failed} failed; {resumed} were done before")


@galestim.command()
@click.argument("model")
@click.argument("catalog", type=FILE)
@click.option("--out", type=NEW, default=Path("report.html"), show_default=True, help="Page to write.")
@images
@click.option("--seed", type=int, default=0, show_default=True)
@as_json
def report(model: str, catalog: Path, out: Path, images_file: Path | None, seed: int, as_json: bool) -> None:
    """Measure whether the posteriors of MODEL can be trusted.

    CATALOG has galaxies that it was not trained on, and their true parameters, in columns that are named as the model
    names its targets.
    """
    from ._cli.commands import report as run

    found = run(model, catalog, out, images_file, seed)
    n_met = sum(check["met"] for check in found["checks"])
    say(
        {**found, "met": n_met, "of": len(found["checks"])},
        as_json,
        "{report}: {met} of {of} checks met, of {galaxies} galaxies",
    )


@galestim.command()
@click.argument("model")
@as_json
def info(model: str, as_json: bool) -> None:
    """Tell what MODEL is: its targets and their units, its network, what it was trained on, its card."""
    from ._cli.models import described

    found = described(model)
    say(found, as_json, "\n".join(f"{key}: {{{key}}}" for key in found))


# ---- what is said, and how it ends


def _named(pair: str) -> tuple[str, str]:
    quantity, equals, column = pair.partition("=")
    if not equals:
        raise click.UsageError(f"--name {pair}; expected such as ra=ALPHA_J2000")
    return quantity, column


def say(found: dict[str, Any], as_json: bool, sentence: str) -> None:
    """Print the result; with rows that have failed, end with the exit code that says so."""
    click.echo(json.dumps(found, ensure_ascii=False) if as_json else sentence.format_map(found))
    if found.get("failed"):
        click.echo("Run this again to try once more what has failed.", err=True)
        raise SystemExit(SOME_FAILED)


def main(arguments: list[str] | None = None) -> None:
    """Run the command that the arguments name; see ``galestim --help``."""
    try:
        galestim.main(arguments, prog_name="galestim", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(USAGE)
    except (KeyboardInterrupt, click.Abort):
        click.echo("Interrupted; what is done is kept, and the same command goes on from there.", err=True)
        sys.exit(INTERRUPTED)
    except (ValueError, OSError, ImportError, RuntimeError, TypeError) as error:
        logging.getLogger(__name__).info("What went wrong", exc_info=error)
        click.echo(f"galestim: {error}", err=True)
        sys.exit(FAILED)


if __name__ == "__main__":
    main()
