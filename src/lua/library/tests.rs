//! The libraries against answers recorded from Valkey 9.1.2, and against themselves.

use mlua::{Function, Lua, LuaString, Table, Value};
use proptest::prelude::*;

use super::{bit, cjson, cmsgpack, guarded, r#struct};

/// A Lua with the libraries as scripts see them.
fn lua() -> Lua {
    let lua = Lua::new();
    let globals = lua.globals();
    globals.raw_set("bit", bit::table(&lua).unwrap()).unwrap();
    globals.raw_set("cjson", cjson::table(&lua).unwrap()).unwrap();
    globals.raw_set("cmsgpack", cmsgpack::table(&lua).unwrap()).unwrap();
    globals.raw_set("struct", r#struct::table(&lua).unwrap()).unwrap();
    let pcall = guarded(&lua, globals.raw_get("pcall").unwrap()).unwrap();
    globals.raw_set("pcall", pcall).unwrap();
    let coroutines: Table = globals.raw_get("coroutine").unwrap();
    let resume = guarded(&lua, coroutines.raw_get("resume").unwrap()).unwrap();
    coroutines.raw_set("resume", resume).unwrap();
    lua
}

/// Runs every snippet of a table of "snippet, tab, answer" and compares the answers, which `cases/show.lua`
/// writes.
fn compare(cases: &str) {
    let lua = lua();
    let mut wrong = Vec::new();
    for case in cases.lines() {
        let (snippet, expected) = case.split_once('\t').unwrap();
        lua.globals().raw_set("ARGV", lua.create_sequence_from([snippet]).unwrap()).unwrap();
        let answer: LuaString = lua.load(include_str!("cases/show.lua")).set_name("@show").eval().unwrap();
        let answer = answer.to_string_lossy();
        if answer != expected {
            wrong.push(format!("{snippet}\n  peer: {expected}\n  ours: {answer}"));
        }
    }
    assert!(wrong.is_empty(), "{}\n{} of {} differ", wrong.join("\n"), wrong.len(), cases.lines().count());
}

#[test]
fn bit_answers_as_valkey_does() {
    compare(include_str!("cases/bit.tsv"));
}

#[test]
fn cjson_answers_as_valkey_does() {
    compare(include_str!("cases/cjson.tsv"));
}

#[test]
fn cmsgpack_answers_as_valkey_does() {
    compare(include_str!("cases/cmsgpack.tsv"));
}

#[test]
fn struct_answers_as_valkey_does() {
    compare(include_str!("cases/struct.tsv"));
}

/// Nothing is asked of the setting, so that nothing but the stack limits the nesting.
#[test]
fn nesting_without_a_limit_of_its_own_ends_in_an_error() {
    let lua = lua();
    lua.load(
        "
        cjson.decode_max_depth(2147483647)
        cjson.encode_max_depth(2147483647)
        for _, text in ipairs({ '[', '{\"a\":' }) do
            local ok, problem = pcall(cjson.decode, string.rep(text, 100000))
            assert(not ok and string.find(problem, 'too many nested'), problem)
        end
        local list, map = {}, {}
        list[1], map.a = list, map
        for _, value in ipairs({ list, map }) do
            local ok, problem = pcall(cjson.encode, value)
            assert(not ok and string.find(problem, 'excessive nesting'), problem)
        end
        local deep = 1
        for _ = 1, 3000 do deep = { a = deep } end
        assert(#cjson.encode(deep) == 3000 * 6 + 1)
        assert(cjson.encode(cjson.decode(cjson.encode(deep))) == cjson.encode(deep))
        ",
    )
    .exec()
    .unwrap();
}

/// So many arguments and results that they reach the limits of Lua's stack, or of mlua's.
#[test]
fn too_many_values_end_in_an_error() {
    let lua = lua();
    lua.load(
        "
        local words, numbers = {}, {}
        for i = 1, 7950 do words[i] = 'word' .. i numbers[i] = i end
        assert(#cmsgpack.pack(unpack(numbers, 1, 7800)) > 7800)
        assert(#cmsgpack.pack(unpack(words, 1, 7800)) > 7800)
        local packed = cmsgpack.pack(unpack(words, 1, 7800))
        assert(select('#', cmsgpack.unpack(packed)) == 7800)
        for count = 7900, 7950, 10 do
            pcall(cmsgpack.pack, unpack(words, 1, count))
            local ok, problem = pcall(cmsgpack.unpack, packed .. packed)
            assert(not ok and string.find(problem, 'stack overflow'), problem)
        end
        local format, data = string.rep('c1', 9000), string.rep('x', 9000)
        local ok, problem = pcall(struct.unpack, format, data)
        assert(not ok and string.find(problem, 'stack overflow'), problem)
        for _, text in ipairs({ '\\145', '\\129\\1', '\\129' }) do
            assert(cmsgpack.unpack(string.rep('\\145', 3900) .. '\\1'))
            local ok, problem = pcall(cmsgpack.unpack, string.rep(text, 100000))
            assert(not ok and string.find(problem, 'stack overflow'), problem)
        end
        ",
    )
    .exec()
    .unwrap();
}

/// An array that is all holes ends where memory would.
#[test]
fn an_array_of_holes_ends_in_an_error() {
    let lua = lua();
    lua.load(
        "
        cjson.encode_sparse_array(false, 0)
        local ok, problem = pcall(cjson.encode, { [2147483647] = 1 })
        assert(not ok and problem == 'not enough memory', problem)
        ",
    )
    .exec()
    .unwrap();
}

/// Large tables do not run out of mlua's references.
#[test]
fn large_tables_go_both_ways() {
    let lua = lua();
    lua.load(
        "
        local map, list = {}, {}
        for i = 1, 20000 do map['key' .. i] = { 'v' .. i } list[i] = 's' .. i end
        for _, value in ipairs({ { map, map }, list, { { { map } } } }) do
            local text = cjson.encode(value)
            assert(#cjson.encode(cjson.decode(text)) == #text)
            local packed = cmsgpack.pack(value)
            assert(#cmsgpack.pack(cmsgpack.unpack(packed)) == #packed)
        end
        for i = 1, 20000 do pcall(cjson.decode, 'x') end
        ",
    )
    .exec()
    .unwrap();
}

/// A value that both formats hold. Tables are never empty, which JSON does not tell apart.
#[derive(Clone, Debug)]
enum Sample {
    Boolean(bool),
    Number(f64),
    Text(Vec<u8>),
    List(Vec<Sample>),
    Map(Vec<(String, Sample)>),
}

fn sample() -> impl Strategy<Value = Sample> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Sample::Boolean),
        (-10_000_000i64..10_000_000).prop_map(|value| Sample::Number(value as f64 / 64.0)),
        (-99_999_999_999_999i64..99_999_999_999_999).prop_map(|value| Sample::Number(value as f64)),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Sample::Text),
    ];
    leaf.prop_recursive(5, 60, 12, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..12).prop_map(Sample::List),
            prop::collection::vec(("[a-z/\"]{0,3}", inner), 1..12).prop_map(Sample::Map),
        ]
    })
}

