"""Models that can be built where none can be downloaded."""
