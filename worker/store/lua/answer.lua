-- Someone we rang before rings us. Their queued attempt is withdrawn while they talk; what it was is kept on the inbound
-- attempt, so that a call that comes to nothing gives it back. Telnyx may ask twice for one call: the second changes nothing.
-- KEYS: 1 inbound attempt, 2 contact, 3 due, 4 live, 5 done, 6 counts, 7 watch, 8 journal, 9 call
-- ARGV: 1 clock, 2 inbound attempt id, 3 contact id, 4 the waiting attempt's id, 5 lease ms, 6 call sid
redis.call('SET', KEYS[9], ARGV[2], 'PX', 86400000)
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local due = redis.call('ZSCORE', KEYS[3], ARGV[4])
local contact = redis.call('HMGET', KEYS[2], 'state', 'disposition', 'reason')
local lease_until = now + tonumber(ARGV[5])
redis.call('HSET', KEYS[1], 'direction', 'inbound', 'contact', ARGV[3], 'begun_at', now, 'lease_until', lease_until,
  'rev', 0, 'token', ARGV[6], 'call_sid', ARGV[6])
redis.call('ZADD', KEYS[7], lease_until, ARGV[2])
redis.call('RPUSH', KEYS[8], cjson.encode({at = now, attempt = ARGV[2], event = 'rang_us'}))
-- While an attempt of ours is under way, that one moves the contact, and this call is only on the record.
if not due and contact[1] ~= 'done' then return 1 end
redis.call('HSET', KEYS[1], 'due_before', due or '', 'disposition_before', contact[2] or '', 'reason_before', contact[3] or '')
if due then redis.call('ZREM', KEYS[3], ARGV[4]) end
if contact[1] == 'done' then
  redis.call('ZREM', KEYS[5], ARGV[3])
  redis.call('HINCRBY', KEYS[6], contact[2], -1)
end
redis.call('HSET', KEYS[2], 'state', 'live', 'attempt', ARGV[2])
redis.call('ZADD', KEYS[4], now, ARGV[2])
return 1
