"""Sphinx configuration: ``sphinx-build -W --keep-going -b html docs docs/_build/html``."""

import inspect
import os
import re
import shutil
import sys
from pathlib import Path

import galestim

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_extensions"))

project = "galestim"
author = "the galestim developers"
copyright = "2026, the galestim developers"
version = release = galestim.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_nb",
    "sphinx_design",
    "llms_txt",
    "mathml",
    "thumbnails",
    "internal_links",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]

# ---- the API, from docstrings

default_role = "py:obj"
autosummary_generate = True
autodoc_member_order = "bysource"
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False  # _templates/autosummary/class.rst lists them
numpydoc_validation_checks = {
    "all",  # but these:
    "ES01",  # one line may say it all
    "EX01",  # the example of a class shows its methods
    "GL01",  # summaries start beside the quotes
    "GL08",  # a base may say it
    "PR07",  # name and shape of a parameter may say it all
    "RT01",  # "Make the torch module that …" says what comes back
    "RT02",  # what comes back may have a name
    "RT03",  # its shape may say it all
    "RT04",  # a Bunch is described by the names in it
    "SA01",  # not everything has a relative
    "SS05",  # "Names of the columns" is taken for a verb
}


def skip_foreign(app, what, name, obj, skip, options):
    """Leave out what scikit-learn gives every estimator; a method without a text of its own has that of its base."""
    if type(obj).__name__ == "_tuplegetter":  # a field of a named tuple, which has its place in the class's docstring
        return True
    function = getattr(obj, "fget", obj)  # of a property
    if not callable(function):
        return None if options else True  # autosummary has no options, and its lists have properties alone
    ours = (getattr(function, "__module__", None) or "").startswith("galestim")
    return None if ours and inspect.getdoc(function) else True  # None: as Sphinx would


def escape_fitted_names(app, what, name, obj, options, lines):
    """Keep the type ``ndarray of shape (n_outputs_,)`` from being read as a hyperlink."""
    lines[:] = [re.sub(r"(?<=\w)_(?=,\))", r"\_", line) for line in lines]


# ---- guides and notebooks

source_suffix = {".rst": "restructuredtext", ".md": "myst-nb", ".ipynb": "myst-nb"}
myst_enable_extensions = ["colon_fence", "dollarmath"]
nb_execution_mode = "force"
# Whatever backend the shell asks for (CI: agg), the notebooks' pictures belong on their pages.
os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 600  # seconds a cell
nb_output_stderr = "remove"  # progress bars
# One thread: the networks shown are small, and on a busy machine a second one makes each fit ten times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Sphinx reads nothing outside its folder; this copy is ignored by git.
shutil.rmtree(HERE / "notebooks", ignore_errors=True)
shutil.copytree(HERE.parent / "notebooks", HERE / "notebooks", ignore=shutil.ignore_patterns(".*"))

# ---- looks

html_theme = "pydata_sphinx_theme"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["galestim.css"]
html_title = "galestim"
html_theme_options = {
    "show_prev_next": False,
    "header_links_before_dropdown": 5,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_show_sourcelink = False
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system
html_favicon = "_static/favicon.svg"


def setup(app):
    """Called by Sphinx."""
    app.connect("autodoc-skip-member", skip_foreign)
    app.connect("autodoc-process-docstring", escape_fitted_names)
