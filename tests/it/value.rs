//! Replies as values, and where a reply ends.

/// A reply of either protocol version.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Simple(String),
    Error(String),
    Int(i64),
    Bulk(Vec<u8>),
    Null,
    NullArray,
    Array(Vec<Value>),
    Map(Vec<(Value, Value)>),
    Set(Vec<Value>),
    Push(Vec<Value>),
    Double(String),
    Bool(bool),
    Verbatim(String),
    Big(String),
}

impl Value {
    /// The text of a simple string, an error, a bulk string or a verbatim string.
    pub fn text(&self) -> String {
        match self {
            Value::Simple(text)
            | Value::Error(text)
            | Value::Double(text)
            | Value::Verbatim(text)
            | Value::Big(text) => text.clone(),
            Value::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Value::Int(number) => number.to_string(),
            other => panic!("no text: {other:?}"),
        }
    }

    /// The number of an integer reply.
    pub fn int(&self) -> i64 {
        match self {
            Value::Int(number) => *number,
            other => panic!("no number: {other:?}"),
        }
    }

    /// The elements of an array, set or push; those of a map one after the other.
    pub fn items(&self) -> Vec<Value> {
        match self {
            Value::Array(items) | Value::Set(items) | Value::Push(items) => items.clone(),
            Value::Map(pairs) => {
                pairs.iter().flat_map(|(name, value)| [name.clone(), value.clone()]).collect()
            }
            other => panic!("no array: {other:?}"),
        }
    }

    /// The texts of an array's elements.
    pub fn texts(&self) -> Vec<String> {
        self.items().iter().map(Value::text).collect()
    }

    /// What a flat array or map has behind this name.
    pub fn field(&self, name: &str) -> Value {
        let items = self.items();
        let at = items.iter().step_by(2).position(|item| item.text() == name);
        at.map_or_else(|| panic!("no field {name} in {self:?}"), |at| items[at * 2 + 1].clone())
    }
}

/// The first reply in `bytes` and its length; `None` while it is not whole.
pub fn parse(bytes: &[u8]) -> Option<(Value, usize)> {
    let line_end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let line = String::from_utf8_lossy(&bytes[1..line_end]).into_owned();
    let mut used = line_end + 2;
    let length = || line.parse::<i64>().unwrap_or_else(|_| panic!("a length in {line:?}"));
    let value = match bytes[0] {
        b'+' => Value::Simple(line),
        b'-' => Value::Error(line),
        b':' => Value::Int(length()),
        b',' => Value::Double(line),
        b'_' => Value::Null,
        b'#' => Value::Bool(line == "t"),
        b'$' | b'=' if length() < 0 => Value::Null,
        kind @ (b'$' | b'=') => {
            let length = length() as usize;
            let body = bytes.get(used..used + length)?.to_vec();
            assert_eq!(bytes.get(used + length..used + length + 2)?, b"\r\n", "the end of a bulk string");
            used += length + 2;
            if kind == b'$' {
                Value::Bulk(body)
            } else {
                Value::Verbatim(String::from_utf8_lossy(&body[4..]).into_owned())
            }
        }
        b'(' => Value::Big(line),
        b'|' => {
            // An attribute stands before a reply and is passed over.
            for _ in 0..length() * 2 {
                used += parse(&bytes[used..])?.1;
            }
            let (value, length) = parse(&bytes[used..])?;
            used += length;
            value
        }
        b'*' if length() < 0 => Value::NullArray,
        kind @ (b'*' | b'~' | b'>' | b'%') => {
            let count = length() as usize * if kind == b'%' { 2 } else { 1 };
            let mut items = Vec::new();
            for _ in 0..count {
                let (item, length) = parse(&bytes[used..])?;
                items.push(item);
                used += length;
            }
            match kind {
                b'*' => Value::Array(items),
                b'~' => Value::Set(items),
                b'>' => Value::Push(items),
                _ => {
                    Value::Map(items.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect())
                }
            }
        }
        other => panic!("no reply begins with {:?}: {:?}", other as char, String::from_utf8_lossy(bytes)),
    };
    Some((value, used))
}
