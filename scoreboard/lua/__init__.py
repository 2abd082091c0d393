"""Redis scripts, one a file."""
