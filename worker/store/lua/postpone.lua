-- Nothing rang: the contact goes back to its due set, and the attempt is not spent.
-- KEYS: 1 attempt, 2 contact, 3 lines, 4 the campaign's lines, 5 queued, 6 live, 7 watch, 8 due, 9 number, 10 journal,
--       11 slow, 12 brakes, 13 rung
-- ARGV: 1 clock, 2 attempt id, 3 token ('' for an attempt that was never begun), 4 due ms, 5 rule, 6 reason,
--       7 the most that the pace is slowed by (1: not at all), 8 what the keys of caller IDs begin with: which one it was,
--       only the attempt knows. They share KEYS' slot.
-- Returns 1, or 0 if the attempt is not the caller's to give back.
local attempt_id = ARGV[2]
if (redis.call('HGET', KEYS[1], 'token') or '') ~= ARGV[3] then return 0 end
if not redis.call('ZSCORE', KEYS[6], attempt_id) then return 0 end
if ARGV[3] ~= '' then
  -- What begin.lua has counted is taken off again.
  local begun = redis.call('HMGET', KEYS[1], 'begun_at', 'caller_id')
  local function take_off(key)
    local day = redis.call('HGET', key, 'day')
    if day and tonumber(begun[1]) >= tonumber(day) then redis.call('HINCRBY', key, 'today', -1) end
  end
  take_off(KEYS[12])
  if (begun[2] or '') ~= '' then take_off(ARGV[8] .. begun[2]) end
  if tonumber(redis.call('HGET', KEYS[12], 'begun') or '0') > 0 and redis.call('HEXISTS', KEYS[12], 'approved') == 0 then
    redis.call('HINCRBY', KEYS[12], 'begun', -1)
  end
end
redis.call('DEL', KEYS[1])
-- The attempt keeps its number for the next time, and the contact what the attempt before it came to.
local number = tonumber(string.match(attempt_id, '#(%d+)$'))
redis.call('HDEL', KEYS[2], 'state', 'attempt')
redis.call('HSET', KEYS[2], 'postponed', ARGV[6], 'made', number - 1)
if number > 1 then redis.call('HSET', KEYS[2], 'attempt', string.gsub(attempt_id, '#%d+$', '#' .. (number - 1)) .. '') end
for k = 3, 7 do redis.call('ZREM', KEYS[k], attempt_id) end
redis.call('ZADD', KEYS[8], ARGV[4], attempt_id)
if redis.call('HGET', KEYS[9], 'attempt') == attempt_id then redis.call('DEL', KEYS[9]) end
redis.call('ZREM', KEYS[13], attempt_id)
redis.call('RPUSH', KEYS[10], cjson.encode({at = now, attempt = attempt_id, event = 'postponed', rule = ARGV[5],
  reason = ARGV[6], due = tonumber(ARGV[4])}))
slow_down(KEYS[11], tonumber(ARGV[7])) -- the carrier is busy
return 1
