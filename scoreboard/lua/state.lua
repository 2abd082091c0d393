-- Read whether a board is complete, and its version and watermark.  KEYS: meta.
-- Returns {complete (1|0), epoch, seq, watermark}.
local meta = redis.call('HMGET', KEYS[1], 'complete', 'epoch', 'seq', 'watermark')
local run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
return { meta[1] == run_id and 1 or 0, meta[2] or '', meta[3] or '0', meta[4] or '0' }
