-- Let the other one of two names that alternate have what the first one has.
GRANT {role} TO {member}
