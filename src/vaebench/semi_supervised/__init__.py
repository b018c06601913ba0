"""Semi-supervised learning from few labels: nearest-neighbour graphs, label propagation, self-training."""
