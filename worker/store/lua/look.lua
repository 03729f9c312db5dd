-- Take attempts whose time to be looked at has come. Each is looked at again a little later, in case whoever took it dies;
-- settling it, or a look that finds a better time, replaces that.
-- KEYS: 1 watch
-- ARGV: 1 clock, 2 how many, 3 how much later (ms)
-- Returns the ids of the attempts taken.
local taken = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[2])
for _, attempt in ipairs(taken) do
  redis.call('ZADD', KEYS[1], now + tonumber(ARGV[3]), attempt)
end
return taken
