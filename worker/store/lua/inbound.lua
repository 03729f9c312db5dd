-- Somebody rings us, or has rung off: meanwhile they hold a line and a bot. Said again, it changes nothing.
-- KEYS: 1 inbound, 2 used
-- ARGV: 1 clock, 2 the call's sid, 3 '1' if it is over
if ARGV[3] ~= '1' then return redis.call('ZADD', KEYS[1], 'NX', now, ARGV[2]) end
if redis.call('ZREM', KEYS[1], ARGV[2]) == 0 then return 0 end
redis.call('ZADD', KEYS[2], now, ARGV[2])
return 1
