"""Migrations: `NNNN_name.pre.sql` before a rollout, `.post.sql` after it."""
