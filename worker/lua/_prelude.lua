-- Put in front of every script. Times are milliseconds; ARGV[1] is the caller's clock, or 0 for the server's own,
-- so that no two workers whose clocks differ can disagree about a lease.
local now = tonumber(ARGV[1])
if now == 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
