//! An index over a script's tokens: closing brackets, functions, assignments. It is made in one pass, so that
//! looking something up at every token takes time in proportion to the script's length.

use super::lexer::Token;

/// Brackets nested deeper make a script that Lua refuses.
const DEPTH_MAX: usize = 200;

/// The index over some tokens.
pub struct Shape {
    /// For each bracket that opens where it closes; 0 for what does not.
    closings: Vec<u32>,
    /// How many `function` stand before each token.
    functions: Vec<u32>,
    /// Whether a list of targets that goes on at the token ends in an assignment.
    assigned: Vec<bool>,
    /// Whether the token stands in the list of names behind a `local`.
    in_local: Vec<bool>,
}

impl Shape {
    /// Reads tokens; `None` if they are nested deeper than Lua allows, or are too many to be counted.
    pub fn new(tokens: &[Token<'_>]) -> Option<Self> {
        u32::try_from(tokens.len()).ok()?;
        let mut shape = Self {
            closings: vec![0; tokens.len()],
            functions: Vec::with_capacity(tokens.len() + 1),
            assigned: vec![false; tokens.len() + 1],
            in_local: Vec::with_capacity(tokens.len()),
        };
        let (mut open, mut functions, mut in_local) = (Vec::new(), 0, false);
        for (at, token) in tokens.iter().enumerate() {
            shape.functions.push(functions);
            shape.in_local.push(in_local);
            in_local = match token {
                Token::Name(b"local") => true,
                Token::Name(_) | Token::Symbol(b',') => in_local,
                _ => false,
            };
            match token {
                Token::Name(b"function") => functions += 1,
                Token::Symbol(b'(' | b'[' | b'{') if open.len() >= DEPTH_MAX => return None,
                Token::Symbol(b'(' | b'[' | b'{') => open.push(at),
                Token::Symbol(b')' | b']' | b'}') => {
                    if let Some(opened) = open.pop() {
                        shape.closings[opened] = at as u32;
                    }
                }
                _ => {}
            }
        }
        shape.functions.push(functions);
        for (at, token) in tokens.iter().enumerate().rev() {
            shape.assigned[at] = match token {
                Token::Name(_) | Token::Number(_) | Token::Text(_) => shape.assigned[at + 1],
                Token::Symbol(b',' | b'.' | b'[' | b']') => shape.assigned[at + 1],
                token => *token == Token::Symbol(b'='),
            };
        }
        Some(shape)
    }

    /// The bracket that closes the one at `open`.
    pub fn closing(&self, open: usize) -> Option<usize> {
        self.closings.get(open).copied().filter(|end| *end > 0).map(|end| end as usize)
    }

    /// Whether a `function` stands between two tokens.
    pub fn has_function(&self, from: usize, to: usize) -> bool {
        self.functions.get(from) != self.functions.get(to)
    }

    /// Whether a list of targets that goes on at `at` (a comma) ends in an assignment.
    pub fn assignment_follows(&self, at: usize) -> bool {
        self.assigned.get(at).copied().unwrap_or(false)
    }

    /// Whether the name at `at` stands in the list of names behind a `local`.
    pub fn in_local_list(&self, at: usize) -> bool {
        self.in_local.get(at).copied().unwrap_or(false)
    }
}
