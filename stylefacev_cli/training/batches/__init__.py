"""What a training step sees."""
