-- What API, worker and operations may do: read and write rows, and nothing else. Only what is asked for is granted.
GRANT USAGE ON SCHEMA public TO {role};
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT SELECT ON boards TO {role};
GRANT SELECT, INSERT, UPDATE ON standings TO {role};
GRANT SELECT, INSERT, DELETE ON score_events TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON score_rejections TO {role};
GRANT EXECUTE ON FUNCTION bounded_score(numeric, bigint, bigint, text) TO {role};
-- A table of a later migration can be used at once, also by who migrates by hand.
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {role};
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE ON SEQUENCES TO {role};
