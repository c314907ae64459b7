"""Readers of foreign files that run nothing of what they read."""
