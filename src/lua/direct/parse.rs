//! Reading a script. `None` means only that the machine has to run it: also for what is no Lua at all, which
//! it then says.

use super::{Arithmetic, Block, Call, Compare, Direct, Expr, Field, Function, Line, Statement, Words};
use crate::command::table::CommandTable;
use crate::lua::lexer::{Token, placed_tokens};

/// How deep expressions and blocks may be nested; Lua's own limit is 200.
const DEPTH_MAX: usize = 50;
/// The most local variables, and the most values of a list or call; Lua's own limits are 200 and 250.
const COUNT_MAX: usize = 60;
/// A longer script is left to the machine.
const SOURCE_MAX: usize = 16 * 1024;

/// Words that cannot be names.
const KEYWORDS: [&[u8]; 21] = [
    b"and",
    b"break",
    b"do",
    b"else",
    b"elseif",
    b"end",
    b"false",
    b"for",
    b"function",
    b"if",
    b"in",
    b"local",
    b"nil",
    b"not",
    b"or",
    b"repeat",
    b"return",
    b"then",
    b"true",
    b"until",
    b"while",
];

/// Reads a script, its first line left out where that is none of Lua's.
pub fn parse(source: &[u8], table: &CommandTable) -> Option<Direct> {
    // Lines that end in another way are counted in another way.
    if source.len() > SOURCE_MAX || memchr::memchr2(b'\r', 0, source).is_some() {
        return None;
    }
    let mut parser =
        Parser { tokens: placed(source)?, at: 0, table, visible: Vec::new(), locals: Vec::new(), depth: 0 };
    let body = parser.block()?;
    parser.tokens.get(parser.at).is_none().then_some(())?;
    Some(Direct { body, locals: parser.locals })
}

/// A token, its line, and whether it stands right behind the one before.
struct Placed<'a> {
    token: Token<'a>,
    line: Line,
    joined: bool,
}

fn placed(source: &[u8]) -> Option<Vec<Placed<'_>>> {
    let mut all: Vec<Placed<'_>> = Vec::new();
    let (mut line, mut counted, mut symbol_end) = (1, 0, None);
    for (token, at) in placed_tokens(source)? {
        // Of a text in brackets Lua leaves the first line's end away.
        if matches!(token, Token::Text(_)) && source[at] == b'[' {
            return None;
        }
        line += memchr::memchr_iter(b'\n', &source[counted..at]).count() as Line;
        counted = at;
        let joined = symbol_end == Some(at);
        symbol_end = matches!(token, Token::Symbol(_)).then_some(at + 1);
        all.push(Placed { token, line, joined });
    }
    Some(all)
}

