-- Let a role log in with a password, of which only the hash is sent.
ALTER ROLE {role} LOGIN PASSWORD {hash}
