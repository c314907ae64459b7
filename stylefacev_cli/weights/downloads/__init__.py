"""From a name of the registry to files on the disk."""
