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

-- Whether the do-not-call list forbids a campaign to ring a number: its entries are for everywhere, a purpose, or one
-- campaign, and some are in force only until a day. As worker/rules/do_not_call.py has it.
local function listed(list, phone, purpose, campaign)
  local kept = redis.call('HGET', list, phone)
  for _, entry in ipairs(kept and cjson.decode(kept) or {}) do
    local scope = entry.scope or ''
    if (scope == '' or scope == purpose or scope == 'campaign:' .. campaign)
      and (not entry.expires_at or entry.expires_at > now) then return true end
  end
  return false
end

-- Add an entry to a number; false if it had one from the same list for the same scope. Of a list that is imported, the
-- newest copy counts; what an operator or the person said stays as it was first said, unless it holds longer now.
local function put_on_list(list, phone, entry)
  local kept = redis.call('HGET', list, phone)
  local entries = kept and cjson.decode(kept) or {}
  local at = #entries + 1
  for n, old in ipairs(entries) do
    if (old.scope or '') == (entry.scope or '') and (old.list or '') == (entry.list or '') then at = n end
  end
  local old = entries[at]
  local holds = old and not entry.list
    and (not old.expires_at or (entry.expires_at and entry.expires_at <= old.expires_at))
  if not holds then
    entries[at] = entry
    redis.call('HSET', list, phone, cjson.encode(entries))
  end
  return not old
end
