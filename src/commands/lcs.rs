//! LCS: the longest common subsequence of two string values.

use crate::command::context::string_bytes;
use crate::command::{Context, args};
use crate::error::{CommandError, CommandResult};

/// A run that both values share: its place in the first, its place in the second (inclusive ends), its length.
struct Match {
    first: (usize, usize),
    second: (usize, usize),
}

/// LCS key1 key2 [LEN] [IDX] [MINMATCHLEN n] [WITHMATCHLEN]
pub fn lcs(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let (mut want_len, mut want_index, mut with_len, mut min_len) = (false, false, false, 0usize);
    let mut index = 3;
    while index < arguments.len() {
        let word = arguments[index];
        if args::is(word, "IDX") {
            want_index = true;
        } else if args::is(word, "LEN") {
            want_len = true;
        } else if args::is(word, "WITHMATCHLEN") {
            with_len = true;
        } else if args::is(word, "MINMATCHLEN") && index + 1 < arguments.len() {
            min_len = args::int(arguments[index + 1])?.max(0) as usize;
            index += 1;
        } else {
            return Err(CommandError::Syntax);
        }
        index += 1;
    }
    if want_len && want_index {
        return Err(CommandError::text("ERR If you want both the length and indexes, please just use IDX."));
    }
    let value = |index: usize| {
        let key = cx.key(arguments, index);
        match cx.keys.read(&key) {
            None => Ok(Vec::new()),
            Some(record) => string_bytes(record, &mut itoa::Buffer::new())
                .map(<[u8]>::to_vec)
                .map_err(|_| CommandError::text("ERR The specified keys must contain string values")),
        }
    };
    let (first, second) = (value(1)?, value(2)?);
    let table = Lengths::new(&first, &second)?;
    if want_len {
        cx.reply.count(table.at(first.len(), second.len()));
        return Ok(());
    }
    let (subsequence, matches) = table.walk(&first, &second);
    if !want_index {
        cx.reply.bulk(&subsequence);
        return Ok(());
    }
    let length = |found: &Match| found.first.1 - found.first.0 + 1;
    let kept: Vec<&Match> = matches.iter().filter(|found| length(found) >= min_len).collect();
    cx.reply.map(2);
    cx.reply.bulk(b"matches");
    cx.reply.array(kept.len());
    for found in kept {
        cx.reply.array(if with_len { 3 } else { 2 });
        for (start, end) in [found.first, found.second] {
            cx.reply.array(2);
            cx.reply.count(start);
            cx.reply.count(end);
        }
        if with_len {
            cx.reply.count(length(found));
        }
    }
    cx.reply.bulk(b"len");
    cx.reply.count(subsequence.len());
    Ok(())
}

/// Lengths of the common subsequences of all pairs of prefixes.
struct Lengths {
    columns: usize,
    cells: Vec<u32>,
}

/// Cells of the table at most: 4 GiB, as in Redis the bytes of one allocation it allows.
const CELLS_MAX: usize = 1 << 30;

impl Lengths {
    fn new(first: &[u8], second: &[u8]) -> Result<Self, CommandError> {
        let columns = second.len() + 1;
        let too_long = CommandError::text("ERR String too long for LCS");
        let count = columns
            .checked_mul(first.len() + 1)
            .filter(|count| *count < CELLS_MAX)
            .ok_or(too_long.clone())?;
        let mut cells = Vec::new();
        cells.try_reserve_exact(count).map_err(|_| {
            CommandError::text("ERR Insufficient memory, failed allocating transient memory for LCS")
        })?;
        cells.resize(count, 0u32);
        for (row, a) in first.iter().enumerate() {
            for (column, b) in second.iter().enumerate() {
                let here = (row + 1) * columns + column + 1;
                cells[here] = if a == b {
                    cells[here - columns - 1] + 1
                } else {
                    cells[here - columns].max(cells[here - 1])
                };
            }
        }
        Ok(Self { columns, cells })
    }

    fn at(&self, row: usize, column: usize) -> usize {
        self.cells[row * self.columns + column] as usize
    }

    /// The subsequence, and the runs of it from the end to the beginning.
    fn walk(&self, first: &[u8], second: &[u8]) -> (Vec<u8>, Vec<Match>) {
        let (mut row, mut column) = (first.len(), second.len());
        let mut reversed = Vec::with_capacity(self.at(row, column));
        let mut matches: Vec<Match> = Vec::new();
        while row > 0 && column > 0 {
            if first[row - 1] == second[column - 1] {
                reversed.push(first[row - 1]);
                match matches.last_mut() {
                    Some(run) if run.first.0 == row && run.second.0 == column => {
                        run.first.0 = row - 1;
                        run.second.0 = column - 1;
                    }
                    _ => matches.push(Match { first: (row - 1, row - 1), second: (column - 1, column - 1) }),
                }
                row -= 1;
                column -= 1;
            } else if self.at(row - 1, column) > self.at(row, column - 1) {
                row -= 1;
            } else {
                column -= 1;
            }
        }
        reversed.reverse();
        (reversed, matches)
    }
}
