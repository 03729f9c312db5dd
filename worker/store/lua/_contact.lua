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
