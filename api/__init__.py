"""The API: scores in over HTTP, boards out over HTTP and Server-Sent Events."""
