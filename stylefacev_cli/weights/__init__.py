"""Store room: model bundles, where they are and how they are read."""
