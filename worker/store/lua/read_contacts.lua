-- Read contacts, whether something has happened to them or not.
-- Returns the fields and values of each; none for a contact that does not exist.
local sheets = unpack(KEYS, 1, 1)
local next_keys = rest(KEYS, 1, 1)

local found = {}
for contact in next_keys do found[#found + 1] = fields_of(contact, sheets) end
return found
