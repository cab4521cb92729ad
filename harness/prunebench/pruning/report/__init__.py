"""The page about a pruning: HTML in one piece that needs no network."""

from prunebench.pruning.report.page import render

__all__ = ["render"]
