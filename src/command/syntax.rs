//! The arguments of a command as a tree, read from its entry's one-line syntax: what COMMAND DOCS tells
//! clients.

/// One argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// Its name, lower case.
    pub name: String,
    /// What it is.
    pub kind: ArgumentKind,
    /// The word before its value, or before the first of its children.
    pub token: Option<String>,
    /// The index of its key spec, where it is not the next one.
    pub key_spec: Option<i64>,
    /// May be left out.
    pub optional: bool,
    /// May come several times.
    pub multiple: bool,
    /// Its token comes again each time.
    pub multiple_token: bool,
    /// Parts of a block, alternatives of a choice.
    pub children: Vec<Argument>,
}

/// What an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgumentKind {
    String,
    Integer,
    Double,
    Key,
    Pattern,
    UnixTime,
    PureToken,
    OneOf,
    Block,
}

impl ArgumentKind {
    /// The word of COMMAND DOCS.
    pub fn word(self) -> &'static str {
        match self {
            ArgumentKind::String => "string",
            ArgumentKind::Integer => "integer",
            ArgumentKind::Double => "double",
            ArgumentKind::Key => "key",
            ArgumentKind::Pattern => "pattern",
            ArgumentKind::UnixTime => "unix-time",
            ArgumentKind::PureToken => "pure-token",
            ArgumentKind::OneOf => "oneof",
            ArgumentKind::Block => "block",
        }
    }
}

/// Reads a syntax line.
///
/// Capitals and signs are words to be typed, `""` is the empty one, the rest are names of values. `[x]` may
/// be left out, `x | y` is a choice within its brackets, `(x | y)` is one that may not be left out, `x ...`
/// may come several times. A word right before `(` belongs to all that stands in it: `LIMIT(offset count)`.
/// The type of a value follows from its name where it does not say otherwise: `start:string`. `source@0`
/// gives the index of its key spec, which is counted otherwise.
pub fn parse(syntax: &str) -> Vec<Argument> {
    let mut parser = Parser { words: words(syntax), at: 0 };
    let alternatives = parser.alternatives();
    match <[Vec<Argument>; 1]>::try_from(alternatives) {
        Ok([sequence]) => sequence,
        Err(alternatives) => vec![choice(alternatives)],
    }
}

