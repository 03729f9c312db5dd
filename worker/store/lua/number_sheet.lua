-- Give a sheet its short number, once and for all. A sheet (JSON) is what many contacts have in common: the campaign,
-- the zone and the names of the columns.
-- Returns the number.
local sheets = unpack(KEYS)
local sheet = unpack(ARGV, 2)

local number = redis.call('HGET', sheets, sheet)
if not number then
  -- Each sheet has two fields: its number, and under the number itself.
  number = tostring(redis.call('HLEN', sheets) / 2 + 1)
  redis.call('HSET', sheets, sheet, number, number, sheet)
end
return number
