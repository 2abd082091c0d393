-- Read entries of a board, all of one version.
-- KEYS: ranks, members, meta.  ARGV: descending (1|0), mode, then by mode:
--   top limit | after limit score member | around radius user | users user ...
-- Returns {0} while the board is not complete, else {1, epoch, seq, total, rows} with rows of {rank, member, score};
-- {1, epoch, seq, total, false} when the user of `around` is not there.
local meta = redis.call('HMGET', KEYS[3], 'complete', 'epoch', 'seq')
local run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
if meta[1] ~= run_id then
    return { 0 }
end
local descending, mode = ARGV[1] == '1', ARGV[2]
local total = redis.call('ZCARD', KEYS[1])

local function slice(first, last)
    local flat
    if descending then
        flat = redis.call('ZREVRANGE', KEYS[1], first, last, 'WITHSCORES')
    else
        flat = redis.call('ZRANGE', KEYS[1], first, last, 'WITHSCORES')
    end
    local rows = {}
    for at = 1, #flat, 2 do
        rows[#rows + 1] = { first + #rows + 1, flat[at], flat[at + 1] }
    end
    return rows
end

local function index_of(member)
    return redis.call(descending and 'ZREVRANK' or 'ZRANK', KEYS[1], member)
end

-- Whether a is smaller than b by its bytes, as Redis orders members; `<` goes by the locale of the server.
local function smaller(a, b)
    for at = 1, math.min(#a, #b) do
        local left, right = string.byte(a, at), string.byte(b, at)
        if left ~= right then
            return left < right
        end
    end
    return #a < #b
end

-- How many entries stand before or at (score, member), which need not be there any more: those of better scores,
-- and among those of the same score the ones that a binary search finds.
local function count_up_to(score, member)
    local better, equal
    if descending then
        better = redis.call('ZCOUNT', KEYS[1], '(' .. score, '+inf')
    else
        better = redis.call('ZCOUNT', KEYS[1], '-inf', '(' .. score)
    end
    equal = redis.call('ZCOUNT', KEYS[1], score, score)
    local low, high = better, better + equal
    while low < high do
        local middle = math.floor((low + high) / 2)
        local found = redis.call(descending and 'ZREVRANGE' or 'ZRANGE', KEYS[1], middle, middle)[1]
        local after
        if descending then
            after = smaller(found, member)
        else
            after = smaller(member, found)
        end
        if after then
            high = middle
        else
            low = middle + 1
        end
    end
    return low
end

local function member_of(user)
    local stored = redis.call('HGET', KEYS[2], user)
    return stored and string.sub(stored, string.find(stored, ' ', 1, true) + 1)
end

local rows
if mode == 'top' then
    rows = slice(0, ARGV[3] - 1)
elseif mode == 'after' then
    local first = count_up_to(ARGV[4], ARGV[5])
    rows = slice(first, first + ARGV[3] - 1)
elseif mode == 'around' then
    local member = member_of(ARGV[4])
    local index = member and index_of(member)
    rows = false
    if index then
        rows = slice(math.max(0, index - ARGV[3]), index + ARGV[3])
    end
else
    rows = {}
    for at = 3, #ARGV do
        local member = member_of(ARGV[at])
        local index = member and index_of(member)
        if index then
            rows[#rows + 1] = { index + 1, member, redis.call('ZSCORE', KEYS[1], member) }
        end
    end
end
return { 1, meta[2], meta[3], total, rows }
