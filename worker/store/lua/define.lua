-- Keep a campaign's definition (JSON). A campaign that was stopped stays as it is.
-- Returns 1, or 0 if it was stopped.
local campaign, campaigns = unpack(KEYS)
local name, definition, version, hold_back = unpack(ARGV, 2)

if redis.call('HGET', campaign, 'state') == STOPPED then return 0 end
redis.call('HSET', campaign, 'definition', definition, 'version', version)
if hold_back == '1' then
  redis.call('HSET', campaign, 'state', PAUSED, 'why', 'enqueued with --paused')
else
  redis.call('HSETNX', campaign, 'state', RUNNING)
end
redis.call('HSETNX', campaigns, name, now)
return 1
