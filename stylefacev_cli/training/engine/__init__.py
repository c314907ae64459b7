"""The training loop, checkpoints, optimisers, schedules and sample grids."""
