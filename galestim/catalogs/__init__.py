"""Catalogs of galaxies, with positions, sizes and names under fixed names and units."""

from ._catalog import Catalog
from ._read import as_table as as_table

__all__ = ["Catalog"]
