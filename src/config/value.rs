//! Values of directives: how they are read from arguments, shown, and written into a file. Every refusal is
//! in Valkey's words, since `CONFIG SET` passes it on to the client.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use super::events::KeyspaceEvents;
use super::parse::quote;
use super::table::{Directive, Kind, SHUTDOWN_FLAGS, Spec, UNSET};

/// Addresses that `bind` may list.
const MAX_BIND_ADDRESSES: usize = 16;
/// The least `repl-backlog-size` that is kept; a smaller one is raised to it.
const MIN_BACKLOG_BYTES: u64 = 16 << 10;
/// Words that any other list may hold.
const MAX_WORDS: usize = 64;

/// The value of a directive. Which of the three it is follows from the directive's [`Kind`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A number, boolean, enum or set of flags.
    Number(i64),
    /// Text, which need not be UTF-8.
    Text(Arc<[u8]>),
    /// The limits of `client-output-buffer-limit`, in the order of [`ClientClass`].
    Limits([BufferLimit; 3]),
}

/// A class of clients that `client-output-buffer-limit` tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientClass {
    /// Ordinary clients.
    Normal,
    /// Replicas.
    Replica,
    /// Clients subscribed to channels.
    Pubsub,
}

/// When a client that does not read its replies is disconnected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BufferLimit {
    /// Bytes waiting at which it is disconnected at once; 0 is no limit.
    pub hard_bytes: u64,
    /// Bytes waiting which it may not exceed for long; 0 is no limit.
    pub soft_bytes: u64,
    /// How long it may exceed `soft_bytes`, in seconds.
    pub soft_seconds: u64,
}

/// A line of `save`: a snapshot is due when so many changes were made in so many seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SavePoint {
    /// Seconds since the last snapshot.
    pub seconds: i64,
    /// Changes since the last snapshot.
    pub changes: i64,
}

/// Why a value was refused.
pub(super) type Refused = Cow<'static, str>;

/// Reads the arguments of a directive. `current` is the value they replace, or for
/// `client-output-buffer-limit` amend; `add` says that `save` amends it too, which is so for all but the
/// first of its lines in a file.
pub(super) fn parse(spec: &Spec, args: &[&[u8]], current: &Value, add: bool) -> Result<Value, Refused> {
    match spec.kind {
        Kind::Words => words(spec, args),
        Kind::SavePoints => save_points(args, current, add),
        Kind::OutputBufferLimits => output_buffer_limits(args, current),
        Kind::OomScores => oom_scores(args),
        Kind::Percentiles => percentiles(args),
        Kind::ShutdownFlags => shutdown_flags(args),
        Kind::ReplicaOf => replica_of(args),
        _ => match args {
            [text] => single(spec, text, current),
            _ => Err("wrong number of arguments".into()),
        },
    }
}

/// The value as `CONFIG GET` shows it.
pub(super) fn show(spec: &Spec, value: &Value) -> Vec<u8> {
    let text = match (spec.kind, value) {
        (_, Value::Text(text)) => return text.to_vec(),
        (_, Value::Limits(limits)) => show_limits(limits),
        (Kind::Bool | Kind::NoDefrag, Value::Number(number)) => yes_or_no(*number).to_owned(),
        (Kind::Octal { .. }, Value::Number(number)) => format!("{number:o}"),
        (Kind::Memory { .. }, Value::Number(number)) => number.cast_unsigned().to_string(),
        (Kind::MemoryOrPercent, Value::Number(number)) if *number < 0 => {
            format!("{}%", number.unsigned_abs())
        }
        (Kind::Enum(_) | Kind::Aliased(_), Value::Number(number)) => {
            word_of(spec, *number).unwrap_or_default().to_owned()
        }
        (Kind::KeyspaceEvents, Value::Number(number)) => KeyspaceEvents::from_bits(*number).to_string(),
        (Kind::ShutdownFlags, Value::Number(number)) => show_shutdown_flags(*number),
        (Kind::UnsetPort, Value::Number(UNSET)) => String::new(),
        (_, Value::Number(number)) => number.to_string(),
    };
    text.into_bytes()
}

