"""Antagony: put rival drug mechanisms on trial."""

__version__ = "0.1.0"
__all__ = ["__version__"]
