-- Record that a call to us began, or is over: in between, it holds a line and a bot. Recording it again changes
-- nothing.
-- Returns 1 for a change, else 0.
local inbound, used = unpack(KEYS)
local call_sid, is_over = unpack(ARGV, 2)

if is_over ~= '1' then return redis.call('ZADD', inbound, 'NX', now, call_sid) end
if redis.call('ZREM', inbound, call_sid) == 0 then return 0 end
redis.call('ZADD', used, now, call_sid)
return 1
