-- Put in front of every script, after the constants (worker/store/constants.py), which are written in CAPITALS.
-- Moments are milliseconds since 1970, and spans are milliseconds.

-- The caller gives its clock, or 0 for the server's. Workers whose clocks differ must not disagree about a lease.
local now = tonumber((unpack(ARGV, 1, 1)))
if now == 0 then
  local time = redis.call('TIME')
  now = time[1] * SECOND_MS + math.floor(time[2] / 1000) -- seconds and microseconds
end

-- Return a function that reads the keys or arguments after those that have a name: so many at a time, or as many as
-- it is asked for, and nothing once all of them are read.
local function rest(values, named, at_a_time)
  local read, last = named, #values
  return function(count)
    local first = read + 1
    if first > last then return end
    read = math.min(last, read + (count or at_a_time))
    return unpack(values, first, read)
  end
end

-- The factor by which the time between two dials is longer than usual. Refusals of the carrier (postpone.lua) and
-- answers without a bot (claim.lua) raise it; it halves with every three seconds without another.
local slowness_halves_ms = 3000
local function slowness(slow)
  local factor, at = unpack(redis.call('HMGET', slow, 'factor', 'at'))
  if not factor then return 1 end
  return math.max(1, tonumber(factor) * 0.5 ^ ((now - tonumber(at)) / slowness_halves_ms))
end

-- Double the factor, up to `most`; but once a second at most, because what comes together has one cause.
local function slow_down(slow, most)
  local at = redis.call('HGET', slow, 'at')
  if most <= 1 or (at and now - at < SECOND_MS) then return end
  redis.call('HSET', slow, 'factor', math.min(most, 2 * slowness(slow)), 'at', now)
  redis.call('PEXPIRE', slow, MINUTE_MS)
end

-- Return the fields and values of a contact. Until something happens to a contact, it is a string, a row of its
-- sheet, which takes half the memory (docs/decisions/0013).
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

-- Turn a contact that is still a string into a hash, because something happens to it now.
local function unfold(contact, sheets)
  if redis.call('TYPE', contact).ok ~= 'string' then return end
  local fields = fields_of(contact, sheets)
  redis.call('DEL', contact)
  redis.call('HSET', contact, unpack(fields))
end

-- Return true if the do-not-call list forbids a campaign to ring a number. An entry holds everywhere, for a purpose
-- or for one campaign, and perhaps only until a day. Listing.covers in worker/rules/do_not_call.py is the same rule.
local function listed(do_not_call, phone, purpose, campaign_name)
  local kept = redis.call('HGET', do_not_call, phone)
  for _, entry in ipairs(kept and cjson.decode(kept) or {}) do
    local scope = entry.scope or ''
    if (scope == '' or scope == purpose or scope == 'campaign:' .. campaign_name)
      and (not entry.expires_at or entry.expires_at > now) then return true end
  end
  return false
end

-- Add an entry to a number; return false if the number had one from the same list for the same scope. Of an imported
-- list, the newest copy counts; an entry by an operator or by the person stays as it is, unless the new one holds
-- longer.
local function put_on_list(do_not_call, phone, entry)
  local kept = redis.call('HGET', do_not_call, phone)
  local entries = kept and cjson.decode(kept) or {}
  local at = #entries + 1
  for n, old in ipairs(entries) do
    if (old.scope or '') == (entry.scope or '') and (old.list or '') == (entry.list or '') then at = n end
  end
  local old = entries[at]
  local stays = old and not entry.list
    and (not old.expires_at or (entry.expires_at and entry.expires_at <= old.expires_at))
  if not stays then
    entries[at] = entry
    redis.call('HSET', do_not_call, phone, cjson.encode(entries))
  end
  return not old
end
