"""Metrics: iterables of frames in, numbers out; each number names its protocol."""