/// The lines of a file that give the value.
pub(super) fn lines(spec: &Spec, value: &Value) -> Vec<Vec<u8>> {
    let name = spec.name;
    let line = match (spec.kind, value) {
        (_, Value::Limits(limits)) => {
            let line = |(class, limit): (&str, &BufferLimit)| {
                let (hard, soft) = (with_unit(limit.hard_bytes), with_unit(limit.soft_bytes));
                format!("{name} {class} {hard} {soft} {}", limit.soft_seconds).into_bytes()
            };
            return ["normal", "replica", "pubsub"].into_iter().zip(limits).map(line).collect();
        }
        (Kind::Memory { .. }, Value::Number(number)) => {
            format!("{name} {}", with_unit(number.cast_unsigned())).into_bytes()
        }
        (Kind::KeyspaceEvents, Value::Number(number)) if *number != 0 => {
            let letters = KeyspaceEvents::from_bits(*number).letters();
            format!("{name} {}", quote(letters.as_bytes())).into_bytes()
        }
        // Each word is an argument of its own.
        (Kind::Words | Kind::SavePoints | Kind::OomScores | Kind::Percentiles, Value::Text(text))
            if !text.is_empty() =>
        {
            let words: Vec<String> = text.split(|&byte| byte == b' ').map(quote).collect();
            // An argument that stands alone is split into words once more when it is read.
            let args = if let [word] = &words[..] { quote(word.as_bytes()) } else { words.join(" ") };
            format!("{name} {args}").into_bytes()
        }
        // A host, which may be any text, and a port.
        (Kind::ReplicaOf, Value::Text(text)) if !text.is_empty() => {
            let port_at = text.iter().rposition(|&byte| byte == b' ').unwrap_or(text.len());
            let (host, port) = text.split_at(port_at);
            [name.as_bytes(), b" ", quote(host).as_bytes(), port].concat()
        }
        (Kind::ShutdownFlags, Value::Number(number)) => {
            format!("{name} {}", show_shutdown_flags(*number)).into_bytes()
        }
        _ => [name.as_bytes(), b" ", quote(&show(spec, value)).as_bytes()].concat(),
    };
    vec![line]
}

/// The first word of an enum that stands for the number.
pub(super) fn word_of(spec: &Spec, number: i64) -> Option<&'static str> {
    match spec.kind {
        Kind::Enum(words) => words.get(usize::try_from(number).ok()?).copied(),
        Kind::Aliased(words) => words.iter().find(|(_, meaning)| *meaning == number).map(|(word, _)| *word),
        _ => None,
    }
}

/// Reads the text of `save` back.
pub(super) fn save_points_of(text: &[u8]) -> Vec<SavePoint> {
    let numbers: Vec<i64> = text.split(|&byte| byte == b' ').filter_map(c_integer).collect();
    numbers
        .chunks_exact(2)
        .filter_map(|pair| match pair {
            [seconds, changes] => Some(SavePoint { seconds: *seconds, changes: *changes }),
            _ => None,
        })
        .collect()
}

