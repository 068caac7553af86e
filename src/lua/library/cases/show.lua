local function text(s)
  return (string.gsub(s, "[%z\1-\31\\\"\127-\255]", function(c)
    return string.format("\\%03d", string.byte(c))
  end))
end
local function show(v, depth)
  if type(v) == "string" then return '"' .. text(v) .. '"' end
  if type(v) == "number" then
    if v ~= v then return "nan" end
    return string.format("%.17g", v)
  end
  if v == cjson.null then return "null" end
  if type(v) ~= "table" then return type(v) == "boolean" and tostring(v) or type(v) end
  if depth > 40 then return "..." end
  local parts = {}
  for k, x in pairs(v) do parts[#parts + 1] = "[" .. show(k, depth + 1) .. "]=" .. show(x, depth + 1) end
  table.sort(parts)
  return "{" .. table.concat(parts, ",") .. "}"
end
local function outcome(ok, ...)
  if not ok then return "error " .. (type((...)) == "string" and text((...)) or type((...))) end
  local parts = {}
  for i = 1, select("#", ...) do parts[i] = show((select(i, ...)), 0) end
  return table.concat(parts, " ")
end
local f, e = loadstring(ARGV[1], "@case")
if not f then return "syntax " .. e end
return outcome(pcall(f))
