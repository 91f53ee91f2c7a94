-- Appends publications.
--
-- ARGV: how long a receipt is kept; and for each publication its idempotency key or "", its
-- fingerprint, how many events it has, and for each of them its channels, body, cost, publisher's
-- id or "", and "1" if it is private.
-- Answers the floor, and for each {"new", the ids…}, {"again", the ids on the wire…} or {"reused"}.
local receipt_age = ARGV[5]
local appended = 0

-- When keys go by themselves whose last event has this id: some time after it is too old.
local function expiry(id)
    return string.format("%.0f", parts(id) + MAX_AGE + 60000)
end

-- What is known of a publication that came before.
local function earlier(receipt_key, fingerprint)
    local receipt = redis.call("GET", receipt_key)
    if not receipt then
        return nil
    end
    local ids = {}
    for line in string.gmatch(receipt, "[^\n]+") do
        ids[#ids + 1] = line
    end
    if ids[1] ~= fingerprint then
        return {"reused"}
    end
    ids[1] = "again"
    return ids
end

local function append(channels, body, cost, own, private)
    local id = following(head)
    local expires_at = expiry(id)
    -- The id before tells who reads on whether something is missing in between.
    local entry = {"channels", channels, "body", body, "cost", cost, "after", head}
    if own ~= "" then
        entry[#entry + 1] = "own"
        entry[#entry + 1] = own
        redis.call("XADD", own_key(own), id, "-", "")
        redis.call("PEXPIREAT", own_key(own), expires_at)
    end
    if private == "1" then
        entry[#entry + 1] = "private"
        entry[#entry + 1] = ""
    end
    redis.call("XADD", EVENTS, id, unpack(entry))
    for name in string.gmatch(channels, "[^\n]+") do
        redis.call("XADD", channel_key(name), id, "own", own)
        redis.call("PEXPIREAT", channel_key(name), expires_at)
        redis.call("ZADD", CHANNELS, 0, name)
    end
    head = id
    appended = appended + 1
    length = length + 1
    bytes = bytes + tonumber(cost)
    return id
end

local answer = {""}
local at = 6
while at <= #ARGV do
    local key, fingerprint, last = ARGV[at], ARGV[at + 1], at + 2 + 5 * tonumber(ARGV[at + 2])
    local receipt_key = PREFIX .. "receipt:" .. key
    local known = key ~= "" and earlier(receipt_key, fingerprint)
    if known then
        answer[#answer + 1] = known
    else
        local ids, receipt = {"new"}, {fingerprint}
        for i = at + 3, last, 5 do
            local own = ARGV[i + 3]
            local id = append(ARGV[i], ARGV[i + 1], ARGV[i + 2], own, ARGV[i + 4])
            ids[#ids + 1] = id
            receipt[#receipt + 1] = own ~= "" and own or id
        end
        if key ~= "" then
            redis.call("SET", receipt_key, table.concat(receipt, "\n"), "PX", receipt_age)
        end
        answer[#answer + 1] = ids
    end
    at = last + 1
end
redis.call("PEXPIREAT", EVENTS, expiry(head))
redis.call("PEXPIREAT", CHANNELS, expiry(head))
evict(appended)
answer[1] = floor
return answer
