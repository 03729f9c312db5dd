-- A witness says something about an attempt. The first word of its kind stays: saying it again changes nothing.
-- KEYS: 1 attempt, 2 contact, 3 lines, 4 watch, 5 journal
-- ARGV: 1 clock, 2 attempt id, 3 kind, 4 what (JSON), 5 '1' if the call is over, 6 token ('' for an outside witness),
--       7 '1' if it can wait for the attempt's next look, 8 what the keys of campaigns' lines begin with: which campaign
--       it is, only the contact knows. They share KEYS' slot.
-- Returns 1 for news, 2 for news that can wait, 0 for a repetition, -1 for an attempt that we do not know or that is another's.
if redis.call('EXISTS', KEYS[1]) == 0 then return -1 end
if ARGV[6] ~= '' and redis.call('HGET', KEYS[1], 'token') ~= ARGV[6] then return -1 end
local kind = 'heard:' .. ARGV[3]
if redis.call('HSETNX', KEYS[1], kind, now .. ' ' .. ARGV[4]) == 0 then return 0 end
redis.call('HINCRBY', KEYS[1], 'rev', 1)
if ARGV[5] == '1' then
  redis.call('ZREM', KEYS[3], ARGV[2])
  redis.call('ZREM', ARGV[8] .. redis.call('HGET', KEYS[2], 'campaign'), ARGV[2])
end
redis.call('RPUSH', KEYS[5], cjson.encode({at = now, attempt = ARGV[2], event = 'heard', rule = ARGV[3]}))
-- Of a concluded attempt nobody waits for a look any more: whatever is heard of it is a reason for one.
if ARGV[7] == '1' and redis.call('HEXISTS', KEYS[1], 'disposition') == 0 then return 2 end
-- Due for a look now: even if the message that says so is lost, the sweep comes by.
redis.call('ZADD', KEYS[4], now, ARGV[2])
return 1
