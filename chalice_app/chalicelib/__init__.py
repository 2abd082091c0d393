"""What the operations app does, each duty in a module. None of them names a backend: `runtime` does."""
