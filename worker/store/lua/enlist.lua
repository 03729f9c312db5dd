-- Enlist a batch of contacts. A contact that is in the campaign already stays as it is: the same file twice changes
-- nothing.
-- The caller has the salt in mind, and the numbers of places and sheets (JSON). If Redis does not have them, it was
-- emptied, or is a replica that lagged when it took over; a contact that relied on them could never be read again.
-- A row (JSON) is the sheet's number, the line of the file, the phone as a number, and the values of the columns.
-- Returns how many contacts were new, and how many of these are on the do-not-call list; nothing if the caller must
-- look again.
local do_not_call, refused, counts, sheets, zones, salt = unpack(KEYS, 1, 6)
local next_keys = rest(KEYS, 6, 2)
local due_ms, purpose, campaign_name, salt_in_mind, zones_in_mind, sheets_in_mind = unpack(ARGV, 2, 7)
local next_args = rest(ARGV, 7, 3)

if redis.call('GET', salt) ~= salt_in_mind then return {} end
for kept, in_mind in pairs({[zones] = zones_in_mind, [sheets] = sheets_in_mind}) do
  for name, number in pairs(cjson.decode(in_mind)) do
    if redis.call('HGET', kept, name) ~= number then return {} end
  end
end
local new, new_refused = 0, 0
for contact, due in next_keys do
  local contact_id, phone, row = next_args()
  if redis.call('SET', contact, row, 'NX') then
    new = new + 1
    if listed(do_not_call, phone, purpose, campaign_name) then
      new_refused = new_refused + 1
      unfold(contact, sheets)
      redis.call('HSET', contact, 'state', REFUSED, 'disposition', DO_NOT_CALL, 'reason', 'on the do-not-call list')
      redis.call('ZADD', refused, now, contact_id)
      redis.call('HINCRBY', counts, DO_NOT_CALL, 1)
    else
      redis.call('ZADD', due, due_ms, contact_id .. '#1')
    end
  end
end
return {new, new_refused}
