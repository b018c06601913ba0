"""The report of a run: figures, a verdict in plain words, one self-contained page."""
