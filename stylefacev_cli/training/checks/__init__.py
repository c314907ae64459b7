"""Checks before training, of one subject each; `preflight` puts them in order."""