struct Parser<'a> {
    tokens: Vec<Placed<'a>>,
    at: usize,
    table: &'a CommandTable,
    /// The names that are visible, and which variables they are.
    visible: Vec<(&'a [u8], usize)>,
    locals: Vec<Box<[u8]>>,
    depth: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operator {
    Or,
    And,
    Compare(Compare),
    Concat,
    Arithmetic(Arithmetic),
}

impl Operator {
    /// How strongly it binds what stands before and behind it; a unary operator binds with [`UNARY`].
    fn binds(self) -> (u8, u8) {
        match self {
            Operator::Or => (1, 1),
            Operator::And => (2, 2),
            Operator::Compare(_) => (3, 3),
            Operator::Concat => (5, 4),
            Operator::Arithmetic(Arithmetic::Add | Arithmetic::Subtract) => (6, 6),
            Operator::Arithmetic(Arithmetic::Power) => (10, 9),
            Operator::Arithmetic(_) => (7, 7),
        }
    }
}

const UNARY: u8 = 8;

impl<'a> Parser<'a> {
    fn block(&mut self) -> Option<Block> {
        self.deeper()?;
        let visible = self.visible.len();
        let mut block = Block::new();
        while !self.block_ends() {
            let returns = self.is_word(b"return");
            block.push(self.statement()?);
            self.take(b';');
            if returns && !self.block_ends() {
                return None;
            }
        }
        self.visible.truncate(visible);
        self.depth -= 1;
        Some(block)
    }

    fn block_ends(&self) -> bool {
        match self.tokens.get(self.at).map(|placed| &placed.token) {
            None => true,
            Some(Token::Name(word)) => matches!(*word, b"end" | b"else" | b"elseif"),
            Some(_) => false,
        }
    }

    fn statement(&mut self) -> Option<Statement> {
        let &Token::Name(word) = self.peek()? else { return None };
        match word {
            b"local" => self.local(),
            b"if" => self.conditional(),
            b"do" => {
                self.at += 1;
                let block = self.block()?;
                self.word(b"end")?;
                Some(Statement::If { arms: vec![(Expr::Boolean(true), block)], otherwise: Block::new() })
            }
            b"return" => {
                self.at += 1;
                let value =
                    if self.block_ends() || self.is_symbol(b';') { None } else { Some(self.expr(0)?) };
                // A second value would be evaluated too.
                (!self.is_symbol(b',')).then_some(Statement::Return(value))
            }
            b"redis" | b"server" if self.variable(word).is_none() => match self.primary()? {
                Expr::Call(call) => Some(Statement::Call(*call)),
                _ => None,
            },
            _ => self.assignment(),
        }
    }

    fn local(&mut self) -> Option<Statement> {
        self.at += 1;
        let mut names = vec![self.name()?];
        while self.take(b',') {
            names.push(self.name()?);
        }
        let values = if self.assigns() { self.list()? } else { Vec::new() };
        // Their names are not visible in the values.
        let targets = names.into_iter().map(|name| self.declare(name)).collect::<Option<_>>()?;
        Some(Statement::Assign { targets, values })
    }

    fn assignment(&mut self) -> Option<Statement> {
        let mut targets = Vec::new();
        loop {
            let name = self.name()?;
            targets.push(self.variable(name)?);
            if !self.take(b',') {
                break;
            }
        }
        if !self.assigns() {
            return None;
        }
        // One variable twice is assigned in an order that Lua does not promise.
        if (1..targets.len()).any(|at| targets[..at].contains(&targets[at])) {
            return None;
        }
        Some(Statement::Assign { targets, values: self.list()? })
    }

    /// Takes a single `=`.
    fn assigns(&mut self) -> bool {
        let single = !self
            .tokens
            .get(self.at + 1)
            .is_some_and(|next| next.joined && next.token == Token::Symbol(b'='));
        single && self.take(b'=')
    }

    fn conditional(&mut self) -> Option<Statement> {
        let (mut arms, mut otherwise) = (Vec::new(), Block::new());
        loop {
            self.at += 1;
            let condition = self.expr(0)?;
            self.word(b"then")?;
            arms.push((condition, self.block()?));
            if !self.is_word(b"elseif") {
                break;
            }
        }
        if self.is_word(b"else") {
            self.at += 1;
            otherwise = self.block()?;
        }
        self.word(b"end")?;
        Some(Statement::If { arms, otherwise })
    }

    fn list(&mut self) -> Option<Vec<Expr>> {
        let mut values = vec![self.expr(0)?];
        while self.take(b',') {
            values.push(self.expr(0)?);
        }
        (values.len() <= COUNT_MAX).then_some(values)
    }

    /// An expression whose operators all bind what is before them more strongly than `limit`.
    fn expr(&mut self, limit: u8) -> Option<Expr> {
        self.deeper()?;
        let mut left = self.unary()?;
        while let Some((operator, length)) = self.operator() {
            let (before, behind) = operator.binds();
            if before <= limit {
                break;
            }
            self.at += length;
            let right = self.expr(behind)?;
            left = joined(operator, left, right, self.last_line())?;
        }
        self.depth -= 1;
        Some(left)
    }

    fn unary(&mut self) -> Option<Expr> {
        match self.peek()? {
            Token::Name(b"not") => {
                self.at += 1;
                Some(Expr::Not(Box::new(self.expr(UNARY)?)))
            }
            Token::Symbol(b'-') => {
                self.at += 1;
                match self.expr(UNARY)? {
                    Expr::Number(number) => Some(Expr::Number(-number)),
                    operand => Some(Expr::Negate(Box::new(operand_of(operand)?), self.last_line())),
                }
            }
            Token::Symbol(b'#') => {
                self.at += 1;
                if let Some(words) = self.words() {
                    self.at += 1;
                    // An element's length is found below.
                    if !self.continues_value() {
                        let is_power = self.is_symbol(b'^');
                        return (!is_power).then_some(Expr::Count(words));
                    }
                    self.at -= 1;
                }
                let operand = operand_of(self.expr(UNARY)?)?;
                Some(Expr::Length(Box::new(operand), self.last_line()))
            }
            _ => self.simple(),
        }
    }

    fn simple(&mut self) -> Option<Expr> {
        let value = match self.peek()? {
            Token::Number(text) => Expr::Number(decimal(text)?),
            Token::Text(text) => Expr::Text(text.as_slice().into()),
            Token::Name(b"nil") => Expr::Nil,
            Token::Name(b"true") => Expr::Boolean(true),
            Token::Name(b"false") => Expr::Boolean(false),
            Token::Symbol(b'{') => return self.table(),
            _ => return self.primary(),
        };
        self.at += 1;
        Some(value)
    }

    /// `{a, b}`.
    fn table(&mut self) -> Option<Expr> {
        self.at += 1;
        let mut values = Vec::new();
        while !self.take(b'}') {
            values.push(self.expr(0)?);
            if !self.take(b',') && !self.take(b';') {
                self.symbol(b'}')?;
                break;
            }
        }
        (values.len() <= COUNT_MAX).then_some(Expr::List(values))
    }

    /// What may be looked into: a variable, an element, a call, or an expression in parentheses.
    fn primary(&mut self) -> Option<Expr> {
        let mut value = if self.take(b'(') {
            let value = self.expr(0)?;
            self.symbol(b')')?;
            value
        } else if let Some(words) = self.words() {
            self.at += 1;
            self.symbol(b'[')?;
            let index = self.expr(0)?;
            self.symbol(b']')?;
            Expr::Word(words, Box::new(index))
        } else {
            let name = self.name()?;
            match self.variable(name) {
                Some(variable) => Expr::Local(variable),
                None => self.call(name)?,
            }
        };
        while self.continues_value() {
            let value_looked_into = Box::new(operand_of(value)?);
            if self.take(b'[') {
                let &Token::Number(text) = self.peek()? else { return None };
                let index = std::str::from_utf8(text).ok()?.parse::<u32>().ok()?;
                self.at += 1;
                self.symbol(b']')?;
                value = Expr::Item(value_looked_into, index as usize, self.last_line());
            } else {
                self.symbol(b'.')?;
                let field = match self.name()? {
                    b"ok" => Field::Ok,
                    b"err" => Field::Err,
                    _ => return None,
                };
                value = Expr::Field(value_looked_into, field, self.last_line());
            }
        }
        Some(value)
    }

    /// Whether what follows belongs to the value before it.
    fn continues_value(&self) -> bool {
        match self.tokens.get(self.at).map(|placed| &placed.token) {
            Some(Token::Symbol(b'.')) => self.operator().is_none(),
            Some(Token::Symbol(b'[' | b'(' | b'{' | b':') | Token::Text(_)) => true,
            _ => false,
        }
    }

    /// KEYS or ARGV, where the next word is one of these.
    fn words(&self) -> Option<Words> {
        let &Token::Name(name) = self.peek()? else { return None };
        let words = match name {
            b"KEYS" => Words::Keys,
            b"ARGV" => Words::Arguments,
            _ => return None,
        };
        self.variable(name).is_none().then_some(words)
    }

    /// The call of a function; its first name is read already.
    fn call(&mut self, name: &[u8]) -> Option<Expr> {
        let function = match name {
            b"redis" | b"server" => {
                self.symbol(b'.')?;
                match self.name()? {
                    b"call" => return self.command(false),
                    b"pcall" => return self.command(true),
                    b"error_reply" => Function::ErrorReply,
                    b"status_reply" => Function::StatusReply,
                    _ => return None,
                }
            }
            b"math" => {
                self.symbol(b'.')?;
                match self.name()? {
                    b"floor" => Function::Floor,
                    b"ceil" => Function::Ceil,
                    b"abs" => Function::Abs,
                    b"max" => Function::Max,
                    b"min" => Function::Min,
                    _ => return None,
                }
            }
            b"tonumber" => Function::ToNumber,
            b"tostring" => Function::ToText,
            b"type" => Function::Type,
            _ => return None,
        };
        let (arguments, line) = self.arguments()?;
        let takes_several = matches!(function, Function::Max | Function::Min);
        (takes_several || arguments.len() == 1).then_some(Expr::Apply(function, arguments, line))
    }

    fn command(&mut self, protected: bool) -> Option<Expr> {
        let (words, line) = self.arguments()?;
        let entry = match &words[0] {
            Expr::Text(name) => self.table.by_called_name(name).map(|entry| entry.id),
            _ => None,
        };
        Some(Expr::Call(Box::new(Call { words, entry, protected, line })))
    }

    /// The arguments of a call, of which there is at least one, and its line.
    fn arguments(&mut self) -> Option<(Vec<Expr>, Line)> {
        // Lua takes a parenthesis on the next line for an error.
        let line = self.tokens.get(self.at)?.line;
        (line == self.last_line()).then_some(())?;
        self.symbol(b'(')?;
        let arguments = self.list()?;
        self.symbol(b')')?;
        Some((arguments, line))
    }

    /// The operator that comes next, and of how many tokens it is.
    fn operator(&self) -> Option<(Operator, usize)> {
        let next = |offset: usize| {
            let placed = self.tokens.get(self.at + offset)?;
            match placed.token {
                Token::Symbol(symbol) if offset == 0 || placed.joined => Some(symbol),
                _ => None,
            }
        };
        if let Token::Name(word) = self.peek()? {
            return match *word {
                b"and" => Some((Operator::And, 1)),
                b"or" => Some((Operator::Or, 1)),
                _ => None,
            };
        }
        let compare = |compare| Operator::Compare(compare);
        Some(match (next(0)?, next(1)) {
            (b'=', Some(b'=')) => (compare(Compare::Equal), 2),
            (b'~', Some(b'=')) => (compare(Compare::Unequal), 2),
            (b'<', Some(b'=')) => (compare(Compare::LessOrEqual), 2),
            (b'>', Some(b'=')) => (compare(Compare::GreaterOrEqual), 2),
            (b'<', _) => (compare(Compare::Less), 1),
            (b'>', _) => (compare(Compare::Greater), 1),
            (b'.', Some(b'.')) => (Operator::Concat, 2),
            (b'+', _) => (Operator::Arithmetic(Arithmetic::Add), 1),
            (b'-', _) => (Operator::Arithmetic(Arithmetic::Subtract), 1),
            (b'*', _) => (Operator::Arithmetic(Arithmetic::Multiply), 1),
            (b'/', _) => (Operator::Arithmetic(Arithmetic::Divide), 1),
            (b'%', _) => (Operator::Arithmetic(Arithmetic::Modulo), 1),
            (b'^', _) => (Operator::Arithmetic(Arithmetic::Power), 1),
            _ => return None,
        })
    }

    fn declare(&mut self, name: &'a [u8]) -> Option<usize> {
        let variable = self.locals.len();
        self.locals.push(name.into());
        self.visible.push((name, variable));
        (variable < COUNT_MAX).then_some(variable)
    }

    fn variable(&self, name: &[u8]) -> Option<usize> {
        self.visible.iter().rev().find(|(visible, _)| *visible == name).map(|(_, variable)| *variable)
    }

    fn name(&mut self) -> Option<&'a [u8]> {
        let &Token::Name(name) = self.peek()? else { return None };
        self.at += 1;
        (!KEYWORDS.contains(&name)).then_some(name)
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.is_word(word).then(|| self.at += 1)
    }

    fn is_word(&self, word: &[u8]) -> bool {
        self.peek().is_some_and(|token| *token == Token::Name(word))
    }

    fn symbol(&mut self, symbol: u8) -> Option<()> {
        self.take(symbol).then_some(())
    }

    fn take(&mut self, symbol: u8) -> bool {
        let there = self.is_symbol(symbol);
        self.at += usize::from(there);
        there
    }

    fn is_symbol(&self, symbol: u8) -> bool {
        self.peek().is_some_and(|token| *token == Token::Symbol(symbol))
    }

    fn peek(&self) -> Option<&Token<'a>> {
        self.tokens.get(self.at).map(|placed| &placed.token)
    }

    /// The line of the token that was read last.
    fn last_line(&self) -> Line {
        self.at.checked_sub(1).map_or(1, |at| self.tokens[at].line)
    }

    fn deeper(&mut self) -> Option<()> {
        self.depth += 1;
        (self.depth <= DEPTH_MAX).then_some(())
    }
}

