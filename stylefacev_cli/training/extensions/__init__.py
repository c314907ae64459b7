"""What we add to the paper's stages, one file each."""
