"""Lambda functions: synchronous, one module a handler."""
