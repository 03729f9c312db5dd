-- The first of several ticks of beat that come together is taken; the others change nothing.
-- KEYS: 1 tick
-- ARGV: 1 clock, 2 how long the others come in (ms)
-- Returns 1 for the one that is taken, else 0.
if now < tonumber(redis.call('GET', KEYS[1]) or '0') then return 0 end
redis.call('SET', KEYS[1], now + tonumber(ARGV[2]), 'PX', ARGV[2])
return 1
