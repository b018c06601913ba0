"""The report of a run and the comparison of several runs, as self-contained HTML pages."""
