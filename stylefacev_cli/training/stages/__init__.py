"""The stages of the paper, one file each: its losses and its schedule."""
