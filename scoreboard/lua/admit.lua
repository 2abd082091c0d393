-- Decide on one submission: idempotency first, then the moving window of the rate limit, in one step on one clock.
-- KEYS: record of the event, times of the user's admissions.
-- ARGV: hash of the body, window in ms, limit, life of the record in ms.
-- Returns {outcome, accepted at in microseconds, remaining, ms until one more is possible}.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local window, limit = ARGV[2] * 1000, tonumber(ARGV[3])

-- A clock that was set back must not let more through: time stands still until it has caught up.
local last = redis.call('LINDEX', KEYS[2], -1)
if last and tonumber(last) > now then
    now = tonumber(last)
end
local oldest = redis.call('LINDEX', KEYS[2], 0)
while oldest and tonumber(oldest) <= now - window do
    redis.call('LPOP', KEYS[2])
    oldest = redis.call('LINDEX', KEYS[2], 0)
end
local used = redis.call('LLEN', KEYS[2])

local function wait()
    if used < limit then
        return 0
    end
    return math.ceil((redis.call('LINDEX', KEYS[2], used - limit) + window - now) / 1000)
end

local record = redis.call('HMGET', KEYS[1], 'body', 'accepted_at', 'acknowledged')
if record[1] then
    local outcome = record[3] and 'replay' or 'retry'
    if record[1] ~= ARGV[1] then
        outcome = 'conflict'
    end
    return { outcome, tonumber(record[2]), math.max(0, limit - used), wait() }
end
if used >= limit then
    return { 'limited', now, 0, wait() }
end
redis.call('RPUSH', KEYS[2], string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[2], ARGV[2] + 1) -- whole milliseconds, where the window is counted in microseconds
redis.call('HSET', KEYS[1], 'body', ARGV[1], 'accepted_at', string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[1], ARGV[4])
used = used + 1
return { 'admitted', now, limit - used, wait() }
