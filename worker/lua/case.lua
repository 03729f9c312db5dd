-- Read all that is known about one attempt, as it is at one moment.
-- KEYS: 1 contact, 2 attempt, 3 sheets, 4 do-not-call, 5 lists
-- ARGV: 1 clock, 2, 3 and 4 what the keys of campaigns, of their places and of numbers rung lately begin with: which they
--       are, only the contact knows. They share KEYS' slot.
-- Returns nothing for no such contact, else {now, the contact's fields, the attempt's, the campaign's version and state,
-- the name of the contact's place, its number's entries on the do-not-call list, when that number was rung lately, the
-- imported lists}.
-- Whoever reads it is about to do something with it.
unfold(KEYS[1], KEYS[3])
local contact = redis.call('HGETALL', KEYS[1])
if #contact == 0 then return {} end
local held = {}
for n = 1, #contact, 2 do held[contact[n]] = contact[n + 1] end
local campaign = redis.call('HMGET', ARGV[2] .. held.campaign, 'version', 'state')
local names = ''
local zones = redis.call('HGETALL', ARGV[3] .. held.campaign)
for n = 1, #zones, 2 do
  if zones[n + 1] == held.zone then names = zones[n] end
end
local rung, at = redis.call('ZRANGE', ARGV[4] .. held.phone, 0, -1, 'WITHSCORES'), {}
for n = 2, #rung, 2 do at[#at + 1] = rung[n] end
return {now, contact, redis.call('HGETALL', KEYS[2]), campaign[1] or '', campaign[2] or '', names,
  redis.call('HGET', KEYS[4], held.phone) or '', at, redis.call('HGETALL', KEYS[5])}
