"""Catalogs of galaxies, with positions, sizes and names under fixed names and units."""

from ._catalog import Catalog
from ._read import read_table

__all__ = ["Catalog"]
