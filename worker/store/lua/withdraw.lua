-- End a waiting contact without ringing it: it is on the do-not-call list now, or its campaign was stopped.
-- Returns 1, or 0 if it was not waiting.
local contact, due, done, refused, counts, journal, sheets = unpack(KEYS)
local contact_id, waiting_id, state, disposition, reason = unpack(ARGV, 2)

if redis.call('ZREM', due, waiting_id) == 0 then return 0 end
unfold(contact, sheets)
redis.call('HSET', contact, 'state', state, 'disposition', disposition, 'reason', reason)
redis.call('HDEL', contact, 'postponed')
redis.call('ZADD', state == REFUSED and refused or done, now, contact_id)
redis.call('HINCRBY', counts, disposition, 1)
redis.call('RPUSH', journal, cjson.encode({at = now, attempt = waiting_id, event = 'withdrawn', rule = disposition,
  reason = reason}))
return 1
