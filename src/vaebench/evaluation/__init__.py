"""Evaluation of trained VAEs: bounds, probes and learning curves of representations, and scores of samples."""
