"""One noun, one blueprint: each entry point parses, calls one use case, and leaves errors to `api.errors`."""
