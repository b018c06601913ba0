"""PAPERS by their short names. To add one, write its file and name it here."""

from __future__ import annotations

from vaebench.papers import benchmarking_mnist
from vaebench.papers.paper import Paper

PAPERS: dict[str, Paper] = {
    "E": benchmarking_mnist.PAPER,
}
