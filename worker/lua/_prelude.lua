-- Put in front of every script. Times are milliseconds; ARGV[1] is the caller's clock, or 0 for the server's own,
-- so that no two workers whose clocks differ can disagree about a lease.
local now = tonumber(ARGV[1])
if now == 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

-- How many times longer than usual the wait between two dials is: what the carrier asked of us (see postpone.lua),
-- halved with every three seconds in which it did not ask again.
local function slowness(key)
  local kept = redis.call('HMGET', key, 'factor', 'at')
  if not kept[1] then return 1 end
  return math.max(1, tonumber(kept[1]) * 0.5 ^ ((now - tonumber(kept[2])) / 3000))
end
