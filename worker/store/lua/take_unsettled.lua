-- Take attempts that are due for a look. Each is due again a little later, in case its caller dies; a conclusion, or
-- a look that finds a better time, replaces that.
-- Returns the ids of the attempts taken.
local watch = unpack(KEYS)
local limit, again_after_ms = unpack(ARGV, 2)

local taken = redis.call('ZRANGEBYSCORE', watch, '-inf', now, 'LIMIT', 0, limit)
for _, attempt_id in ipairs(taken) do
  redis.call('ZADD', watch, now + tonumber(again_after_ms), attempt_id)
end
return taken
