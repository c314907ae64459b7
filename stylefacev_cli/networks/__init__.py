"""Engine room: nn.Modules and pure operations. No files, no prints, no devices chosen."""
