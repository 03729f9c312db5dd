-- Put in front of every script, after the constants that it uses: worker/store/constants.py has them, and they are
-- written in CAPITALS. Moments are milliseconds since 1970, and spans are milliseconds.
-- The caller gives its clock, or 0 for the server's. Workers whose clocks differ must not disagree about a lease.
local now = tonumber((unpack(ARGV, 1, 1)))
if now == 0 then
  local time = redis.call('TIME')
  now = time[1] * SECOND_MS + math.floor(time[2] / 1000) -- seconds and microseconds
end
