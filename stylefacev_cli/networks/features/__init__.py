"""Networks whose features metrics and losses compare."""
