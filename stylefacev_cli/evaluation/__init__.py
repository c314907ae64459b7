"""Evaluation: videos and models in, reports with their protocol out."""