/// What an error of the operating system says, without its number.
pub fn system_words(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

fn single(spec: &Spec, text: &[u8], current: &Value) -> Result<Value, Refused> {
    let number = match spec.kind {
        Kind::Bool => boolean(text)?,
        Kind::NoDefrag => match boolean(text)? {
            0 => 0,
            _ => {
                return Err(
                    "Active defragmentation cannot be enabled: it requires a server compiled with a \
                            modified Jemalloc like the one shipped by default with the source distribution"
                        .into(),
                );
            }
        },
        Kind::Integer { min, max } => bounded(integer(text)?, min, max)?,
        Kind::Clamped { min, max, low, high } => bounded(integer(text)?, min, max)?.clamp(low, high),
        Kind::Octal { max } => octal(text, max)?,
        Kind::UnsetPort if text.is_empty() => UNSET,
        Kind::UnsetPort => bounded(integer(text)?, 0, 65535)?,
        Kind::NoRdmaPort => match bounded(integer(text)?, 0, 65535)? {
            0 => 0,
            _ => return Err("No RDMA building support.".into()),
        },
        Kind::Memory { min, max } => {
            let bytes = memory(text).ok_or("argument must be a memory value")?;
            if bytes < min || bytes > max {
                return Err(format!("argument must be between {min} and {max} inclusive").into());
            }
            let floor = if spec.directive == Directive::ReplBacklogSize { MIN_BACKLOG_BYTES } else { 0 };
            bytes.max(floor).cast_signed()
        }
        Kind::SignedMemory { min } => {
            let bytes = memory(text).map(u64::cast_signed).or_else(|| strict_integer(text));
            bounded(bytes.ok_or("argument must be a memory value")?, min, i64::MAX)?
        }
        Kind::MemoryOrPercent => memory_or_percent(text)?,
        Kind::Enum(words) => {
            let place = words.iter().position(|word| text.eq_ignore_ascii_case(word.as_bytes()));
            let place = place.ok_or_else(|| not_one_of(words.iter()))?;
            i64::try_from(place).unwrap_or_default()
        }
        Kind::Aliased(words) => words
            .iter()
            .find(|(word, _)| text.eq_ignore_ascii_case(word.as_bytes()))
            .map(|(_, number)| *number)
            .ok_or_else(|| not_one_of(words.iter().map(|(word, _)| word)))?,
        Kind::KeyspaceEvents => {
            KeyspaceEvents::parse(text).ok_or("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.")?.bits()
        }
        Kind::Text(check) => {
            if let Some(check) = check {
                check(text)?;
            }
            return Ok(Value::Text(text.into()));
        }
        Kind::Directory => return directory(text, current),
        Kind::Words
        | Kind::SavePoints
        | Kind::OutputBufferLimits
        | Kind::OomScores
        | Kind::Percentiles
        | Kind::ShutdownFlags
        | Kind::ReplicaOf => return Err("wrong number of arguments".into()),
    };
    Ok(Value::Number(number))
}

fn boolean(text: &[u8]) -> Result<i64, Refused> {
    if text.eq_ignore_ascii_case(b"yes") {
        Ok(1)
    } else if text.eq_ignore_ascii_case(b"no") {
        Ok(0)
    } else {
        Err("argument must be 'yes' or 'no'".into())
    }
}

fn yes_or_no(number: i64) -> &'static str {
    if number == 0 { "no" } else { "yes" }
}

fn integer(text: &[u8]) -> Result<i64, Refused> {
    strict_integer(text).ok_or("argument couldn't be parsed into an integer".into())
}

fn bounded(number: i64, min: i64, max: i64) -> Result<i64, Refused> {
    if (min..=max).contains(&number) {
        Ok(number)
    } else {
        Err(format!("argument must be between {min} and {max} inclusive").into())
    }
}

/// A number as the protocol writes it: no sign but a minus, no leading zeros, no blanks.
fn strict_integer(text: &[u8]) -> Option<i64> {
    let number: i64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == text).then_some(number)
}

/// A number as C's `strtoll` reads it to the end: blanks before it, a sign, leading zeros; nothing at all is
/// 0.
fn c_integer(text: &[u8]) -> Option<i64> {
    if text.is_empty() {
        return Some(0);
    }
    std::str::from_utf8(text.trim_ascii_start()).ok()?.parse().ok()
}

fn octal(text: &[u8], max: i64) -> Result<i64, Refused> {
    const REFUSED: &str = "argument couldn't be parsed as an octal number";
    let text = std::str::from_utf8(text).map_err(|_| REFUSED)?;
    let number = if text.is_empty() { 0 } else { i64::from_str_radix(text, 8).map_err(|_| REFUSED)? };
    if (0..=max).contains(&number) {
        Ok(number)
    } else {
        Err(format!("argument must be between 0 and {max:o} inclusive").into())
    }
}

/// A number of bytes: digits, which may be missing, and a unit. A number with its unit that does not fit
/// wraps around, as it does in Valkey.
pub fn memory(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.to_ascii_lowercase().as_slice() {
        b"" | b"b" => 1,
        b"k" => 1000,
        b"kb" => 1 << 10,
        b"m" => 1_000_000,
        b"mb" => 1 << 20,
        b"g" => 1_000_000_000,
        b"gb" => 1 << 30,
        _ => return None,
    };
    let number: u64 = match number {
        [] => 0,
        digits => std::str::from_utf8(digits).ok()?.parse().ok()?,
    };
    Some(number.wrapping_mul(factor))
}

