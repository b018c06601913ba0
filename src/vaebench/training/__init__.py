"""The training loop, its checkpoints, optimisers and schedules, and the devices and processes that it runs on."""
