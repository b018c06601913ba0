"""The loop that knows no model, its exact checkpoints, and the machine it runs on."""