fn memory_or_percent(text: &[u8]) -> Result<i64, Refused> {
    let number = match (memory(text), text.split_last()) {
        (Some(bytes), _) => bytes.cast_signed(),
        (None, Some((b'%', number))) => match strict_integer(number) {
            Some(percent) if percent >= 0 => -percent,
            _ => return Err("argument must be a memory or percent value".into()),
        },
        _ => return Err("argument must be a memory or percent value".into()),
    };
    if number < -100 {
        return Err("percentage argument must be less or equal to 100".into());
    }
    Ok(number)
}

/// The largest unit that leaves a whole number.
fn with_unit(bytes: u64) -> String {
    for (unit, factor) in [("gb", 1u64 << 30), ("mb", 1 << 20), ("kb", 1 << 10)] {
        if bytes != 0 && bytes.is_multiple_of(factor) {
            return format!("{}{unit}", bytes / factor);
        }
    }
    bytes.to_string()
}

fn not_one_of<'a>(words: impl Iterator<Item = &'a &'static str>) -> Refused {
    let words: Vec<&str> = words.copied().collect();
    format!("argument(s) must be one of the following: {}", words.join(", ")).into()
}

fn words(spec: &Spec, args: &[&[u8]]) -> Result<Value, Refused> {
    if let [b""] = args {
        return Ok(Value::Text(Arc::default()));
    }
    let is_bind = spec.directive == Directive::Bind;
    if args.len() > if is_bind { MAX_BIND_ADDRESSES } else { MAX_WORDS } {
        return Err(if is_bind {
            "Too many bind addresses specified.".into()
        } else {
            "too many words".into()
        });
    }
    if args.iter().any(|word| word.is_empty() || word.iter().any(u8::is_ascii_whitespace)) {
        return Err(if is_bind {
            "Failed to bind to specified addresses.".into()
        } else {
            "empty word".into()
        });
    }
    Ok(Value::Text(args.join(b" ".as_slice()).into()))
}

fn save_points(args: &[&[u8]], current: &Value, add: bool) -> Result<Value, Refused> {
    const REFUSED: &str = "Invalid save parameters";
    let mut text = match current {
        Value::Text(text) if add => String::from_utf8_lossy(text).into_owned(),
        _ => String::new(),
    };
    if let [b""] = args {
        return Ok(Value::Text(Arc::default()));
    }
    let (pairs, rest) = args.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(REFUSED.into());
    }
    for [seconds, changes] in pairs {
        let seconds = c_integer(seconds).filter(|seconds| *seconds >= 1).ok_or(REFUSED)?;
        let changes = c_integer(changes).filter(|changes| *changes >= 0).ok_or(REFUSED)?;
        if !text.is_empty() {
            text.push(' ');
        }
        // Valkey keeps the changes in 32 bits.
        let changes = i32::try_from(changes & 0x7fff_ffff).unwrap_or(i32::MAX);
        let _ = write!(text, "{seconds} {changes}");
    }
    Ok(Value::Text(text.into_bytes().into()))
}

fn output_buffer_limits(args: &[&[u8]], current: &Value) -> Result<Value, Refused> {
    let mut limits = match current {
        Value::Limits(limits) => *limits,
        _ => [BufferLimit::default(); 3],
    };
    let (groups, rest) = args.as_chunks::<4>();
    if !rest.is_empty() {
        return Err("Wrong number of arguments in buffer limit configuration.".into());
    }
    for [class, hard, soft, seconds] in groups {
        let class =
            client_class(class).ok_or("Invalid client class specified in buffer limit configuration.")?;
        let limit = || {
            Some(BufferLimit {
                hard_bytes: memory(hard)?,
                soft_bytes: memory(soft)?,
                soft_seconds: c_integer(seconds).and_then(|seconds| u32::try_from(seconds).ok())?.into(),
            })
        };
        limits[class as usize] =
            limit().ok_or("Error in hard, soft or soft_seconds setting in buffer limit configuration.")?;
    }
    Ok(Value::Limits(limits))
}

fn client_class(name: &[u8]) -> Option<ClientClass> {
    match name.to_ascii_lowercase().as_slice() {
        b"normal" => Some(ClientClass::Normal),
        b"replica" | b"slave" => Some(ClientClass::Replica),
        b"pubsub" => Some(ClientClass::Pubsub),
        _ => None,
    }
}

