"""Classification of a user's own images, of which some are labelled, with an estimate of the accuracy."""
