"""Networks that return distributions, and the objectives that ask them for log-probabilities."""
