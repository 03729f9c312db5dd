-- A witness says something about an attempt. The first word of its kind stays: saying it again changes nothing.
-- KEYS: 1 attempt, 2 contact, 3 lines, 4 watch, 5 journal, 6 used, 7 the account's leavings
-- ARGV: 1 clock, 2 attempt id, 3 kind, 4 what (JSON), 5 '1' if the call is over, 6 token ('' for an outside witness),
--       7 '1' if it can wait for the attempt's next look, 8 what it means for the bots: 'answered' (a bot is wanted),
--       'joined' (one is there), 'rung_out' (nobody answered) or '', 9 how soon a bot must come (ms), 10 what all keys
--       begin with: which campaign it is, only the contact knows (they share KEYS' slot), 11 when the dial left (ms; 0: it
--       is not said)
-- Returns 1 for news, 2 for news that can wait, 0 for a repetition, -1 for an attempt that we do not know or that is another's.
if redis.call('EXISTS', KEYS[1]) == 0 then return -1 end
if ARGV[6] ~= '' and redis.call('HGET', KEYS[1], 'token') ~= ARGV[6] then return -1 end
local campaign = redis.call('HGET', KEYS[2], 'campaign')
local function of_the_campaign(kind) return ARGV[10] .. kind .. ':' .. campaign end
if ARGV[11] ~= '0' then
  -- Later than planned: whoever follows it waits so much longer.
  for _, left in ipairs({KEYS[7], of_the_campaign('left')}) do redis.call('ZADD', left, 'XX', 'GT', ARGV[11], ARGV[2]) end
end
local kind = 'heard:' .. ARGV[3]
if redis.call('HSETNX', KEYS[1], kind, now .. ' ' .. ARGV[4]) == 0 then return 0 end
redis.call('HINCRBY', KEYS[1], 'rev', 1)
local over, bot = ARGV[5] == '1', ARGV[8]
local on_a_line = redis.call('ZSCORE', KEYS[3], ARGV[2])
-- Who answers takes a bot, and it must come soon; who has rung off leaves one that is used. Those who ring us are counted
-- by their calls (inbound.lua).
if redis.call('HGET', KEYS[1], 'direction') ~= 'inbound' then
  local talking, awaiting, odds = of_the_campaign('talking'), of_the_campaign('awaiting'), of_the_campaign('odds')
  local answered = bot == 'answered' or bot == 'joined'
  local news = answered and 'answered' or bot == 'rung_out' and bot
  if news and redis.call('HSETNX', KEYS[1], news .. '_at', now) == 1 then
    -- People answer more at six than at ten: what was learned fades.
    if redis.call('HINCRBY', odds, news, 1) >= 200 then
      for _, name in ipairs({'answered', 'rung_out'}) do
        redis.call('HSET', odds, name, math.ceil(tonumber(redis.call('HGET', odds, name) or '0') / 2))
      end
    end
    if answered and on_a_line then redis.call('ZADD', talking, now, ARGV[2]) end
    if bot == 'answered' and on_a_line and not over then redis.call('ZADD', awaiting, now, ARGV[2]) end
  end
  -- A bot that came too late, or not at all, stays here until the claim counts it.
  local since = (over or bot == 'joined') and redis.call('ZSCORE', awaiting, ARGV[2])
  if since and now - since <= tonumber(ARGV[9]) then redis.call('ZREM', awaiting, ARGV[2]) end
  if over and redis.call('ZREM', talking, ARGV[2]) == 1 then redis.call('ZADD', KEYS[6], now, ARGV[2]) end
end
if over then
  redis.call('ZREM', KEYS[3], ARGV[2])
  redis.call('ZREM', of_the_campaign('lines'), ARGV[2])
end
redis.call('RPUSH', KEYS[5], cjson.encode({at = now, attempt = ARGV[2], event = 'heard', rule = ARGV[3]}))
-- Of a concluded attempt nobody waits for a look any more: whatever is heard of it is a reason for one.
if ARGV[7] == '1' and redis.call('HEXISTS', KEYS[1], 'disposition') == 0 then return 2 end
-- Due for a look now: the next sweep comes by.
redis.call('ZADD', KEYS[4], now, ARGV[2])
return 1
