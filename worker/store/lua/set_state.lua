-- Pause, resume or stop a campaign. A stop is for good. A resume approves what a brake has held (see pull_brake.lua).
-- Returns the state that it was in, or '' if there is no such campaign.
local campaign, brakes, totals, window = unpack(KEYS)
local state, why = unpack(ARGV, 2)

local current = redis.call('HGET', campaign, 'state')
if not current then return '' end
if current == STOPPED and state ~= STOPPED then return current end
redis.call('HSET', campaign, 'state', state, 'why', why, 'since', now)
local held = state == RUNNING and redis.call('HGET', brakes, 'held')
if held then
  if held == CANARY then redis.call('HSET', brakes, 'approved', 1) end
  -- The operator has seen why the campaign was held. From here on, its brakes count anew.
  redis.call('HSET', brakes, 'since', now, 'people', redis.call('HGET', totals, PERSON) or 0,
    'abandoned', redis.call('HGET', totals, ABANDONED) or 0)
  redis.call('HDEL', brakes, 'held', 'attempts')
  redis.call('DEL', window)
end
return current
