"""Reproduction of five papers: their reported results, their protocols, and what reproducing them gives."""
