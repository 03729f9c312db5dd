-- A batch of contacts enters the campaign. Whoever is in it already is left alone: the same file twice changes nothing.
-- What the caller has kept in mind must still stand here, or a contact would be one of no sheet, or of another place: a
-- server that was emptied, or a replica that lagged when it took over, has forgotten it.
-- KEYS: 1 do-not-call, 2 refused, 3 counts, 4 sheets, 5 zones, 6 salt, then for each contact its own and its due set
-- ARGV: 1 clock, 2 due ms, 3 the campaign's purpose, 4 its name, 5 salt, 6 zones and 7 sheets with their numbers (JSON), then for each contact: id, phone, its row (JSON: sheet, line, phone as a number, values)
-- Returns how many were new, and how many of these are on the do-not-call list; nothing if the caller must look again.
if redis.call('GET', KEYS[6]) ~= ARGV[5] then return {} end
for kept, numbers in pairs({[KEYS[5]] = ARGV[6], [KEYS[4]] = ARGV[7]}) do
  for name, number in pairs(cjson.decode(numbers)) do
    if redis.call('HGET', kept, name) ~= number then return {} end
  end
end
local new, refused, at = 0, 0, 8
for k = 7, #KEYS, 2 do
  local contact, due, id, phone = KEYS[k], KEYS[k + 1], ARGV[at], ARGV[at + 1]
  if redis.call('SET', contact, ARGV[at + 2], 'NX') then
    new = new + 1
    if listed(KEYS[1], phone, ARGV[3], ARGV[4]) then
      refused = refused + 1
      unfold(contact, KEYS[4])
      redis.call('HSET', contact, 'state', 'refused', 'disposition', 'do_not_call', 'reason', 'on the do-not-call list')
      redis.call('ZADD', KEYS[2], now, id)
      redis.call('HINCRBY', KEYS[3], 'do_not_call', 1)
    else
      redis.call('ZADD', due, ARGV[2], id .. '#1')
    end
  end
  at = at + 3
end
return {new, refused}
