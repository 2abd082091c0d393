"""Named queries, one a file, and the migrations."""
