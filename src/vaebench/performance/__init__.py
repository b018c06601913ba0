"""A recipe to a finished run, stage by stage."""
