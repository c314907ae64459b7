"""From sources to reports: one file for each family of metrics."""
