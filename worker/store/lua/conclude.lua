-- Record how an attempt ended and what follows for its contact. Decided from the evidence of revision ARGV[3] only:
-- if more has been heard since, nothing is written and the caller decides again.
-- KEYS: 1 attempt, 2 contact, 3 lines, 4 the campaign's lines, 5 live, 6 watch, 7 due, 8 done, 9 counts, 10 do-not-call,
--       11 journal, 12 queued, 13 talking, 14 used, 15 totals, 16 window, 17 abandoned, 18 people, 19 caller ID (if it
--       has one)
-- ARGV: 1 clock, 2 attempt id, 3 revision, 4 disposition, 5 reason, 6 '1' for a guess that later evidence may correct,
--       7 the next attempt's id ('' for none), 8 its due ms, 9 phone, 10 answers (JSON),
--       11 contact id, 12 seconds of talk, 13 call sid, 14 marks, joined by + ('' if nobody counts it), 15 how many
--       attempts the window holds, 16 '1' if somebody picked up, '0' if the phone rang in vain, '' if neither can be said,
--       17 '1' if the message was left on a machine
-- Returns 'ok', 'stale' (decide again), 'settled' (was concluded before, and stays), or 'unknown'.
local attempt_id, disposition = ARGV[2], ARGV[4]
local attempt = redis.call('HMGET', KEYS[1], 'rev', 'disposition', 'guess', 'next', 'marks', 'begun_at')
if not attempt[1] then return 'unknown' end
if attempt[1] ~= ARGV[3] then return 'stale' end
-- A settled fact stays, but for one: whoever asks not to be called again is heard, however late their word comes.
local asked = disposition == 'do_not_call' and attempt[2] ~= disposition
if attempt[2] and attempt[3] ~= '1' and not asked then
  redis.call('ZREM', KEYS[6], attempt_id)
  return 'settled'
end
local same = attempt[2] == disposition
local following = same and attempt[4] or ARGV[7]
redis.call('HSET', KEYS[1], 'disposition', disposition, 'reason', ARGV[5], 'guess', ARGV[6], 'next', following,
  'answers', ARGV[10], 'duration_s', ARGV[12], 'call_sid', ARGV[13])
for k = 3, 6 do redis.call('ZREM', KEYS[k], attempt_id) end
if redis.call('ZREM', KEYS[13], attempt_id) == 1 then redis.call('ZADD', KEYS[14], now, attempt_id) end
if ARGV[17] == '1' then redis.call('HSET', KEYS[2], 'message_left', 1) end
if disposition == 'do_not_call' then
  put_on_list(KEYS[10], ARGV[9], {at = now, source = 'asked during ' .. attempt_id})
end
local marks, marked = ARGV[14], attempt[5]
if marks ~= '' and marks ~= marked then
  -- What the brakes count (worker/rules/brakes.py): each attempt once, as what it is by all that is known now.
  local day = math.floor(tonumber(attempt[6]) / 86400000)
  local function count(text, by)
    for mark in string.gmatch(text, '[^+]+') do
      redis.call('HINCRBY', KEYS[15], mark, by)
      if mark == 'person' and redis.call('HINCRBY', KEYS[18], day, by) == 1 then redis.call('HDEL', KEYS[18], day - 31) end
      if mark == 'abandoned' and by == -1 then redis.call('ZREM', KEYS[17], attempt_id) end
      if mark == 'abandoned' and by == 1 then
        redis.call('ZADD', KEYS[17], attempt[6], attempt_id)
        redis.call('ZREMRANGEBYSCORE', KEYS[17], '-inf', now - 31 * 86400000)
      end
    end
  end
  local at = now
  if marked then
    count(marked, -1)
    local was = marked .. ' ' .. attempt_id
    at = redis.call('ZSCORE', KEYS[16], was)
    redis.call('ZREM', KEYS[16], was)
  elseif KEYS[19] and ARGV[16] ~= '' then
    -- The caller ID's health: its last calls as a row of 1 and 0, and how many there were in all.
    local recent = (redis.call('HGET', KEYS[19], 'recent') or '') .. ARGV[16]
    redis.call('HSET', KEYS[19], 'recent', string.sub(recent, -200))
    redis.call('HINCRBY', KEYS[19], 'calls', 1)
    redis.call('HINCRBY', KEYS[19], 'answered', ARGV[16])
  end
  count(marks, 1)
  if at then
    redis.call('ZADD', KEYS[16], at, marks .. ' ' .. attempt_id)
    redis.call('ZREMRANGEBYRANK', KEYS[16], 0, -1 - tonumber(ARGV[15]))
  end
  redis.call('HSET', KEYS[1], 'marks', marks)
end
local current = redis.call('HGET', KEYS[2], 'attempt') == attempt_id
if same then
  -- More is known of it now, and nothing else follows from it.
  if current then redis.call('HSET', KEYS[2], 'reason', ARGV[5]) end
  return 'ok'
end
redis.call('HSET', KEYS[1], 'concluded_at', now)
redis.call('RPUSH', KEYS[11], cjson.encode({at = now, attempt = attempt_id, event = 'concluded', rule = disposition,
  reason = ARGV[5], guess = ARGV[6] == '1', due = tonumber(ARGV[8])}))
-- Only the contact's newest attempt moves the contact; of an older one, the record is corrected and no more.
if not current then return 'ok' end
if attempt[4] and attempt[4] ~= '' and redis.call('ZREM', KEYS[7], attempt[4]) == 0 then
  -- A guess had queued the next attempt, and it has been claimed: it is taken back, for nobody has dialed it yet.
  if redis.call('ZREM', KEYS[12], attempt[4]) == 0 then return 'ok' end
  for k = 3, 6 do redis.call('ZREM', KEYS[k], attempt[4]) end
end
local contact = redis.call('HMGET', KEYS[2], 'state', 'disposition')
if contact[1] == 'done' then redis.call('HINCRBY', KEYS[9], contact[2], -1) end
redis.call('HSET', KEYS[2], 'disposition', disposition, 'reason', ARGV[5])
redis.call('HDEL', KEYS[2], 'postponed')
if ARGV[7] ~= '' then
  redis.call('HDEL', KEYS[2], 'state')
  redis.call('ZREM', KEYS[8], ARGV[11])
  redis.call('ZADD', KEYS[7], ARGV[8], ARGV[7])
else
  redis.call('HSET', KEYS[2], 'state', 'done')
  redis.call('ZADD', KEYS[8], now, ARGV[11])
  redis.call('HINCRBY', KEYS[9], disposition, 1)
end
return 'ok'
