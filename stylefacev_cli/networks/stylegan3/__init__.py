"""StyleGAN3: mapping and synthesis networks, and the discriminator of StyleGAN2."""
