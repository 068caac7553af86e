-- Builds the world in which scripts run, out of Lua's own globals. What scripts see can be read but not changed, so that
-- one script leaves nothing behind for the next.

local world, libraries, host, protected = ...

local byte, error, getinfo = string.byte, error, debug.getinfo
local lua_pcall, lua_rawset, lua_setmetatable = pcall, rawset, setmetatable
local lua_unpack, lua_collectgarbage = unpack, collectgarbage
local lua_next, lua_pairs = next, pairs
local careful_unpack = host.unpack
local match, tostring, type, xpcall, select = string.match, tostring, type, xpcall, select

local READ_ONLY = 'Attempt to modify a readonly table'

-- `protected` has proxies of tables that cannot be changed, with what they stand for.
lua_setmetatable(protected, { __mode = 'k' })

local function refuse()
    error(READ_ONLY, 2)
end

-- What getmetatable shows of a protected table.
local hidden = lua_setmetatable({}, { __newindex = refuse })
getmetatable(hidden).__metatable = hidden
protected[hidden] = {}

local function protect(original)
    local proxy = lua_setmetatable({}, { __index = original, __newindex = refuse, __metatable = hidden })
    protected[proxy] = original
    return proxy
end

-- An error as scripts see it: that of a failed command is a table with the error's text.
local function visible_error(failure)
    if type(failure) == 'userdata' then
        return host.visible_error(failure)
    end
    return failure
end

local WRONG_ARGUMENT = { err = 'ERR wrong number or type of arguments' }

local function error_reply(...)
    local text = ...
    if select('#', ...) ~= 1 or type(text) ~= 'string' then
        return { err = WRONG_ARGUMENT.err }
    end
    if byte(text) == 45 then
        text = text:sub(2)
    end
    return { err = match(text, '^[^ ]+ ') and text or 'ERR ' .. text }
end

local function status_reply(...)
    local text = ...
    if select('#', ...) ~= 1 or type(text) ~= 'string' then
        return { err = WRONG_ARGUMENT.err }
    end
    return { ok = text }
end

local function raise(text)
    error({ err = text }, 0)
end

local function add_all(target, values)
    for name, value in pairs(values) do
        target[name] = value
    end
    return target
end

-- What there is everywhere, even while a library is loaded.
local anywhere = {
    LOG_DEBUG = 0, LOG_VERBOSE = 1, LOG_NOTICE = 2, LOG_WARNING = 3,
    REDIS_VERSION = host.version, REDIS_VERSION_NUM = host.version_number,
    SERVER_NAME = host.server_name,
    log = host.log,
}

-- What scripts and functions have besides.
local while_running = {
    REPL_NONE = 0, REPL_AOF = 1, REPL_SLAVE = 2, REPL_REPLICA = 2, REPL_ALL = 3,
    call = host.call, pcall = host.pcall, acl_check_cmd = host.acl_check_cmd,
    sha1hex = host.sha1hex, error_reply = error_reply, status_reply = status_reply,
    setresp = host.setresp, set_repl = host.set_repl,
}

-- What scripts have alone.
local while_debugging = {
    breakpoint = function() return false end,
    debug = function() end,
    replicate_commands = function() return true end,
}

local for_functions = add_all(add_all({}, anywhere), while_running)
local commands = protect(add_all(add_all({}, for_functions), while_debugging))

-- Lua's globals that scripts have, and those changed so that they respect what is protected.
local globals = {}
for _, name in ipairs({
    '_VERSION', 'assert', 'error', 'gcinfo', 'getmetatable', 'ipairs',
    'rawequal', 'rawget', 'select', 'tostring', 'type',
}) do
    globals[name] = world[name]
end

-- Lua's own reads a text without being watched: it gets the short ones.
local lua_tonumber, careful_tonumber = tonumber, host.tonumber

function globals.tonumber(...)
    local value, base = ...
    if base == nil and type(value) == 'string' and #value <= 512 then
        return lua_tonumber(value)
    end
    return careful_tonumber(...)
