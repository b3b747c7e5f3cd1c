"""Analytic sky, and a server on this machine that imitates survey services: for offline tries and for tests."""

from ._loopback import LoopbackRequest, LoopbackSky
from ._services import Answer
from ._sky import GaussianSky

__all__ = ["Answer", "GaussianSky", "LoopbackRequest", "LoopbackSky"]
