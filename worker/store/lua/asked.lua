-- The carrier was asked about an attempt. What it told is a witness's word of its own; this is that it was asked, and when.
-- KEYS: 1 attempt, 2 watch, 3 journal
-- ARGV: 1 clock, 2 attempt id, 3 found, not_found or no_answer, 4 detail
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'asked_at', now)
if ARGV[3] == 'not_found' then redis.call('HSET', KEYS[1], 'not_found_at', now) end
redis.call('ZADD', KEYS[2], 'XX', now, ARGV[2])
redis.call('RPUSH', KEYS[3], cjson.encode({at = now, attempt = ARGV[2], event = 'asked', rule = ARGV[3], reason = ARGV[4]}))
return 1
