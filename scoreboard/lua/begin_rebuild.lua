-- Empty a board and mark it incomplete.  KEYS: ranks, members, meta.  ARGV: generation token.
-- Emptied, not overwritten: what PostgreSQL does not have must not stay.  Readers see that the board is incomplete in
-- the same step, so that nobody reads the part.  The token is bound to the run id of this server: a restart may keep
-- it and lose what was written after it.
local run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
redis.call('UNLINK', KEYS[1], KEYS[2])
redis.call('HDEL', KEYS[3], 'complete')
redis.call('HSET', KEYS[3], 'generation', ARGV[1] .. ' ' .. run_id)
return 1
