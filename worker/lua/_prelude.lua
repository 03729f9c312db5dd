-- Put in front of every script. Times are milliseconds; ARGV[1] is the caller's clock, or 0 for the server's own,
-- so that no two workers whose clocks differ can disagree about a lease.
local now = tonumber(ARGV[1])
if now == 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

-- How many times longer than usual the wait between two dials is: what the carrier asked of us (postpone.lua) or
-- answers without a bot do (claim.lua), halved with every three seconds in which nothing did again.
local function slowness(key)
  local kept = redis.call('HMGET', key, 'factor', 'at')
  if not kept[1] then return 1 end
  return math.max(1, tonumber(kept[1]) * 0.5 ^ ((now - tonumber(kept[2])) / 3000))
end

-- Make it twice as long, up to so many times the usual; but once a second at most, for what comes together is one reason.
local function slow_down(key, most)
  local at = redis.call('HGET', key, 'at')
  if most <= 1 or (at and now - at < 1000) then return end
  redis.call('HSET', key, 'factor', math.min(most, 2 * slowness(key)), 'at', now)
  redis.call('PEXPIRE', key, 60000)
end

-- The fields and values of a contact. To most, nothing has happened yet: such a one is a string, a row of its sheet,
-- which takes half the memory (docs/decisions/0013).
local function fields_of(contact, sheets)
  if redis.call('TYPE', contact).ok ~= 'string' then return redis.call('HGETALL', contact) end
  local row = cjson.decode(redis.call('GET', contact))
  local sheet = cjson.decode(redis.call('HGET', sheets, row[1]))
  local phone = string.format('+%.0f', row[3])
  local fields = {'campaign', sheet[1], 'zone', sheet[2], 'line', tostring(row[2]), 'phone', phone}
  for n = 3, #sheet do
    fields[#fields + 1] = ':' .. sheet[n]
    fields[#fields + 1] = row[n + 1]
  end
  return fields
end

-- Something happens to a contact: from now on it is a hash.
local function unfold(contact, sheets)
  if redis.call('TYPE', contact).ok ~= 'string' then return end
  local fields = fields_of(contact, sheets)
  redis.call('DEL', contact)
  redis.call('HSET', contact, unpack(fields))
end
