-- Record how an attempt ended and what follows for its contact. The decision rests on the evidence of one revision:
-- if more has been heard since, nothing is written and the caller decides again.
-- next_id is '' if no attempt follows. marks are joined by +, '' if the brakes do not count the attempt. picked_up is
-- '1' if a person did, '0' if the phone rang in vain, '' if neither is known.
-- Returns the value of a Conclusion: see worker/store/values.py.
local attempt, contact, lines, campaign_lines, live, watch, due, done, counts, do_not_call, journal, queued, talking,
  used, totals, window, abandoned, people = unpack(KEYS)
local attempt_id, revision, disposition, reason, is_guess, next_id, next_due_ms, phone, answers, contact_id,
  duration_s, call_sid, marks, picked_up, message_left = unpack(ARGV, 2)

local holding = {lines, campaign_lines, live, watch}
local known_revision, known_disposition, known_guess, known_next, known_marks, begun_at, own_number = unpack(
  redis.call('HMGET', attempt, 'rev', 'disposition', 'guess', 'next', 'marks', 'begun_at', 'caller_id'))
if not known_revision then return 'unknown' end
if known_revision ~= revision then return 'stale' end
-- A settled fact stays, with one exception: a person who asks for no more calls is heard, however late their word
-- comes.
local asked = disposition == DO_NOT_CALL and known_disposition ~= disposition
if known_disposition and known_guess ~= '1' and not asked then
  redis.call('ZREM', watch, attempt_id)
  return 'settled'
end
local same = known_disposition == disposition
redis.call('HSET', attempt, 'disposition', disposition, 'reason', reason, 'guess', is_guess,
  'next', same and known_next or next_id, 'answers', answers, 'duration_s', duration_s, 'call_sid', call_sid)
for n = 1, #holding do redis.call('ZREM', holding[n], attempt_id) end
if redis.call('ZREM', talking, attempt_id) == 1 then redis.call('ZADD', used, now, attempt_id) end
if message_left == '1' then redis.call('HSET', contact, 'message_left', 1) end
if disposition == DO_NOT_CALL then
  put_on_list(do_not_call, phone, {at = now, source = 'asked during ' .. attempt_id})
end
if marks ~= '' and marks ~= known_marks then
  -- The brakes (worker/rules/brakes.py) count each attempt once, as what it is by all that is known now.
  local change = {} -- mark -> 1 if the attempt has it now, -1 if it no longer has it
  for mark in string.gmatch(marks, '[^+]+') do change[mark] = 1 end
  for mark in string.gmatch(known_marks or '', '[^+]+') do change[mark] = not change[mark] and -1 or nil end
  for mark, by in pairs(change) do
    redis.call('HINCRBY', totals, mark, by)
    if mark == PERSON then
      local day = math.floor(tonumber(begun_at) / DAY_MS)
      if redis.call('HINCRBY', people, day, by) == 1 then redis.call('HDEL', people, day - PERIOD_DAYS) end
    elseif mark == ABANDONED and by == 1 then
      redis.call('ZADD', abandoned, begun_at, attempt_id)
      redis.call('ZREMRANGEBYSCORE', abandoned, '-inf', now - PERIOD_DAYS * DAY_MS)
    elseif mark == ABANDONED then
      redis.call('ZREM', abandoned, attempt_id)
    end
  end
  local at = now
  if known_marks then
    local was = known_marks .. ' ' .. attempt_id
    at = redis.call('ZSCORE', window, was)
    redis.call('ZREM', window, was)
  elseif (own_number or '') ~= '' and picked_up ~= '' then
    -- The caller ID's health: its last calls as a string of 1 and 0, and how many there were in all. Which caller ID
    -- it was, only the attempt tells; its key is in the same slot as the others.
    local caller_id = ROOT .. 'caller_id:' .. own_number
    local recent = (redis.call('HGET', caller_id, 'recent') or '') .. picked_up
    redis.call('HSET', caller_id, 'recent', string.sub(recent, -RECENT_CALLS))
    redis.call('HINCRBY', caller_id, 'calls', 1)
    redis.call('HINCRBY', caller_id, 'answered', picked_up)
  end
  if at then
    redis.call('ZADD', window, at, marks .. ' ' .. attempt_id)
    redis.call('ZREMRANGEBYRANK', window, 0, -1 - WINDOW)
  end
  redis.call('HSET', attempt, 'marks', marks)
end
local is_newest = redis.call('HGET', contact, 'attempt') == attempt_id
if same then
  -- More is known of the attempt now, and nothing else follows from it.
  if is_newest then redis.call('HSET', contact, 'reason', reason) end
  return 'ok'
end
redis.call('HSET', attempt, 'concluded_at', now)
redis.call('RPUSH', journal, cjson.encode({at = now, attempt = attempt_id, event = 'concluded', rule = disposition,
  reason = reason, guess = is_guess == '1', due = tonumber(next_due_ms)}))
-- Only the contact's newest attempt decides what follows for the contact; for an older one, the record is corrected.
if not is_newest then return 'ok' end
if known_next and known_next ~= '' and redis.call('ZREM', due, known_next) == 0 then
  -- A guess had queued the next attempt, and it was claimed since. It is taken back if nobody has dialed it yet.
  if redis.call('ZREM', queued, known_next) == 0 then return 'ok' end
  for n = 1, #holding do redis.call('ZREM', holding[n], known_next) end
end
local state_before, disposition_before = unpack(redis.call('HMGET', contact, 'state', 'disposition'))
if state_before == DONE then redis.call('HINCRBY', counts, disposition_before, -1) end
redis.call('HSET', contact, 'disposition', disposition, 'reason', reason)
redis.call('HDEL', contact, 'postponed')
if next_id ~= '' then
  redis.call('HDEL', contact, 'state')
  redis.call('ZREM', done, contact_id)
  redis.call('ZADD', due, next_due_ms, next_id)
else
  redis.call('HSET', contact, 'state', DONE)
  redis.call('ZADD', done, now, contact_id)
  redis.call('HINCRBY', counts, disposition, 1)
end
return 'ok'
