-- Return true if the do-not-call list forbids a campaign to ring a number. An entry holds everywhere, for a purpose
-- or for one campaign, and perhaps only until a day. Listing.covers in worker/rules/do_not_call.py is the same rule.
local function listed(do_not_call, phone, purpose, campaign_name)
  local kept = redis.call('HGET', do_not_call, phone)
  for _, entry in ipairs(kept and cjson.decode(kept) or {}) do
    local scope = entry.scope or ''
    if (scope == '' or scope == purpose or scope == 'campaign:' .. campaign_name)
      and (not entry.expires_at or entry.expires_at > now) then return true end
  end
  return false
end

-- Add an entry to a number; return false if the number had one from the same list for the same scope. Of an imported
-- list, the newest copy counts; an entry by an operator or by the person stays as it is, unless the new one holds
-- longer.
local function put_on_list(do_not_call, phone, entry)
  local kept = redis.call('HGET', do_not_call, phone)
  local entries = kept and cjson.decode(kept) or {}
  local at = #entries + 1
  for n, old in ipairs(entries) do
    if (old.scope or '') == (entry.scope or '') and (old.list or '') == (entry.list or '') then at = n end
  end
  local old = entries[at]
  local stays = old and not entry.list
    and (not old.expires_at or (entry.expires_at and entry.expires_at <= old.expires_at))
  if not stays then
    entries[at] = entry
    redis.call('HSET', do_not_call, phone, cjson.encode(entries))
  end
  return not old
end
