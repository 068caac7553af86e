//! Scripts without loops and functions, run without a Lua machine.
//!
//! Most scripts in use are of this kind: take a lock, let it go, count and set an expiry, compare and delete.
//! They ask for some commands one behind the other and decide between them; a machine spends most of its time
//! on handing words and replies over. Such a script is read once ([`parse`]) into a tree whose leaves are
//! KEYS, ARGV, texts and numbers, which `scripting::direct` walks. As every statement runs at most once it
//! ends by itself and needs no watch.
//!
//! What a script means is Lua's to say: whatever is not understood here, in its form or in its words, is left
//! to the machine. What is understood gives the same values, replies and errors, and tests compare the two on
//! generated scripts.

mod parse;

pub use parse::parse;

/// A script as a tree.
#[derive(Debug)]
pub struct Direct {
    pub(crate) body: Block,
    /// The names of its local variables; each declaration is a variable of its own.
    pub(crate) locals: Vec<Box<[u8]>>,
}

pub(crate) type Block = Vec<Statement>;

#[derive(Debug)]
pub(crate) enum Statement {
    /// All values are known before the first is assigned; those that are missing are nil.
    Assign {
        targets: Vec<usize>,
        values: Vec<Expr>,
    },
    /// A command whose reply is not used.
    Call(Call),
    If {
        arms: Vec<(Expr, Block)>,
        otherwise: Block,
    },
    Return(Option<Expr>),
}

#[derive(Debug)]
pub(crate) enum Expr {
    Nil,
    Boolean(bool),
    Number(f64),
    Text(Box<[u8]>),
    Local(usize),
    /// `KEYS[...]` or `ARGV[...]`.
    Word(Words, Box<Expr>),
    /// `#KEYS` or `#ARGV`.
    Count(Words),
    Call(Box<Call>),
    /// `table[1]`.
    Item(Box<Expr>, usize, Line),
    /// `table.ok` or `table.err`.
    Field(Box<Expr>, Field, Line),
    List(Vec<Expr>),
    Not(Box<Expr>),
    Negate(Box<Expr>, Line),
    Length(Box<Expr>, Line),
    And(Box<(Expr, Expr)>),
    Or(Box<(Expr, Expr)>),
    Arithmetic(Arithmetic, Box<(Expr, Expr)>, Line),
    Compare(Compare, Box<(Expr, Expr)>, Line),
    Concat(Vec<Expr>, Line),
    Apply(Function, Vec<Expr>, Line),
}

/// A line of the script, counted from 1.
pub(crate) type Line = u32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Words {
    Keys,
    Arguments,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Ok,
    Err,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compare {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    ToNumber,
    ToText,
    Type,
    Floor,
    Ceil,
    Abs,
    Max,
    Min,
    ErrorReply,
    StatusReply,
}

/// `redis.call(...)` or `redis.pcall(...)`.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) words: Vec<Expr>,
    /// The id of the command, where its name stands in the script.
    pub(crate) entry: Option<usize>,
    /// An error is its value: `pcall`.
    pub(crate) protected: bool,
    pub(crate) line: Line,
}

impl Function {
    /// The function's name in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Function::ToNumber => "tonumber",
            Function::ToText => "tostring",
            Function::Type => "type",
            Function::Floor => "floor",
            Function::Ceil => "ceil",
            Function::Abs => "abs",
            Function::Max => "max",
            Function::Min => "min",
            Function::ErrorReply => "error_reply",
            Function::StatusReply => "status_reply",
        }
    }
}
