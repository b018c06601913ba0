"""What a representation was worth: probes, few labels, bounds, pictures of it as arrays."""