end

-- Why the first of a function's arguments is refused, which is of another type than it takes.
local function not_of_type(wanted, ...)
    return wanted .. ' expected, got ' .. (select('#', ...) == 0 and 'no value' or type((...)))
end

-- pcall gives a failed command's text alone, as scripts expect.
local function with_text(ok, failure, ...)
    if ok then
        return ok, failure, ...
    end
    failure = visible_error(failure)
    if type(failure) == 'table' and type(failure.err) == 'string' then
        failure = failure.err
    end
    return false, failure
end

function globals.pcall(...)
    return with_text(lua_pcall(...))
end

function globals.xpcall(...)
    if select('#', ...) < 2 then
        host.wrong_argument(2, 'value expected')
    end
    local work, handler = ...
    return xpcall(work, function(failure)
        -- A handler is called within the hook that ends a script by force, where no other hook would end it.
        if host.has_to_end() then
            return failure
        end
        return handler(visible_error(failure))
    end)
end

-- What stands behind a proxy is walked, but not handed out.
function globals.next(...)
    local target, name = ...
    if type(target) ~= 'table' then
        host.wrong_argument(1, not_of_type('table', ...))
    elseif protected[target] then
        return lua_next(protected[target], name)
    end
    return lua_next(target, name)
end

function globals.pairs(...)
    local target = ...
    if type(target) ~= 'table' then
        host.wrong_argument(1, not_of_type('table', ...))
    elseif protected[target] then
        return globals.next, target, nil
    end
    return lua_pairs(target)
end

globals.rawset, globals.setmetatable = host.rawset, host.setmetatable
globals.load, globals.loadstring = host.load, host.loadstring

-- Results that Lua's own function may be asked for: it counts them wrongly where there are more than 32 bits say, and refuses
-- those that find no room by itself.
local UNPACKED_MAX = 8000

function globals.unpack(...)
    local list, first, last = ...
    if type(list) == 'table' then
        if first == nil and last == nil and #list <= UNPACKED_MAX then
            return lua_unpack(list) -- Arguments take of the room for results.
        end
        local from, to = first == nil and 1 or first, last == nil and #list or last
        if type(from) == 'number' and type(to) == 'number'
            and from > -UNPACKED_MAX and to < 1e9 and to - from < UNPACKED_MAX then
            return lua_unpack(list, from, to)
        end
    end
    return careful_unpack(...)
end

-- How the collector works is not a script's to say: what it asks for is remembered, and that is all.
local collector = { setpause = 200, setstepmul = 200 }

function globals.collectgarbage(option, value)
    if option == 'stop' or option == 'restart' then
        return 0
    elseif collector[option] then
        local before = collector[option]
        collector[option] = tonumber(value) or 0
        return before
    elseif option == nil or option == 'collect' or option == 'count' then
        return lua_collectgarbage(option)
    elseif option == 'step' then
        return lua_collectgarbage('step', 1)
    elseif type(option) == 'string' or type(option) == 'number' then
        host.wrong_argument(1, "invalid option '" .. option .. "'")
    end
    host.wrong_argument(1, 'string expected, got ' .. type(option))
end

local function copy(original)
    return add_all({}, original)
end

local tables = copy(world.table)
local lua_insert, careful_insert = host.lua_insert, host.careful_insert

function tables.insert(...)
    local list = ...
    -- What is put at the end moves nothing.
    if select('#', ...) == 2 and type(list) == 'table' and not protected[list] then
        return lua_insert(...)
    end
    return careful_insert(...)
end

local strings = copy(world.string)

local coroutines = copy(world.coroutine)
local lua_resume = coroutines.resume
function coroutines.resume(...)
    if type((...)) ~= 'thread' then
        host.wrong_argument(1, 'coroutine expected')
    end
    return with_text(lua_resume(...))
end

