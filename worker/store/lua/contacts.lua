-- Read contacts, whether something has happened to them or not.
-- KEYS: 1 sheets, then the contacts
-- ARGV: 1 clock
-- Returns the fields and values of each; none for one that there is not.
local found = {}
for k = 2, #KEYS do found[k - 1] = fields_of(KEYS[k], KEYS[1]) end
return found
