-- The factor by which the time between two dials is longer than usual. Refusals of the carrier (postpone.lua) and
-- answers without a bot (claim.lua) raise it; it halves with every three seconds without another.
local slowness_halves_ms = 3000
local function slowness(slow)
  local factor, at = unpack(redis.call('HMGET', slow, 'factor', 'at'))
  if not factor then return 1 end
  return math.max(1, tonumber(factor) * 0.5 ^ ((now - tonumber(at)) / slowness_halves_ms))
end

-- Double the factor, up to `most`; but once a second at most, because what comes together has one cause.
local function slow_down(slow, most)
  local at = redis.call('HGET', slow, 'at')
  if most <= 1 or (at and now - at < SECOND_MS) then return end
  redis.call('HSET', slow, 'factor', math.min(most, 2 * slowness(slow)), 'at', now)
  redis.call('PEXPIRE', slow, MINUTE_MS)
end
