"""What the templates promise, checked without an account: loaded, resolved for each profile, and asked."""
