"""Pose tracks: files, edits, parts, loops and drift control."""
