-- Give a sheet (what many contacts have in common: campaign, zone and columns) its short number, once and for all.
-- KEYS: 1 sheets
-- ARGV: 1 clock, 2 the sheet (JSON)
local number = redis.call('HGET', KEYS[1], ARGV[2])
if not number then
  number = tostring(redis.call('HLEN', KEYS[1]) / 2 + 1)
  redis.call('HSET', KEYS[1], ARGV[2], number, number, ARGV[2])
end
return number
