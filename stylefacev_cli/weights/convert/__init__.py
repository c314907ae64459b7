"""Published files to bundles, and bundles to published formats."""
