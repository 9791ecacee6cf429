"""Does nothing, as fast as any script can."""
