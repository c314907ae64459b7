"""The rivals of StyleFaceV's Table 1, MoCoGAN-HD, StyleGAN-V and DIGAN, for released files."""
