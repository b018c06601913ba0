"""Image data: readers, data sets, splits, batches and augmentation."""
