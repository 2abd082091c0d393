-- Write standings into a board's index: absolute scores, and only what is newer than what is there, or is harmed there:
-- of one version there is one standing, so what differs from it at the same version is wrong.
-- KEYS: ranks, members, meta.  ARGV: channel, board id, announce (1|0), then user, version, member, score for each.
-- Never an increment: a repeated or late call changes nothing.  Returns how many standings changed.
-- A rebuild does not announce its parts; one that was overtaken by another writes to a board that is complete, and there
-- every change is a new version.
local changed = 0
for at = 4, #ARGV, 4 do
    local user, version, member, score = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
    local stored = redis.call('HGET', KEYS[2], user)
    local space = stored and string.find(stored, ' ', 1, true)
    local known = stored and tonumber(string.sub(stored, 1, space - 1))
    local old = stored and string.sub(stored, space + 1)
    local wanted = not stored or known < tonumber(version)
    if known == tonumber(version) then
        local ranked = redis.call('ZSCORE', KEYS[1], member)
        wanted = old ~= member or not ranked or tonumber(ranked) ~= tonumber(score)
    end
    if wanted then
        if stored and old ~= member then
            redis.call('ZREM', KEYS[1], old)
        end
        redis.call('ZADD', KEYS[1], score, member)
        redis.call('HSET', KEYS[2], user, version .. ' ' .. member)
        changed = changed + 1
    end
end
if changed > 0 and (ARGV[3] == '1' or redis.call('HEXISTS', KEYS[3], 'complete') == 1) then
    redis.call('HINCRBY', KEYS[3], 'seq', 1)
    redis.call('PUBLISH', ARGV[1], ARGV[2])
end
return changed
