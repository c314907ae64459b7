"""What every room may use: files, locks, settings, paths, threads, memory, seeds, processes."""
