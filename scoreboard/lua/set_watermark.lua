-- Move a complete board's watermark forward.  KEYS: meta.  ARGV: watermark.
-- Kept beside the data it speaks of, so that a lost write takes its watermark along.
local meta = redis.call('HMGET', KEYS[1], 'complete', 'watermark')
if meta[1] and tonumber(meta[2] or '0') < tonumber(ARGV[1]) then
    redis.call('HSET', KEYS[1], 'watermark', ARGV[1])
    return 1
end
return 0
