-- The oldest transaction still open: every older one has ended, and what it wrote can be seen.
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint
