from evaluation_fixtures import evaluate, frames, straw

__all__ = ["evaluate", "frames", "straw"]
