-- Record what a witness says about an attempt. Of each kind, the first word stays: saying it again changes nothing.
-- `what` is JSON. The token is '' for a witness from outside. `bot` says what the word means for the bots: ANSWERED
-- (the call takes one), JOINED (it has come), RUNG_OUT (the call takes none) or ''. `left_ms` is when the dial really
-- left, or 0.
-- Returns one of the WORD_ constants: see Reception in worker/store/values.py.
local attempt, contact, lines, watch, journal, used, left = unpack(KEYS)
local attempt_id, kind, what, is_over, token, can_wait, bot, left_ms = unpack(ARGV, 2)

if redis.call('EXISTS', attempt) == 0 then return WORD_UNKNOWN end
if token ~= '' and redis.call('HGET', attempt, 'token') ~= token then return WORD_UNKNOWN end
-- Which campaign it is, only the contact tells. Its keys are in the same slot as the others.
local campaign_name = redis.call('HGET', contact, 'campaign')
local function of_the_campaign(kind) return ROOT .. kind .. ':' .. campaign_name end
if left_ms ~= '0' then
  -- Later than planned: the dials after it wait so much longer.
  redis.call('ZADD', left, 'XX', 'GT', left_ms, attempt_id)
  redis.call('ZADD', of_the_campaign('left'), 'XX', 'GT', left_ms, attempt_id)
end
if redis.call('HSETNX', attempt, 'heard:' .. kind, now .. ' ' .. what) == 0 then return WORD_REPEATED end
redis.call('HINCRBY', attempt, 'rev', 1)
local over = is_over == '1'
local on_a_line = redis.call('ZSCORE', lines, attempt_id)
-- An answered call takes a bot, which must come soon; a call that is over leaves a used one. The calls of people who
-- ring us are counted by inbound_call.lua.
if redis.call('HGET', attempt, 'direction') ~= 'inbound' then
  local talking, awaiting, odds = of_the_campaign('talking'), of_the_campaign('awaiting'), of_the_campaign('odds')
  local answered = bot == ANSWERED or bot == JOINED
  local counted = answered and ANSWERED or bot == RUNG_OUT and RUNG_OUT
  if counted and redis.call('HSETNX', attempt, counted .. '_at', now) == 1 then
    if redis.call('HINCRBY', odds, counted, 1) >= ODDS_FULL then
      for _, field in ipairs({ANSWERED, RUNG_OUT}) do
        redis.call('HSET', odds, field, math.ceil(tonumber(redis.call('HGET', odds, field) or '0') / 2))
      end
    end
    if answered and on_a_line then redis.call('ZADD', talking, now, attempt_id) end
    if bot == ANSWERED and on_a_line and not over then redis.call('ZADD', awaiting, now, attempt_id) end
  end
  -- An attempt whose bot came too late, or never, stays in `awaiting` until a claim counts it.
  local since = (over or bot == JOINED) and redis.call('ZSCORE', awaiting, attempt_id)
  if since and now - since <= BOT_WITHIN_MS then redis.call('ZREM', awaiting, attempt_id) end
  if over and redis.call('ZREM', talking, attempt_id) == 1 then redis.call('ZADD', used, now, attempt_id) end
end
if over then
  redis.call('ZREM', lines, attempt_id)
  redis.call('ZREM', of_the_campaign('lines'), attempt_id)
end
redis.call('RPUSH', journal, cjson.encode({at = now, attempt = attempt_id, event = 'heard', rule = kind}))
-- A concluded attempt has no next look that the word could wait for.
if can_wait == '1' and redis.call('HEXISTS', attempt, 'disposition') == 0 then return WORD_NOTED end
redis.call('ZADD', watch, now, attempt_id) -- the next sweep looks at it
return WORD_IS_NEWS