fn build(lua: &Lua, sample: &Sample) -> Value {
    match sample {
        Sample::Boolean(value) => Value::Boolean(*value),
        Sample::Number(value) => Value::Number(*value),
        Sample::Text(text) => Value::String(lua.create_string(text).unwrap()),
        Sample::List(values) => {
            let values = values.iter().map(|value| build(lua, value));
            Value::Table(lua.create_sequence_from(values).unwrap())
        }
        Sample::Map(entries) => {
            let entries = entries.iter().map(|(key, value)| (key.as_str(), build(lua, value)));
            Value::Table(lua.create_table_from(entries).unwrap())
        }
    }
}

const EQUAL: &str = "
    local function equal(a, b)
        if type(a) ~= 'table' or type(b) ~= 'table' then return a == b end
        for k, v in pairs(a) do if not equal(v, b[k]) then return false end end
        for k in pairs(b) do if a[k] == nil then return false end end
        return true
    end
    return equal
";

fn call<R: mlua::FromLuaMulti>(lua: &Lua, library: &str, name: &str, args: impl mlua::IntoLuaMulti) -> R {
    let library: Table = lua.globals().raw_get(library).unwrap();
    library.raw_get::<Function>(name).unwrap().call(args).unwrap()
}

proptest! {
    #[test]
    fn values_come_back_whole(sample in sample()) {
        let lua = lua();
        let equal: Function = lua.load(EQUAL).eval().unwrap();
        let value = build(&lua, &sample);
        let text: LuaString = call(&lua, "cjson", "encode", value.clone());
        let back: Value = call(&lua, "cjson", "decode", text);
        prop_assert!(equal.call::<bool>((value.clone(), back)).unwrap());
        let packed: LuaString = call(&lua, "cmsgpack", "pack", value.clone());
        let back: Value = call(&lua, "cmsgpack", "unpack", packed);
        prop_assert!(equal.call::<bool>((value, back)).unwrap());
    }

    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200), format in "[-<>!bBhHiIlLTfdsxc0-9 ]{0,12}") {
        answer_all(&lua(), &bytes, format.as_bytes());
    }

    #[test]
    fn any_text_is_answered(text in "[\\[\\]{},:\"\\\\/u0-9a-fDdtrnl.eE+x -]{0,60}", format in any::<Vec<u8>>()) {
        answer_all(&lua(), text.as_bytes(), &format);
    }

    #[test]
    fn packed_numbers_come_back(number in any::<i32>(), size in 4usize..=32, big in any::<bool>()) {
        let lua = lua();
        // Beyond eight bytes the sign is not carried on.
        let (number, option) =
            if size > 8 { (i64::from(number.unsigned_abs()), 'I') } else { (i64::from(number), 'i') };
        let format = format!("{}{option}{size}", if big { '>' } else { '<' });
        let packed: LuaString = call(&lua, "struct", "pack", (format.as_str(), number));
        prop_assert_eq!(packed.as_bytes().len(), size);
        let (back, next): (i64, usize) = call(&lua, "struct", "unpack", (format, packed));
        prop_assert_eq!((back, next), (number, size + 1));
    }
}