/// A syntax line as people read it: without what only says types and where words belong to.
pub fn shown(syntax: &str) -> String {
    let words = words(syntax);
    let mut out = String::new();
    // For each open parenthesis whether it is shown.
    let mut open = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let word = match *word {
            "(" | JOINED => {
                open.push(*word == "(" || has_choice(&words[index + 1..]));
                if open.last() == Some(&true) { "(" } else { "" }
            }
            ")" => {
                if open.pop() == Some(true) {
                    ")"
                } else {
                    ""
                }
            }
            word => plain(word).0,
        };
        if word.is_empty() {
            continue;
        }
        if !out.is_empty() && !out.ends_with(['[', '(']) && !matches!(word, "]" | ")") {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

/// Whether there is a choice before the parenthesis closes that stood before these words.
fn has_choice(words: &[&str]) -> bool {
    let mut depth = 0;
    for word in words {
        match *word {
            "(" | "[" | JOINED => depth += 1,
            ")" | "]" if depth == 0 => return false,
            ")" | "]" => depth -= 1,
            "|" if depth == 0 => return true,
            _ => {}
        }
    }
    false
}

/// An opening parenthesis right behind a word.
const JOINED: &str = "_(";

/// The words, brackets and parentheses of a line.
fn words(syntax: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for word in syntax.split_ascii_whitespace() {
        let mut rest = word;
        while let Some(at) = rest.find(['[', ']', '(', ')']) {
            let (before, from) = rest.split_at(at);
            let (bracket, behind) = from.split_at(1);
            if !before.is_empty() {
                words.push(before);
            }
            words.push(if bracket == "(" && !before.is_empty() { JOINED } else { bracket });
            rest = behind;
        }
        if !rest.is_empty() {
            words.push(rest);
        }
    }
    words
}

struct Parser<'a> {
    words: Vec<&'a str>,
    at: usize,
}

impl Parser<'_> {
    /// Sequences separated by `|`, up to a closing bracket or the end.
    fn alternatives(&mut self) -> Vec<Vec<Argument>> {
        let mut all = vec![self.sequence()];
        while self.words.get(self.at) == Some(&"|") {
            self.at += 1;
            all.push(self.sequence());
        }
        all
    }

    /// What stands in the bracket that opens here.
    fn bracketed(&mut self) -> Vec<Vec<Argument>> {
        self.at += 1;
        let inner = self.alternatives();
        self.at += 1;
        inner
    }

    fn sequence(&mut self) -> Vec<Argument> {
        let mut items: Vec<Argument> = Vec::new();
        while let Some(&word) = self.words.get(self.at) {
            match word {
                "]" | ")" | "|" => break,
                "[" => {
                    let inner = self.bracketed();
                    optional(inner, &mut items);
                }
                "(" => {
                    let inner = self.bracketed();
                    items.push(group(inner));
                }
                "..." => {
                    self.at += 1;
                    if let Some(last) = items.last_mut() {
                        last.multiple = true;
                    }
                }
                word => {
                    self.at += 1;
                    items.push(self.value_or_token(word));
                }
            }
        }
        items
    }

    fn value_or_token(&mut self, word: &str) -> Argument {
        if !is_token(word) {
            return value(word, None);
        }
        let token = Some(if word == "\"\"" { String::new() } else { word.to_owned() });
        match self.words.get(self.at) {
            Some(&JOINED) => {
                let mut inner = self.bracketed();
                match inner.pop() {
                    Some(sequence) if inner.is_empty() => Argument { token, ..block_of(sequence) },
                    last => {
                        inner.extend(last);
                        Argument { token, ..choice(inner) }
                    }
                }
            }
            Some(&next) if !is_token(next) && !matches!(next, "[" | "]" | "(" | ")" | "|" | "...") => {
                self.at += 1;
                value(next, token)
            }
            _ => Argument {
                name: word.to_ascii_lowercase(),
                kind: ArgumentKind::PureToken,
                token,
                key_spec: None,
                optional: false,
                multiple: false,
                multiple_token: false,
                children: Vec::new(),
            },
        }
    }
}

/// Adds what stood in brackets; a repetition of what stands before them makes that multiple instead.
fn optional(mut inner: Vec<Vec<Argument>>, items: &mut Vec<Argument>) {
    if inner.len() > 1 {
        items.push(Argument { optional: true, ..choice(inner) });
        return;
    }
    let Some(mut sequence) = inner.pop() else { return };
    let repeats = sequence.last().is_some_and(|last| last.multiple);
    let names = |items: &[Argument]| items.iter().map(|item| item.name.clone()).collect::<Vec<_>>();
    let start = items.len().checked_sub(sequence.len());
    if let (true, Some(start)) = (repeats, start)
        && names(&items[start..]) == names(&sequence)
    {
        let multiple_token = sequence.len() == 1 && sequence[0].token.is_some();
        let repeated = items.split_off(start);
        items.push(Argument { multiple: true, multiple_token, ..block(repeated) });
        return;
    }
    if sequence.len() == 1 {
        items.extend(sequence.pop().map(|only| Argument { optional: true, ..only }));
    } else {
        items.push(Argument { optional: true, ..block_of(sequence) });
    }
}

/// What stood in parentheses.
fn group(mut inner: Vec<Vec<Argument>>) -> Argument {
    match inner.pop() {
        Some(sequence) if inner.is_empty() => block(sequence),
        last => {
            inner.extend(last);
            choice(inner)
        }
    }
}

fn is_token(word: &str) -> bool {
    if matches!(word, "[" | "]" | "(" | ")" | "|" | "..." | JOINED) {
        return false;
    }
    !word.bytes().any(|byte| byte.is_ascii_lowercase())
}

