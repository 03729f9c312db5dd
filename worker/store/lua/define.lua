-- Keep a campaign's definition. One that was stopped stays as it is.
-- KEYS: 1 campaign, 2 campaigns
-- ARGV: 1 clock, 2 name, 3 definition (JSON), 4 version, 5 '1' to hold it back until it is resumed
-- Returns 1, or 0 if it was stopped.
if redis.call('HGET', KEYS[1], 'state') == 'stopped' then return 0 end
redis.call('HSET', KEYS[1], 'definition', ARGV[3], 'version', ARGV[4])
if ARGV[5] == '1' then
  redis.call('HSET', KEYS[1], 'state', 'paused', 'why', 'enqueued with --paused')
else
  redis.call('HSETNX', KEYS[1], 'state', 'running')
end
redis.call('HSETNX', KEYS[2], ARGV[2], now)
return 1
