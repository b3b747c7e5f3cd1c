"""Catalogs of galaxies, with positions, sizes and names under fixed names and units."""

from ._catalog import Catalog
from ._claims import check_table
from ._mended import mended, names_of
from ._read import as_table, read_csv_lines, read_table, without_comments

__all__ = ["Catalog"]
