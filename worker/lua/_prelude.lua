-- Put in front of every script. Times are milliseconds; ARGV[1] is the caller's clock, or 0 for the server's own,
-- so that no two workers whose clocks differ can disagree about a lease.
local now = tonumber(ARGV[1])
if now == 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

-- How many times longer than usual the wait between two dials is: what the carrier asked of us (postpone.lua) or
-- answers without a bot do (claim.lua), halved with every three seconds in which nothing did again.
local function slowness(key)
  local kept = redis.call('HMGET', key, 'factor', 'at')
  if not kept[1] then return 1 end
  return math.max(1, tonumber(kept[1]) * 0.5 ^ ((now - tonumber(kept[2])) / 3000))
end

-- Make it twice as long, up to so many times the usual; but once a second at most, for what comes together is one reason.
local function slow_down(key, most)
  local at = redis.call('HGET', key, 'at')
  if most <= 1 or (at and now - at < 1000) then return end
  redis.call('HSET', key, 'factor', math.min(most, 2 * slowness(key)), 'at', now)
  redis.call('PEXPIRE', key, 60000)
end
