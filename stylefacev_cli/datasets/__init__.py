"""Clip sets on disk, and their preparation from raw footage."""
