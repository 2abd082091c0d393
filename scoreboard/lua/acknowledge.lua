-- Note that the queue has an event, if its record is still there.  KEYS: record of the event.
if redis.call('EXISTS', KEYS[1]) == 1 then
    redis.call('HSET', KEYS[1], 'acknowledged', 1)
end
return 1
