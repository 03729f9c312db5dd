-- Record that the carrier was asked about an attempt, and when. `answer` is found, not_found or no_answer. What the
-- carrier says about a call is a witness's word of its own.
-- Returns 1, or 0 if there is no such attempt.
local attempt, watch, journal = unpack(KEYS)
local attempt_id, answer, detail = unpack(ARGV, 2)

if redis.call('EXISTS', attempt) == 0 then return 0 end
redis.call('HSET', attempt, 'asked_at', now)
if answer == 'not_found' then redis.call('HSET', attempt, 'not_found_at', now) end
redis.call('ZADD', watch, 'XX', now, attempt_id)
redis.call('RPUSH', journal, cjson.encode({at = now, attempt = attempt_id, event = 'asked', rule = answer,
  reason = detail}))
return 1
