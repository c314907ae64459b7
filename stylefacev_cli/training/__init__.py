"""Workshop: one file per training stage, a loop that knows no model, losses."""
