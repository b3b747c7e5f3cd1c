"""Catalogs of galaxies, with positions, sizes and names under fixed names and units."""

from ._catalog import Catalog

__all__ = ["Catalog"]
