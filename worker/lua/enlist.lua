-- A batch of contacts enters the campaign. Whoever is in it already is left alone: the same file twice changes nothing.
-- KEYS: 1 do-not-call, 2 refused, 3 counts, then for each contact its hash and its due set
-- ARGV: 1 clock, then for each contact: id, due ms, phone, n, and n times field and value
-- Returns how many were new, and how many of these are on the do-not-call list.
local new, refused, at = 0, 0, 2
for k = 4, #KEYS, 2 do
  local contact, due = KEYS[k], KEYS[k + 1]
  local id, due_ms, phone, n = ARGV[at], ARGV[at + 1], ARGV[at + 2], tonumber(ARGV[at + 3])
  if redis.call('EXISTS', contact) == 0 then
    new = new + 1
    redis.call('HSET', contact, unpack(ARGV, at + 4, at + 3 + 2 * n))
    if redis.call('HEXISTS', KEYS[1], phone) == 1 then
      refused = refused + 1
      redis.call('HSET', contact, 'state', 'refused', 'disposition', 'do_not_call', 'reason', 'on the do-not-call list')
      redis.call('ZADD', KEYS[2], now, id)
      redis.call('HINCRBY', KEYS[3], 'do_not_call', 1)
    else
      redis.call('ZADD', due, due_ms, id .. '#1')
    end
  end
  at = at + 4 + 2 * n
end
return {new, refused}
