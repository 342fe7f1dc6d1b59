"""The computable AI stack: data with sources, layer models, claims, charts and explorers.

Importing this package loads nothing heavy; plotting, widgets and pandas come when first used.
"""

from importlib.metadata import PackageNotFoundError, version

from aistack.data import DataError, fact, load, number

try:
    __version__ = version("aistack")
except PackageNotFoundError:  # a checkout that was never installed
    __version__ = "0+unknown"

__all__ = ["DataError", "__version__", "fact", "load", "number"]
