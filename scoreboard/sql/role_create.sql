-- Create the application's role, without a password yet.
CREATE ROLE {role} LOGIN