fn show_limits(limits: &[BufferLimit; 3]) -> String {
    let [normal, replica, pubsub] =
        limits.map(|limit| format!("{} {} {}", limit.hard_bytes, limit.soft_bytes, limit.soft_seconds));
    format!("normal {normal} slave {replica} pubsub {pubsub}")
}

fn oom_scores(args: &[&[u8]]) -> Result<Value, Refused> {
    if args.len() != 3 {
        return Err("wrong number of arguments".into());
    }
    let scores: Option<Vec<String>> = args
        .iter()
        .map(|score| c_integer(score).filter(|score| (-2000..=2000).contains(score)))
        .map(|score| score.map(|score| score.to_string()))
        .collect();
    let scores = scores.ok_or("Invalid oom-score-adj-values, elements must be between -2000 and 2000.")?;
    Ok(Value::Text(scores.join(" ").into_bytes().into()))
}

fn percentiles(args: &[&[u8]]) -> Result<Value, Refused> {
    if let [b""] = args {
        return Ok(Value::Text(Arc::default()));
    }
    if args.len() > MAX_WORDS {
        return Err("Invalid latency-tracking-info-percentiles parameters".into());
    }
    let mut shown = Vec::with_capacity(args.len());
    for arg in args {
        let number = std::str::from_utf8(arg).ok().and_then(|text| text.parse::<f64>().ok());
        let number = number
            .filter(|number| !number.is_nan())
            .ok_or("Invalid latency-tracking-info-percentiles parameters")?;
        if !(0.0..=100.0).contains(&number) {
            return Err("latency-tracking-info-percentiles parameters should sit between [0.0,100.0]".into());
        }
        let text = format!("{number:.6}");
        shown.push(text.trim_end_matches('0').trim_end_matches('.').to_owned());
    }
    Ok(Value::Text(shown.join(" ").into_bytes().into()))
}

fn shutdown_flags(args: &[&[u8]]) -> Result<Value, Refused> {
    let refused = || not_one_of(SHUTDOWN_FLAGS.iter().map(|(word, _)| word));
    if args.is_empty() {
        return Err(refused());
    }
    let mut bits = 0;
    for arg in args {
        let flag = SHUTDOWN_FLAGS.iter().find(|(word, _)| arg.eq_ignore_ascii_case(word.as_bytes()));
        bits |= flag.ok_or_else(refused)?.1;
    }
    let [save, nosave] = [1, 2];
    if bits & save != 0 && bits & nosave != 0 {
        return Err("shutdown options SAVE and NOSAVE can't be used simultaneously".into());
    }
    Ok(Value::Number(bits))
}

fn show_shutdown_flags(bits: i64) -> String {
    if bits == 0 {
        return "default".to_owned();
    }
    let words: Vec<&str> =
        SHUTDOWN_FLAGS.iter().filter(|(_, bit)| bits & bit != 0).map(|(word, _)| *word).collect();
    words.join(" ")
}

fn replica_of(args: &[&[u8]]) -> Result<Value, Refused> {
    let [host, port] = args else {
        // The default, which is no argument at all, is no primary.
        return if args.is_empty() || *args == [b"".as_slice()] {
            Ok(Value::Text(Arc::default()))
        } else {
            Err("wrong number of arguments".into())
        };
    };
    if host.eq_ignore_ascii_case(b"no") && port.eq_ignore_ascii_case(b"one") {
        return Ok(Value::Text(Arc::default()));
    }
    let port = c_integer(port).filter(|port| (0..=65535).contains(port)).ok_or("Invalid primary port")?;
    Ok(Value::Text([host, format!(" {port}").as_bytes()].concat().into()))
}

