-- A campaign stops by itself, if it still runs, until the operator resumes it (see state.lua).
-- KEYS: 1 campaign, 2 brakes
-- ARGV: 1 clock, 2 rule, 3 why, 4 the attempts that it is about (JSON)
-- Returns 1, or 0 if it did not run any more.
if redis.call('HGET', KEYS[1], 'state') ~= 'running' then return 0 end
redis.call('HSET', KEYS[1], 'state', 'paused', 'why', ARGV[3], 'since', now)
redis.call('HSET', KEYS[2], 'held', ARGV[2], 'attempts', ARGV[4])
return 1
