"""The few-label benchmark: classifiers from 1 to 100 labels per class, from linear probes to self-training."""