/// A word without its type and its key spec, and these.
fn plain(word: &str) -> (&str, Option<ArgumentKind>, Option<i64>) {
    if is_token(word) {
        return (word, None, None);
    }
    let (word, key_spec) = match word.rsplit_once('@') {
        Some((word, index)) => (word, index.parse().ok()),
        None => (word, None),
    };
    const KINDS: [ArgumentKind; 6] = [
        ArgumentKind::String,
        ArgumentKind::Integer,
        ArgumentKind::Double,
        ArgumentKind::Key,
        ArgumentKind::Pattern,
        ArgumentKind::UnixTime,
    ];
    let typed = word.rsplit_once(':').and_then(|(name, kind)| {
        KINDS.into_iter().find(|known| known.word() == kind).map(|known| (name, known))
    });
    match typed {
        Some((name, kind)) => (name, Some(kind), key_spec),
        None => (word, None, key_spec),
    }
}

/// The type of a value by its name.
fn kind_of(name: &str) -> ArgumentKind {
    match name {
        "key" | "newkey" | "source" | "destination" | "key1" | "key2" => ArgumentKind::Key,
        "pattern" => ArgumentKind::Pattern,
        name if name.starts_with("unix-time") => ArgumentKind::UnixTime,
        "bit" | "bits" | "client-id" | "cluster-bus-port" | "config-epoch" | "count" | "cursor" | "db"
        | "decrement" | "destination-db" | "end" | "end-slot" | "entries-added" | "entries-read"
        | "frequency" | "increment" | "index" | "index1" | "index2" | "len" | "limit" | "milliseconds"
        | "min-match-len" | "ms" | "num-matches" | "numfields" | "numkeys" | "numlocal" | "numreplicas"
        | "num-vertices" | "offset" | "port" | "protover" | "rank" | "seconds" | "slot" | "start"
        | "start-slot" | "stop" | "timeout" | "ttl" | "weight" => ArgumentKind::Integer,
        "height" | "latitude" | "longitude" | "max" | "min" | "radius" | "score" | "width" => {
            ArgumentKind::Double
        }
        _ => ArgumentKind::String,
    }
}

fn value(word: &str, token: Option<String>) -> Argument {
    let (name, kind, key_spec) = plain(word);
    Argument {
        name: name.to_owned(),
        kind: kind.unwrap_or_else(|| kind_of(name)),
        token,
        key_spec,
        optional: false,
        multiple: false,
        multiple_token: false,
        children: Vec::new(),
    }
}

/// A sequence as one argument: the only one in it, or a block.
fn block(mut sequence: Vec<Argument>) -> Argument {
    if sequence.len() == 1
        && let Some(only) = sequence.pop()
    {
        return only;
    }
    block_of(sequence)
}

fn block_of(sequence: Vec<Argument>) -> Argument {
    let name = sequence.iter().map(|item| item.name.as_str()).collect::<Vec<_>>().join("-");
    parent(ArgumentKind::Block, name, sequence)
}

fn choice(alternatives: Vec<Vec<Argument>>) -> Argument {
    let children: Vec<Argument> =
        alternatives.into_iter().filter(|part| !part.is_empty()).map(block).collect();
    let name = children.first().map_or_else(String::new, |first| format!("{}-choice", first.name));
    parent(ArgumentKind::OneOf, name, children)
}

