"""The five founding papers, each in its own file: what it promised, how we run it, what was found."""
