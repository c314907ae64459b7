"""Training: one file per stage of the paper, our extensions, losses, batches, and the loop."""
