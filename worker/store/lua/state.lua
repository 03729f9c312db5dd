-- Pause, resume or stop a campaign. A stop is for good; a resume approves what the brakes have held (see brake.lua).
-- KEYS: 1 campaign, 2 brakes, 3 totals, 4 window
-- ARGV: 1 clock, 2 state, 3 why
-- Returns the state that it was in, or '' for a campaign that nobody knows.
local current = redis.call('HGET', KEYS[1], 'state')
if not current then return '' end
if current == 'stopped' and ARGV[2] ~= 'stopped' then return current end
redis.call('HSET', KEYS[1], 'state', ARGV[2], 'why', ARGV[3], 'since', now)
local held = ARGV[2] == 'running' and redis.call('HGET', KEYS[2], 'held')
if held then
  if held == 'canary' then redis.call('HSET', KEYS[2], 'approved', 1) end
  -- What was seen and resumed does not stop it again: everything is counted from here.
  redis.call('HSET', KEYS[2], 'since', now, 'people', redis.call('HGET', KEYS[3], 'person') or 0,
    'abandoned', redis.call('HGET', KEYS[3], 'abandoned') or 0)
  redis.call('HDEL', KEYS[2], 'held', 'attempts')
  redis.call('DEL', KEYS[4])
end
return current