fn directory(text: &[u8], current: &Value) -> Result<Value, Refused> {
    use std::os::unix::ffi::OsStrExt;

    if text.is_empty() {
        return Err("dir can't be empty".into());
    }
    let base = match current {
        Value::Text(text) => Path::new(std::ffi::OsStr::from_bytes(text)),
        _ => Path::new("."),
    };
    let path = base.join(std::ffi::OsStr::from_bytes(text));
    let path = path.canonicalize().map_err(|error| system_words(&error))?;
    if !path.is_dir() {
        return Err("Not a directory".into());
    }
    Ok(Value::Text(path.as_os_str().as_bytes().into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::table::{TABLE, find};

    fn value(name: &str, args: &[&str]) -> Result<String, String> {
        let (spec, _) = find(name.as_bytes()).expect(name);
        let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
        let value = parse(spec, &args, &Value::Text(Arc::default()), false).map_err(Cow::into_owned)?;
        Ok(String::from_utf8(show(spec, &value)).expect("UTF-8"))
    }

    fn shown(text: &str) -> Result<String, String> {
        Ok(text.to_owned())
    }

    fn refused(text: &str) -> Result<String, String> {
        Err(text.to_owned())
    }

    #[test]
    fn memory_takes_units_in_thousands_and_in_powers_of_two() {
        for (text, bytes) in [
            ("1", Some(1)),
            ("", Some(0)),
            ("b", Some(0)),
            ("1b", Some(1)),
            ("1k", Some(1000)),
            ("1KB", Some(1024)),
            ("2m", Some(2_000_000)),
            ("2mb", Some(2 << 20)),
            ("3g", Some(3_000_000_000)),
            ("3Gb", Some(3 << 30)),
            ("018", Some(18)),
            ("18014398509481984kb", Some(0)),
            ("1tb", None),
            ("1.5mb", None),
            (" 1", None),
            ("-1", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(memory(text.as_bytes()), bytes, "{text}");
        }
    }

    #[test]
    fn numbers_are_strict_and_bounded() {
        let not_integer = refused("argument couldn't be parsed into an integer");
        for text in ["01", "+1", " 1", "1 ", "", "0x10", "18446744073709551615"] {
            assert_eq!(value("timeout", &[text]), not_integer, "{text}");
        }
        let out_of_range = refused("argument must be between 0 and 2147483647 inclusive");
        assert_eq!(value("timeout", &["-1"]), out_of_range);
        assert_eq!(value("timeout", &["501"]), shown("501"));
        assert_eq!(value("hz", &["501"]), shown("500"));
        assert_eq!(value("hz", &["0"]), shown("1"));
        assert_eq!(value("unixsocketperm", &["700"]), shown("700"));
        assert_eq!(
            value("unixsocketperm", &["1000"]),
            refused("argument must be between 0 and 777 inclusive")
        );
        assert_eq!(
            value("unixsocketperm", &["8"]),
            refused("argument couldn't be parsed as an octal number")
        );
    }

    #[test]
    fn a_percentage_is_told_from_bytes() {
        assert_eq!(value("maxmemory-clients", &["50%"]), shown("50%"));
        assert_eq!(value("maxmemory-clients", &["0%"]), shown("0"));
        assert_eq!(value("maxmemory-clients", &["1gb"]), shown("1073741824"));
        let too_much = refused("percentage argument must be less or equal to 100");
        assert_eq!(value("maxmemory-clients", &["101%"]), too_much);
        for text in ["-5%", "-5", "%", "5%%", "5b%"] {
            let neither = refused("argument must be a memory or percent value");
            assert_eq!(value("maxmemory-clients", &[text]), neither, "{text}");
        }
    }

    #[test]
    fn words_are_told_when_none_fits() {
        assert_eq!(value("loglevel", &["Warning"]), shown("warning"));
        assert_eq!(
            value("loglevel", &["loud"]),
            refused("argument(s) must be one of the following: debug, verbose, notice, warning, nothing")
        );
        assert_eq!(value("oom-score-adj", &["relative"]), shown("yes"));
        assert_eq!(value("appendonly", &["YES"]), shown("yes"));
        assert_eq!(value("appendonly", &["1"]), refused("argument must be 'yes' or 'no'"));
    }

    #[test]
    fn save_points_are_pairs() {
        assert_eq!(value("save", &["900", "1", "300", "10"]), shown("900 1 300 10"));
        assert_eq!(value("save", &[""]), shown(""));
        assert_eq!(value("save", &["1", "99999999999"]), shown("1 1215752191"));
        for args in [&["900"] as &[&str], &["0", "1"], &["1", "-1"], &["a", "b"], &["1", "1", "", "2"]] {
            assert_eq!(value("save", args), refused("Invalid save parameters"), "{args:?}");
        }
        assert_eq!(
            save_points_of(b"900 1 300 10"),
            [SavePoint { seconds: 900, changes: 1 }, SavePoint { seconds: 300, changes: 10 }]
        );
    }

    #[test]
    fn buffer_limits_amend_what_stands() {
        let limits =
            value("client-output-buffer-limit", &["replica", "1mb", "2kb", "5", "PUBSUB", "1", "2", "3"]);
        assert_eq!(limits, shown("normal 0 0 0 slave 1048576 2048 5 pubsub 1 2 3"));
        for (args, reason) in [
            (&["normal"] as &[&str], "Wrong number of arguments in buffer limit configuration."),
            (&["master", "1", "2", "3"], "Invalid client class specified in buffer limit configuration."),
            (
                &["normal", "0", "0", "-1"],
                "Error in hard, soft or soft_seconds setting in buffer limit configuration.",
            ),
            (
                &["normal", "-1", "0", "0"],
                "Error in hard, soft or soft_seconds setting in buffer limit configuration.",
            ),
        ] {
            assert_eq!(value("client-output-buffer-limit", args), refused(reason), "{args:?}");
        }
    }

    #[test]
    fn flags_combine_unless_they_contradict() {
        assert_eq!(value("shutdown-on-sigterm", &["force", "save", "NOW"]), shown("save now force"));
        assert_eq!(value("shutdown-on-sigterm", &["default", "save"]), shown("save"));
        assert_eq!(
            value("shutdown-on-sigterm", &["save", "nosave"]),
            refused("shutdown options SAVE and NOSAVE can't be used simultaneously")
        );
        assert!(value("shutdown-on-sigterm", &[]).is_err());
    }

    #[test]
    fn percentiles_are_shown_without_idle_zeros() {
        let name = "latency-tracking-info-percentiles";
        assert_eq!(value(name, &["50.50", "99.9999999", "1e1"]), shown("50.5 100 10"));
        assert_eq!(value(name, &[""]), shown(""));
        assert!(value(name, &["101"]).is_err());
        assert!(value(name, &["nan"]).is_err());
    }

    #[test]
    fn a_primary_is_a_host_and_a_port() {
        assert_eq!(value("replicaof", &["host", "6379"]), shown("host 6379"));
        assert_eq!(value("slaveof", &["no", "ONE"]), shown(""));
        assert_eq!(value("replicaof", &["host", "99999"]), refused("Invalid primary port"));
        assert_eq!(value("replicaof", &["host"]), refused("wrong number of arguments"));
    }

    #[test]
    fn folders_must_be_there() {
        assert_eq!(value("dir", &["/usr/../"]), shown("/"));
        assert_eq!(value("dir", &["/nonexistent"]), refused("No such file or directory"));
        assert_eq!(value("dir", &["/etc/passwd"]), refused("Not a directory"));
        assert_eq!(value("dir", &[""]), refused("dir can't be empty"));
    }

    #[test]
    fn lines_of_a_file_are_read_back_as_the_same_value() {
        for (name, args) in [
            ("maxmemory", &["100mb"] as &[&str]),
            ("save", &["900", "1", "60", "1000"]),
            ("save", &[""]),
            ("requirepass", &["a \"b\" \\ \u{7}"]),
            ("bind", &["127.0.0.1", "-::1"]),
            ("shutdown-on-sigint", &["nosave", "now"]),
            ("maxmemory-clients", &["5%"]),
            ("notify-keyspace-events", &["KEA"]),
            ("logfile", &[""]),
        ] {
            let (spec, _) = find(name.as_bytes()).expect(name);
            let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
            let empty = Value::Text(Arc::default());
            let value = parse(spec, &args, &empty, false).expect(name);
            let written = lines(spec, &value);
            let read = crate::config::parse::split_arguments(&written[0]).expect("balanced quotes");
            let read: Vec<&[u8]> = read[1..].iter().map(Vec::as_slice).collect();
            assert_eq!(parse(spec, &read, &empty, false), Ok(value), "{name}");
        }
    }

    #[test]
    fn every_default_is_a_value_of_its_directive() {
        for spec in &TABLE {
            if spec.directive == Directive::Dir {
                continue;
            }
            let args: Vec<&[u8]> = if spec.multi {
                spec.default.as_bytes().split(|&byte| byte == b' ').collect()
            } else {
                vec![spec.default.as_bytes()]
            };
            let value = parse(spec, &args, &Value::Text(Arc::default()), false);
            assert!(value.is_ok(), "{}: {value:?}", spec.name);
        }
    }
}
