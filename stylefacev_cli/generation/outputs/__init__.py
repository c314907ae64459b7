"""What is rendered, as pictures, files and streams: names, grids, writing, videos in memory."""
