-- Reads entries of some channels, or of all.
--
-- ARGV: "up" or "down", the first id and the last, in this order; the most entries and bytes; and
-- the channels' names, if not all.
-- Answers {the floor, the head, the id up to which that is all or "", the entries…}.
evict()
local direction, first, last = ARGV[5], ARGV[6], ARGV[7]
local most, most_bytes = tonumber(ARGV[8]), tonumber(ARGV[9])
if direction == "up" then
    first = above_floor(first)
else
    last = above_floor(last)
end
local function range(key, from, count)
    if direction == "up" then
        return redis.call("XRANGE", key, from, last, "COUNT", count)
    end
    return backwards(key, from, last, count)
end
local answer = {floor, head, ""}
local size = 0

-- Whether there is room for more after this one.
local function take(entry)
    answer[#answer + 1] = entry
    size = size + #field(entry, "body")
    if #answer - 3 < most and size <= most_bytes then
        return true
    end
    answer[3] = entry[1]
end

if #ARGV == 9 then
    -- A few at first, for they may be large.
    local few = 4
    local from = first
    while true do
        local entries = range(EVENTS, from, few)
        for _, entry in ipairs(entries) do
            if not take(entry) then
                return answer
            end
        end
        if #entries < few then
            return answer
        end
        from = "(" .. entries[#entries][1]
        few = math.min(2 * few, 128)
    end
end

-- As many ids of each channel, and where the first ends of those that have more: what comes after
-- is not known of all.
local each = math.max(8, math.floor(most / (#ARGV - 9)))
local ids, is_known, horizon = {}, {}, nil
local function is_before(id, other)
    if direction == "up" then
        return is_above(other, id)
    end
    return is_above(id, other)
end
for i = 10, #ARGV do
    local found = range(channel_key(ARGV[i]), first, each)
    for _, entry in ipairs(found) do
        if not is_known[entry[1]] then
            is_known[entry[1]] = true
            ids[#ids + 1] = entry[1]
        end
    end
    if #found == each and (not horizon or is_before(found[each][1], horizon)) then
        horizon = found[each][1]
    end
end
table.sort(ids, is_before)
for _, id in ipairs(ids) do
    if horizon and is_before(horizon, id) then
        break
    end
    local entry = redis.call("XRANGE", EVENTS, id, id)[1]
    -- An index may have more than the stream, which is trimmed at once.
    if entry and not take(entry) then
        return answer
    end
end
if horizon then
    answer[3] = horizon
end
return answer
