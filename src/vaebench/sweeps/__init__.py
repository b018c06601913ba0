"""Sweeps: a recipe over a grid of its fields and over seeds."""
