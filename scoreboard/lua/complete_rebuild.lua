-- Mark a rebuilt board complete under a new epoch, if the generation token is still there.
-- KEYS: meta.  ARGV: token, epoch, watermark, channel, board id.  Returns 1 if marked.
-- A flush, a restart or another rebuild in between took the token away, and the board may be a part: leave it incomplete.
-- The mark is the run id of this server: after a restart or a fail-over, where the last writes may be missing, it no
-- longer matches, and the board is rebuilt.
local run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
if redis.call('HGET', KEYS[1], 'generation') ~= ARGV[1] .. ' ' .. run_id then
    return 0
end
redis.call('HSET', KEYS[1], 'complete', run_id, 'epoch', ARGV[2], 'watermark', ARGV[3])
redis.call('HINCRBY', KEYS[1], 'seq', 1)
redis.call('PUBLISH', ARGV[4], ARGV[5])
return 1
