"""The version of this package; apart, since rooms below the pipeline write it into files."""

__version__ = "0.2.0"
