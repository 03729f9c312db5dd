-- Pause a running campaign because a brake says so, until the operator resumes it (see set_state.lua). `attempts`
-- (JSON) are the attempts that made it stop.
-- Returns 1, or 0 if it was no longer running.
local campaign, brakes = unpack(KEYS)
local rule, why, attempts = unpack(ARGV, 2)

if redis.call('HGET', campaign, 'state') ~= RUNNING then return 0 end
redis.call('HSET', campaign, 'state', PAUSED, 'why', why, 'since', now)
redis.call('HSET', brakes, 'held', rule, 'attempts', attempts)
return 1
