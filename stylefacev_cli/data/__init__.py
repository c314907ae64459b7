"""Clips and images on disk, read as arrays."""
