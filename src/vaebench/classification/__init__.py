"""A user's own images: a few are labelled, the rest are classified, and the answer says how far to trust it."""
