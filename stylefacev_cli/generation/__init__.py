"""From requests to videos: plan, identities, motions, camera, grids, output."""
