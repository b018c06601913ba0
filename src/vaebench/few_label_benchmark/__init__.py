"""The ladder of few labels: from a line on frozen latents to the whole method, on one learning curve."""
