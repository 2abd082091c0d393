-- Whether there is a role of a name.
SELECT 1
FROM pg_roles
WHERE rolname = %(role)s
