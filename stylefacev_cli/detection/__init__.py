"""Faces and landmarks in photos and footage."""
