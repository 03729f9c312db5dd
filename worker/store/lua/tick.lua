-- Take the first of several ticks of beat that come together; the others change nothing.
-- Returns 1 for the tick that is taken, else 0.
local tick = unpack(KEYS)
local every_ms = unpack(ARGV, 2)

if now < tonumber(redis.call('GET', tick) or '0') then return 0 end
redis.call('SET', tick, now + tonumber(every_ms), 'PX', every_ms)
return 1
