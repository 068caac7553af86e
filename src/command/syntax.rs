//! The arguments of a command as a tree, read from its entry's one-line syntax: what COMMAND DOCS tells clients.

/// One argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// Its name, lower case.
    pub name: String,
    /// What it is.
    pub kind: ArgumentKind,
    /// The word before its value.
    pub token: Option<String>,
    /// May be left out.
    pub optional: bool,
    /// May come several times.
    pub multiple: bool,
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

/// Reads a syntax line: capitals are words to be typed, the rest are names of values, `[x]` may be left out, `x | y` is a
/// choice, `x ...` may come several times.
pub fn parse(syntax: &str) -> Vec<Argument> {
    let spaced = syntax.replace('[', " [ ").replace(']', " ] ");
    let words: Vec<&str> = spaced.split_ascii_whitespace().collect();
    let mut parser = Parser { words, at: 0 };
    let alternatives = parser.alternatives();
    match <[Vec<Argument>; 1]>::try_from(alternatives) {
        Ok([sequence]) => sequence,
        Err(alternatives) => vec![choice(alternatives)],
    }
}

struct Parser<'a> {
    words: Vec<&'a str>,
    at: usize,
}

impl Parser<'_> {
    /// Sequences separated by `|`, up to `]` or the end.
    fn alternatives(&mut self) -> Vec<Vec<Argument>> {
        let mut all = vec![self.sequence()];
        while self.words.get(self.at) == Some(&"|") {
            self.at += 1;
            all.push(self.sequence());
        }
        all
    }

    fn sequence(&mut self) -> Vec<Argument> {
        let mut items: Vec<Argument> = Vec::new();
        while let Some(&word) = self.words.get(self.at) {
            match word {
                "]" | "|" => break,
                "[" => {
                    self.at += 1;
                    let inner = self.alternatives();
                    self.at += 1;
                    self.optional(inner, &mut items);
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
        match self.words.get(self.at) {
            Some(&next) if !is_token(next) && !matches!(next, "[" | "]" | "|" | "...") => {
                self.at += 1;
                value(next, Some(word.to_owned()))
            }
            _ => Argument {
                name: word.to_ascii_lowercase(),
                kind: ArgumentKind::PureToken,
                token: Some(word.to_owned()),
                optional: false,
                multiple: false,
                children: Vec::new(),
            },
        }
    }

    /// What stood in brackets; a repetition of what stands before them makes that multiple instead.
    fn optional(&self, mut inner: Vec<Vec<Argument>>, items: &mut Vec<Argument>) {
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
            let repeated = items.split_off(start);
            items.push(Argument { multiple: true, ..block(repeated) });
            return;
        }
        if sequence.len() == 1 {
            items.extend(sequence.pop().map(|only| Argument { optional: true, ..only }));
        } else {
            items.push(Argument { optional: true, ..block(sequence) });
        }
    }
}

fn is_token(word: &str) -> bool {
    word.bytes().any(|byte| byte.is_ascii_uppercase() || byte == b'*')
        && !word.bytes().any(|byte| byte.is_ascii_lowercase())
}

fn value(name: &str, token: Option<String>) -> Argument {
    let kind = match name {
        "key" | "newkey" | "source" | "destination" | "key1" | "key2" => ArgumentKind::Key,
        "pattern" => ArgumentKind::Pattern,
        name if name.starts_with("unix-time") => ArgumentKind::UnixTime,
        "count" | "cursor" | "seconds" | "milliseconds" | "index" | "db" | "destination-db" | "numkeys"
        | "offset" | "start" | "end" | "stop" | "increment" | "decrement" | "timeout" | "slot" | "limit"
        | "client-id" | "protover" | "index1" | "index2" | "min-match-len" => ArgumentKind::Integer,
        "score" | "min" | "max" | "longitude" | "latitude" | "radius" | "weight" => ArgumentKind::Double,
        _ => ArgumentKind::String,
    };
    Argument { name: name.to_owned(), kind, token, optional: false, multiple: false, children: Vec::new() }
}

fn block(mut sequence: Vec<Argument>) -> Argument {
    if sequence.len() == 1
        && let Some(only) = sequence.pop()
    {
        return only;
    }
    let name = sequence.iter().map(|item| item.name.as_str()).collect::<Vec<_>>().join("-");
    Argument {
        name,
        kind: ArgumentKind::Block,
        token: None,
        optional: false,
        multiple: false,
        children: sequence,
    }
}

fn choice(alternatives: Vec<Vec<Argument>>) -> Argument {
    let children: Vec<Argument> =
        alternatives.into_iter().filter(|part| !part.is_empty()).map(block).collect();
    let name = children.first().map_or_else(String::new, |first| format!("{}-choice", first.name));
    Argument { name, kind: ArgumentKind::OneOf, token: None, optional: false, multiple: false, children }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(argument: &Argument) -> String {
        let children: Vec<String> = argument.children.iter().map(shape).collect();
        format!(
            "{}{}{}{}{}",
            argument.token.as_ref().map_or_else(String::new, |token| format!("{token}=")),
            if argument.children.is_empty() {
                argument.name.clone()
            } else {
                argument.kind.word().to_owned()
            },
            if argument.optional { "?" } else { "" },
            if argument.multiple { "+" } else { "" },
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
}
