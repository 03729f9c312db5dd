-- Record that a contact whom we rang before rings us. Its waiting attempt is withdrawn while they talk, and kept on
-- the inbound attempt, so that a call that comes to nothing gives it back. Telnyx may ask twice for one call: the
-- second time changes nothing.
-- Returns 1, or 0 if the call was recorded before.
local attempt, contact, due, live, done, counts, watch, journal, call = unpack(KEYS)
local attempt_id, contact_id, waiting_id, lease_ms, call_sid = unpack(ARGV, 2)

redis.call('SET', call, attempt_id, 'PX', INBOUND_KEPT_MS)
if redis.call('EXISTS', attempt) == 1 then return 0 end
local waiting_due = redis.call('ZSCORE', due, waiting_id)
local state, disposition, reason = unpack(redis.call('HMGET', contact, 'state', 'disposition', 'reason'))
local lease_until = now + tonumber(lease_ms)
redis.call('HSET', attempt, 'direction', 'inbound', 'contact', contact_id, 'begun_at', now,
  'lease_until', lease_until, 'rev', 0, 'token', call_sid, 'call_sid', call_sid)
redis.call('ZADD', watch, lease_until, attempt_id)
redis.call('RPUSH', journal, cjson.encode({at = now, attempt = attempt_id, event = 'rang_us'}))
-- While an attempt of ours is under way, that one decides about the contact, and this call is only on the record.
if not waiting_due and state ~= DONE then return 1 end
redis.call('HSET', attempt, 'due_before', waiting_due or '', 'disposition_before', disposition or '',
  'reason_before', reason or '')
if waiting_due then redis.call('ZREM', due, waiting_id) end
if state == DONE then
  redis.call('ZREM', done, contact_id)
  redis.call('HINCRBY', counts, disposition, -1)
end
redis.call('HSET', contact, 'state', LIVE, 'attempt', attempt_id)
redis.call('ZADD', live, now, attempt_id)
return 1