/// Reads the bytes in every way: a result or an error, never a panic.
fn answer_all(lua: &Lua, bytes: &[u8], format: &[u8]) {
    let bytes = lua.create_string(bytes).unwrap();
    let format = lua.create_string(format).unwrap();
    let calls: [(&str, &str, Vec<Value>); 5] = [
        ("cjson", "decode", vec![Value::String(bytes.clone())]),
        ("cmsgpack", "unpack", vec![Value::String(bytes.clone())]),
        (
            "cmsgpack",
            "unpack_limit",
            vec![Value::String(bytes.clone()), Value::Integer(2), Value::Integer(1)],
        ),
        ("struct", "unpack", vec![Value::String(format.clone()), Value::String(bytes.clone())]),
        ("struct", "size", vec![Value::String(format)]),
    ];
    for (library, name, args) in calls {
        let library: Table = lua.globals().raw_get(library).unwrap();
        let function: Function = library.raw_get(name).unwrap();
        let answer = function.call::<mlua::MultiValue>(mlua::Variadic::from_iter(args));
        if let Err(error) = answer {
            assert!(super::raised(&error).is_some(), "{error}");
        }
    }
}

/// Calls a function of a library with arguments that stand in a source, and shows what comes back, errors
/// included.
const OUTCOME: &str = "
    local string, table, pcall, source, loadstring = ...
    local function show(value)
        if type(value) == 'table' then
            local parts = {}
            for index = -3, 12 do parts[#parts + 1] = tostring(rawget(value, index)) end
            return '{' .. select(1, parts[1]) .. ';' .. #parts .. ';' .. parts[4] .. ',' .. parts[5] .. ',' .. parts[6] .. ',' .. parts[7]
                .. ',' .. parts[8] .. ',' .. parts[9] .. ',' .. parts[10] .. '}'
        end
        return type(value) .. ':' .. tostring(value)
    end
    local function all(...)
        local text = ''
        for index = 1, select('#', ...) do text = text .. show((select(index, ...))) .. ' ' end
        return text
    end
    local chunk = assert(loadstring('local string, table, pcall, all = ... ' .. source))
    return all(chunk(string, table, pcall, all))
";

/// Lua's own functions and ours beside one another.
struct Beside {
    lua: Lua,
    own: (Table, Table, Function),
    ours: (Table, Table, Function),
}

impl Beside {
    fn new() -> Self {
        let lua = Lua::new();
        let globals = lua.globals();
        super::protected::prepare(&lua).unwrap();
        let copy = |name: &str| {
            let (from, to) = (globals.raw_get::<Table>(name).unwrap(), lua.create_table().unwrap());
            from.for_each(|key: Value, value: Value| to.raw_set(key, value)).unwrap();
            to
        };
        let pcall: Function = globals.raw_get("pcall").unwrap();
        let own = (copy("string"), copy("table"), pcall.clone());
        let ours = (copy("string"), copy("table"), guarded(&lua, pcall).unwrap());
        super::text::replace(&lua, &ours.0).unwrap();
        super::list::replace(&lua, &ours.1, &lua.create_table().unwrap()).unwrap();
        Self { lua, own, ours }
    }

    fn outcome(&self, side: &(Table, Table, Function), source: &str) -> Vec<u8> {
        let loadstring: Function = self.lua.globals().raw_get("loadstring").unwrap();
        let arguments = (&side.0, &side.1, &side.2, source, loadstring);
        let outcome: LuaString = self.lua.load(OUTCOME).call(arguments).unwrap();
        outcome.as_bytes().to_vec()
    }

    #[track_caller]
    fn agree(&self, source: &str) {
        let (own, ours) = (self.outcome(&self.own, source), self.outcome(&self.ours, source));
        assert_eq!(String::from_utf8_lossy(&ours), String::from_utf8_lossy(&own), "{source}");
    }
}

/// Random arguments that Lua's own functions survive: patterns that are short, texts of few letters.
fn call_of(random: &mut fastrand::Rng) -> String {
    const PIECES: [&str; 34] = [
        "a", "b", ".", "%a", "%d", "%s", "%w", "%x", "%p", "%z", "%A", "%.", "[ab]", "[^a]", "[%d-]",
        "[a-c]", "[]]", "[^]a]", "(", ")", "()", "%1", "%2", "%b()", "%bxy", "%f[%w]", "%f", "[a", "%", "^",
        "$", "-", "\\0", "%q",
    ];
    const REPEATS: [&str; 6] = ["", "", "", "*", "-", "?"];
    const LETTERS: [&str; 12] = ["a", "b", "c", "1", " ", "(", ")", "x", "y", "-", ".", "\\0"];
    const NUMBERS: [&str; 18] = [
        "0", "1", "2", "-1", "3", "-3", "100", "1.5", "-2.5", "1e15", "1e100", "0.1", "1/3", "2^31", "2^53",
        "-2^63", "1/0", "'7'",
    ];
    const FLAGS: [&str; 8] = ["", "", "-", "0", "+", " ", "#", "-+ #0"];
    const WIDTHS: [&str; 6] = ["", "", "5", "12", ".3", "10.2"];
    const LETTERS_OF_FORMATS: [&str; 14] =
        ["d", "i", "u", "c", "x", "X", "o", "e", "E", "f", "g", "G", "s", "q"];
    let one = |random: &mut fastrand::Rng, words: &[&str]| words[random.usize(..words.len())].to_owned();
    let text = |random: &mut fastrand::Rng| {
        let letters: String = (0..random.usize(..14)).map(|_| one(random, &LETTERS)).collect();
        format!("'{letters}'")
    };
    let pattern = |random: &mut fastrand::Rng| {
        let pieces: String =
            (0..random.usize(..6)).map(|_| one(random, &PIECES) + &one(random, &REPEATS)).collect();
        format!("'{pieces}'")
    };
    let list = |random: &mut fastrand::Rng| {
        let numbers: Vec<String> = (0..random.usize(..9)).map(|_| random.i32(-9..99).to_string()).collect();
        format!("{{{}}}", numbers.join(", "))
    };
    let (subject, wanted) = (text(random), pattern(random));
    match random.usize(..14) {
        0 => format!("return pcall(string.find, {subject}, {wanted})"),
        1 => format!(
            "return pcall(string.find, {subject}, {wanted}, {}, {})",
            one(random, &NUMBERS[..7]),
            random.bool()
        ),
        2 => format!("return pcall(string.match, {subject}, {wanted})"),
        3 => format!("return pcall(string.match, {subject}, {wanted}, {})", one(random, &NUMBERS)),
        4 => format!(
            "return pcall(string.gsub, {subject}, {wanted}, {})",
            one(random, &["'%0%1'", "'x%2'", "'%'", "'<%1>'", "7", "nil"])
        ),
        5 => format!(
            "return pcall(string.gsub, {subject}, {wanted}, {{a = 1, b = false, ['1'] = 'one'}}, {})",
            one(random, &NUMBERS)
        ),
        6 => format!("return pcall(string.gsub, {subject}, {wanted}, function(...) return all(...) end)"),
        7 | 8 => {
            let format: String = (0..random.usize(1..3))
                .map(|_| {
                    format!(
                        "<%{}{}{}>",
                        one(random, &FLAGS),
                        one(random, &WIDTHS),
                        one(random, &LETTERS_OF_FORMATS)
                    )
                })
                .collect();
            format!("return pcall(string.format, '{format}', {}, {})", one(random, &NUMBERS), text(random))
        }
        9 => format!("return pcall(string.rep, {subject}, {})", one(random, &NUMBERS[..8])),
        10 => format!(
            "return pcall(table.concat, {}, {subject}, {}, {})",
            list(random),
            one(random, &NUMBERS[..6]),
            one(random, &NUMBERS[..6])
        ),
        11 => format!(
            "local t = {} local ok, e = pcall(table.insert, t, {}, 'new') return ok, e, t",
            list(random),
            one(random, &NUMBERS[..6])
        ),
        12 => format!(
            "local t = {} local ok, e = pcall(table.remove, t, {}) return ok, e, t",
            list(random),
            one(random, &NUMBERS[..6])
        ),
        _ => {
            let order = one(
                random,
                &["", ", function(a, b) return a > b end", ", function() return true end", ", 1"],
            );
            format!("local t = {} local ok, e = pcall(table.sort, t{order}) return ok, e, t", list(random))
        }
    }
}

/// What stands in the place of Lua's own functions answers as they do, errors included.
#[test]
fn replaced_functions_answer_as_luas_own() {
    let beside = Beside::new();
    let mut random = fastrand::Rng::with_seed(5);
    for _ in 0..20_000 {
        beside.agree(&call_of(&mut random));
    }
    for name in ["find", "match", "gsub", "rep", "format", "lower", "upper", "reverse", "char"] {
        for arguments in [
            "",
            ", nil",
            ", {}",
            ", 1",
            ", 'a'",
            ", 'a', nil",
            ", 'a', {}",
            ", 'a', 'a'",
            ", 'a', 'a', 'x', {}",
        ] {
            beside.agree(&format!("return pcall(string.{name}{arguments})"));
        }
    }
    for arguments in ["", ", nil", ", {}, 'a'", ", 1", ", 'a'", ", 'a', nil", ", 'a', {}"] {
        beside.agree(&format!("return pcall(string.gmatch{arguments})"));
    }
    for (subject, pattern) in
        [("a=1, b=2", "(%w)=(%w)"), ("abc", ""), ("abc", "()"), ("aXbX", "(.-)X"), ("", ".*"), ("a", "[a")]
    {
        let walk = format!(
            "for a, b in string.gmatch('{subject}', '{pattern}') do t[#t + 1] = tostring(a) .. '|' .. tostring(b) end"
        );
        beside.agree(&format!("local t = {{}} local ok, e = pcall(function() {walk} end) return ok, t"));
    }
    for name in ["concat", "insert", "remove", "sort"] {
        for arguments in [
            "",
            ", nil",
            ", 1",
            ", {1, {}}",
            ", {'a', 1}",
            ", {}, {}",
            ", {}, 'x'",
            ", {}, 1, 2, 3",
            ", {1, 2}, ',', 1, 3",
        ] {
            beside.agree(&format!("return pcall(table.{name}{arguments})"));
        }
    }
}
