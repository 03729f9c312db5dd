-- Give an attempt back unspent, because nothing rang: its contact waits again. The token is '' for an attempt that
-- was never begun. `slow_to` is the most by which the pace is slowed; 1 does not slow it.
-- Returns 1, or 0 if the attempt is not the caller's to give back.
local attempt, contact, lines, campaign_lines, queued, live, watch, due, number, journal, slow, brakes, rung
  = unpack(KEYS)
local attempt_id, token, due_ms, rule, reason, slow_to = unpack(ARGV, 2)

local its_token, begun_at, caller_id = unpack(redis.call('HMGET', attempt, 'token', 'begun_at', 'caller_id'))
if (its_token or '') ~= token then return 0 end
if not redis.call('ZSCORE', live, attempt_id) then return 0 end
if token ~= '' then
  -- Undo what begin.lua has counted.
  local function count_one_less(key)
    local day = redis.call('HGET', key, 'day')
    if day and tonumber(begun_at) >= tonumber(day) then redis.call('HINCRBY', key, 'today', -1) end
  end
  count_one_less(brakes)
  -- Which caller ID it was, only the attempt tells. Its key is in the same slot as the others.
  if (caller_id or '') ~= '' then count_one_less(ROOT .. 'caller_id:' .. caller_id) end
  if tonumber(redis.call('HGET', brakes, 'begun') or '0') > 0 and redis.call('HEXISTS', brakes, 'approved') == 0 then
    redis.call('HINCRBY', brakes, 'begun', -1)
  end
end
redis.call('DEL', attempt)
-- The attempt keeps its number for the next time, and the contact what the attempt before came to.
local nth = tonumber(string.match(attempt_id, '#(%d+)$'))
redis.call('HDEL', contact, 'state', 'attempt')
redis.call('HSET', contact, 'postponed', reason, 'made', nth - 1)
if nth > 1 then redis.call('HSET', contact, 'attempt', string.gsub(attempt_id, '#%d+$', '#' .. (nth - 1)) .. '') end
for _, holding in ipairs({lines, campaign_lines, queued, live, watch}) do redis.call('ZREM', holding, attempt_id) end
redis.call('ZADD', due, due_ms, attempt_id)
if redis.call('HGET', number, 'attempt') == attempt_id then redis.call('DEL', number) end
redis.call('ZREM', rung, attempt_id)
redis.call('RPUSH', journal, cjson.encode({at = now, attempt = attempt_id, event = 'postponed', rule = rule,
  reason = reason, due = tonumber(due_ms)}))
slow_down(slow, tonumber(slow_to))
return 1
