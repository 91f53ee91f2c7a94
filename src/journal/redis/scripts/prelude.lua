-- Begins every script.
--
-- KEYS: the events, the state, the names of channels. Other keys begin as these do, and stand in
-- the same slot: the index of each channel and of each publisher's id, and the receipts.
-- ARGV: the newest id that the node knows, and the most events, bytes and milliseconds to keep.
local EVENTS, STATE, CHANNELS = KEYS[1], KEYS[2], KEYS[3]
local PREFIX = string.sub(EVENTS, 1, -#"events" - 1)
local SEEN = ARGV[1]
local MAX_EVENTS, MAX_BYTES, MAX_AGE = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local FORMAT = "1"
-- How many events are evicted in one go, so that nobody has to wait for long. Who appends more
-- evicts more: the stream must not grow for ever.
local MAX_EVICT = 1000

local function parts(id)
    local ms, n = string.match(id, "^(%d+)-(%d+)$")
    return tonumber(ms), tonumber(n)
end

local function joined(ms, n)
    return string.format("%.0f-%.0f", ms, n)
end

local function is_above(id, other)
    local ms, n = parts(id)
    local other_ms, other_n = parts(other)
    return ms > other_ms or (ms == other_ms and n > other_n)
end

local time = redis.call("TIME")
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

-- The id of the event after this one.
local function following(id)
    local ms, n = parts(id)
    if now > ms then
        return joined(now, 0)
    end
    return joined(ms, n + 1)
end

local function channel_key(name)
    return PREFIX .. "channel:" .. name
end

local function own_key(own)
    return PREFIX .. "own:" .. own
end

local function field(entry, name)
    local fields = entry[2]
    for i = 1, #fields, 2 do
        if fields[i] == name then
            return fields[i + 1]
        end
    end
end

local known = redis.call("HMGET", STATE, "format", "head", "floor", "bytes")
local head, floor, bytes = known[2], known[3], tonumber(known[4])
if not known[1] then
    -- Born now, above all that anybody can have seen.
    head = following(SEEN)
    floor, bytes = head, 0
    redis.call("DEL", EVENTS, CHANNELS)
    redis.call("HSET", STATE, "format", FORMAT)
elseif known[1] ~= FORMAT then
    return redis.error_reply("HERALDFORMAT " .. known[1])
elseif is_above(SEEN, head) then
    -- Redis has lost what this node has seen. Ids do not go back all the same.
    head = SEEN
end

local length = redis.call("XLEN", EVENTS)
if length == 0 then
    floor, bytes = head, 0
end

-- What is past its age is gone for every reader at once, however long it takes to evict it: the
-- indexes forget it by themselves.
local oldest = redis.call("XRANGE", EVENTS, "-", "+", "COUNT", 1)[1]
if oldest and parts(oldest[1]) < now - MAX_AGE then
    local before = string.format("%.0f", now - MAX_AGE - 1)
    local old = redis.call("XREVRANGE", EVENTS, before, "-", "COUNT", 1)[1]
    if is_above(old[1], floor) then
        floor = old[1]
    end
end

-- XREVRANGE, but where a stream begins after `from` Redis would read all of it to find nothing.
local function backwards(key, from, to, count)
    local first = redis.call("XRANGE", key, "-", "+", "COUNT", 1)[1]
    local excluded, id = string.match(from, "^(%(?)(.+)$")
    if not first or is_above(first[1], id) or (excluded ~= "" and first[1] == id) then
        return {}
    end
    return redis.call("XREVRANGE", key, from, to, "COUNT", count)
end

-- Where a range starts that shall not reach below the floor.
local function above_floor(id)
    return is_above(id, floor) and id or "(" .. floor
end

-- Lets an index forget what is not above the floor; tells whether nothing is left of it.
local function unindex(key)
    local ms, n = parts(floor)
    redis.call("XTRIM", key, "MINID", joined(ms, n + 1))
    if redis.call("XLEN", key) == 0 then
        redis.call("DEL", key)
        return true
    end
end

-- Lets go of what is beyond the bounds, and writes the state if it is another than before.
local function evict(appended)
    for _ = 1, math.max(MAX_EVICT, 2 * (appended or 0)) do
        oldest = oldest or redis.call("XRANGE", EVENTS, "-", "+", "COUNT", 1)[1]
        if not oldest then
            break
        end
        if is_above(oldest[1], floor) then
            local is_over = length > MAX_EVENTS or (length > 1 and bytes > MAX_BYTES)
            if not is_over then
                break
            end
            floor = oldest[1]
        end
        length = length - 1
        bytes = bytes - tonumber(field(oldest, "cost"))
        redis.call("XDEL", EVENTS, oldest[1])
        for name in string.gmatch(field(oldest, "channels"), "[^\n]+") do
            if unindex(channel_key(name)) then
                redis.call("ZREM", CHANNELS, name)
            end
        end
        local own = field(oldest, "own")
        if own then
            unindex(own_key(own))
        end
        oldest = nil
    end
    if head ~= known[2] or floor ~= known[3] or bytes ~= tonumber(known[4]) then
        redis.call("HSET", STATE, "head", head, "floor", floor, "bytes", bytes)
    end
end