globals.coroutine = protect(coroutines)
globals.math = protect(copy(world.math))
globals.os = protect({ clock = world.os.clock })
globals.string = protect(strings)
globals.table = protect(tables)
globals.redis = commands
globals.server = commands
for name, library in pairs(libraries) do
    globals[name] = protect(library)
end

local text_metatable = getmetatable('')
text_metatable.__index = globals.string
text_metatable.__metatable = protect({ __index = globals.string })

local missing = {
    __index = function(_, name)
        error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
    end,
}

-- Functions see what scripts see, but for KEYS, ARGV and what debugs scripts.
local function_globals = copy(globals)
function_globals.redis = protect(for_functions)
function_globals.server = function_globals.redis
lua_rawset(function_globals, '_G', protect(lua_setmetatable(function_globals, missing)))

local visible = protect(lua_setmetatable(globals, missing))
lua_rawset(globals, '_G', visible)

-- What scripts have where lua-enable-insecure-api is set. A finalizer would run within the collector, so a proxy's metatable
-- is shown as one that takes none.
local lua_newproxy = world.newproxy
local insecure = { getfenv = host.getfenv, setfenv = host.setfenv }

local function without_finalizer(metatable)
    return lua_setmetatable({}, {
        __index = metatable,
        __newindex = function(_, name, value)
            if name == '__gc' or name == '__metatable' then
                error("'" .. name .. "' is not for scripts to set", 2)
            end
            lua_rawset(metatable, name, value)
        end,
        __metatable = hidden,
    })
end

function insecure.newproxy(like)
    if like ~= nil and type(like) ~= 'boolean' and type(like) ~= 'userdata' then
        host.wrong_argument(1, 'boolean or proxy expected')
    end
    local proxy = lua_newproxy(like)
    if like == true then
        local metatable = getmetatable(proxy)
        metatable.__metatable = without_finalizer(metatable)
    end
    return proxy
end

local function set_insecure(is_on)
    for name, value in lua_pairs(insecure) do
        lua_rawset(globals, name, is_on and value or nil)
    end
end

-- Says where in the script an error came from.
local function describe(failure)
    if host.has_to_end() then
        return failure -- What it was and where is known already.
    end
    local line, source
    for level = 2, 250 do
        local info = getinfo(level, 'Sl')
        if not info then
            break
        elseif info.currentline and info.source ~= '=prelude' and info.source ~= '=[C]' then
            line, source = info.currentline, info.source
            break
        end
    end
    local text
    failure = visible_error(failure)
    if type(failure) == 'table' then
        text = type(failure.err) == 'string' and failure.err or 'ERR unknown error'
    else
        text = 'ERR ' .. tostring(failure)
    end
    return { err = text, source = source, line = line }
end

local function run(chunk, keys, arguments)
    globals.KEYS, globals.ARGV = keys, arguments
    return xpcall(chunk, describe)
end

local function run_function(callback, keys, arguments)
    return xpcall(function()
        return callback(keys, arguments)
    end, describe)
end

-- Loads a library: `register` hears of each function. Meanwhile it may register functions and log, and has nothing else.
local function register(chunk, register_function)
    local loading = true
    local functions = add_all({}, anywhere)
    function functions.register_function(...)
        if not loading then
            raise('ERR server.register_function can only be called on FUNCTION LOAD command')
        end
        local failure = register_function(...)
        if failure then
            raise(failure)
        end
    end
    local library = protect(lua_setmetatable(functions, missing))
    local seen = lua_setmetatable({ redis = library, server = library }, missing)
    -- The functions that the library defines live in this world; once it is loaded it is that of functions.
    local world_of_library = { __index = seen, __newindex = refuse, __metatable = hidden }
    local environment = lua_setmetatable({}, world_of_library)
    protected[environment] = seen
    setfenv(chunk, environment)
    local ok, failure = xpcall(chunk, describe)
    loading = false
    world_of_library.__index, protected[environment] = function_globals, function_globals
    return ok, failure
end

return visible, run, run_function, register, set_insecure
