-- Give a set of zones its short number within a campaign, once and for all.
-- KEYS: 1 zones
-- ARGV: 1 clock, 2 the zones' names
local number = redis.call('HGET', KEYS[1], ARGV[2])
if not number then
  number = tostring(redis.call('HLEN', KEYS[1]) + 1)
  redis.call('HSET', KEYS[1], ARGV[2], number)
end
return number
