"""Networks as nn.Modules, and pure operations: no files, no output, no choice of device."""
