"""The batches of a training step: frames, clips, pairs, poses."""
