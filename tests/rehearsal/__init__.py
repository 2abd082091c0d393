"""The deployment, rehearsed on one machine: `python -m tests.rehearsal`."""