fn joined(operator: Operator, left: Expr, right: Expr, line: Line) -> Option<Expr> {
    Some(match operator {
        Operator::Or => Expr::Or(Box::new((left, right))),
        Operator::And => Expr::And(Box::new((left, right))),
        Operator::Compare(compare) => Expr::Compare(compare, Box::new((left, right)), line),
        Operator::Arithmetic(arithmetic) => {
            Expr::Arithmetic(arithmetic, Box::new((operand_of(left)?, operand_of(right)?)), line)
        }
        Operator::Concat => {
            let mut values = vec![operand_of(left)?];
            match right {
                // The last of a row of them is read first; all are joined at once.
                Expr::Concat(rest, line) => {
                    values.extend(rest);
                    return (values.len() <= COUNT_MAX).then_some(Expr::Concat(values, line));
                }
                right => values.push(operand_of(right)?),
            }
            Expr::Concat(values, line)
        }
    })
}

/// An expression whose value may be of the wrong type, so that an error has to name it as Lua does: not where
/// that depends on the machine's registers.
fn operand_of(expr: Expr) -> Option<Expr> {
    match &expr {
        Expr::And(both) | Expr::Or(both) => matches!(both.1, Expr::Number(_) | Expr::Text(_)).then_some(expr),
        _ => Some(expr),
    }
}

/// A number written in digits with at most one point; what else Lua takes for a number is left to it.
fn decimal(text: &[u8]) -> Option<f64> {
    let plain = text.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
    let text = std::str::from_utf8(text).ok().filter(|_| plain)?;
    text.parse().ok()
}
