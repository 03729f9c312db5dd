-- Pause, resume or stop a campaign. A stop is for good.
-- KEYS: 1 campaign
-- ARGV: 1 clock, 2 state, 3 why
-- Returns the state that it was in, or '' for a campaign that nobody knows.
local current = redis.call('HGET', KEYS[1], 'state')
if not current then return '' end
if current ~= 'stopped' or ARGV[2] == 'stopped' then
  redis.call('HSET', KEYS[1], 'state', ARGV[2], 'why', ARGV[3], 'since', now)
end
return current
