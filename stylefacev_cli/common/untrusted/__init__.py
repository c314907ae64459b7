"""Readers of files of strangers: sizes are checked before memory is taken, and nothing is run."""
