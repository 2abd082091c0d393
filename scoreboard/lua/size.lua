-- How many users a board's index has, counted twice in one step.  KEYS: ranks, members.
return { redis.call('ZCARD', KEYS[1]), redis.call('HLEN', KEYS[2]) }
