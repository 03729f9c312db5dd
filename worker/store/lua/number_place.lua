-- Give a place its short number within a campaign, once and for all.
-- Returns the number.
local zones = unpack(KEYS)
local label = unpack(ARGV, 2)

local number = redis.call('HGET', zones, label)
if not number then
  number = tostring(redis.call('HLEN', zones) + 1)
  redis.call('HSET', zones, label, number)
end
return number