fn parent(kind: ArgumentKind, name: String, children: Vec<Argument>) -> Argument {
    Argument {
        name,
        kind,
        token: None,
        key_spec: None,
        optional: false,
        multiple: false,
        multiple_token: false,
        children,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(argument: &Argument) -> String {
        let children: Vec<String> = argument.children.iter().map(shape).collect();
        format!(
            "{}{}{}{}{}{}",
            argument.token.as_ref().map_or_else(String::new, |token| format!("{token}=")),
            if argument.children.is_empty() {
                argument.name.clone()
            } else {
                argument.kind.word().to_owned()
            },
            if argument.optional { "?" } else { "" },
            if argument.multiple { "+" } else { "" },
            if argument.multiple_token { "!" } else { "" },
            if children.is_empty() { String::new() } else { format!("({})", children.join(",")) },
        )
    }

    fn shapes(syntax: &str) -> Vec<String> {
        parse(syntax).iter().map(shape).collect()
    }

    #[test]
    fn lines_become_trees() {
        assert_eq!(shapes("key"), ["key"]);
        assert_eq!(shapes("key [key ...]"), ["key+"]);
        assert_eq!(shapes("key value [key value ...]"), ["block+(key,value)"]);
        assert_eq!(
            shapes("key value [NX | XX] [EX seconds | KEEPTTL]"),
            ["key", "value", "oneof?(NX=nx,XX=xx)", "oneof?(EX=seconds,KEEPTTL=keepttl)"]
        );
        assert_eq!(
            shapes("cursor [MATCH pattern] [COUNT count]"),
            ["cursor", "MATCH=pattern?", "COUNT=count?"]
        );
        assert_eq!(shapes("[channel [channel ...]]"), ["channel?+"]);
        assert_eq!(shapes("ON | OFF"), ["oneof(ON=on,OFF=off)"]);
        assert_eq!(shapes(""), Vec::<String>::new());
    }

    /// A choice in mid-line took all before and behind it along, and a word before a group went to its first
    /// value.
    #[test]
    fn groups_and_words_before_them() {
        assert_eq!(
            shapes("numkeys key [key ...] (LEFT | RIGHT) [COUNT count]"),
            ["numkeys", "key+", "oneof(LEFT=left,RIGHT=right)", "COUNT=count?"]
        );
        assert_eq!(
            shapes("key [BY pattern] [LIMIT(offset count)] [GET pattern [GET pattern ...]]"),
            ["key", "BY=pattern?", "LIMIT=block?(offset,count)", "GET=pattern?+!"]
        );
        assert_eq!(
            shapes(
                "[GET(encoding offset) | [OVERFLOW(WRAP | SAT)] (SET(offset value) | INCRBY(offset increment))] ..."
            ),
            ["oneof?+(GET=block(encoding,offset),block(OVERFLOW=oneof?(WRAP=wrap,SAT=sat),\
              oneof(SET=block(offset,value),INCRBY=block(offset,increment))))"]
        );
        assert_eq!(
            shapes("[(MAXLEN | MINID) [= | ~] threshold] (* | id)"),
            ["block?(oneof(MAXLEN=maxlen,MINID=minid),oneof?(===,~=~),threshold)", "oneof(*=*,id)"]
        );
        assert_eq!(
            shapes("[GET(a b) [GET(a b) ...]] (key | \"\")"),
            ["GET=block?+!(a,b)", "oneof(key,=\"\")"]
        );
        let typed = parse("start:string source@0 ip:port");
        assert_eq!((&*typed[0].name, typed[0].kind), ("start", ArgumentKind::String));
        assert_eq!(
            (&*typed[1].name, typed[1].kind, typed[1].key_spec),
            ("source", ArgumentKind::Key, Some(0))
        );
        assert_eq!((&*typed[2].name, typed[2].kind), ("ip:port", ArgumentKind::String));
    }

    #[test]
    fn lines_are_shown_without_what_is_only_for_programs() {
        assert_eq!(shown("start:string [LIMIT(offset count)] key2@0"), "start [LIMIT offset count] key2");
        assert_eq!(shown("[AGGREGATE(SUM | MIN)] (LEFT | RIGHT)"), "[AGGREGATE (SUM | MIN)] (LEFT | RIGHT)");
        assert_eq!(shown("[ID client-id [client-id ...]] ip:port"), "[ID client-id [client-id ...]] ip:port");
        assert_eq!(shown(""), "");
    }
}
