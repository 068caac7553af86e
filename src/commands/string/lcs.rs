//! LCS: the longest common subsequence of two string values.

use crate::command::args;
use crate::engine::context::Context;
use crate::engine::context::string_bytes;
use crate::error::{CommandError, CommandResult};

/// A substring that both values share: its place in the first, its place in the second (ends included), its
/// length.
struct Match {
    first: (usize, usize),
    second: (usize, usize),
}

/// LCS key1 key2 [LEN] [IDX] [MINMATCHLEN n] [WITHMATCHLEN]
pub fn lcs(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
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
    check_size(first.len(), second.len(), cx.server.settings.bulk_max())?;
    cx.keys.expect(first.len().saturating_mul(second.len()) / 8)?;
    if want_len {
        cx.reply.count(lengths(&first, &second, |_, _| {}) as usize);
        return Ok(());
    }
    let (subsequence, matches) = Ways::new(&first, &second).walk(&first, &second);
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

/// Refuses values that would take too long: a table with four bytes for each pair of prefixes would have to
/// fit into `proto-max-bulk-len`, though none is made.
fn check_size(first: usize, second: usize, bulk_max: i64) -> CommandResult {
    const CELL: u64 = size_of::<u32>() as u64;
    let cells = (first as u64).saturating_add(1).checked_mul((second as u64).saturating_add(1));
    let bytes = cells.and_then(|cells| cells.checked_mul(CELL));
    if bytes.is_none_or(|bytes| bytes > bulk_max.max(0) as u64) {
        return Err(CommandError::text(
            "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
        ));
    }
    Ok(())
}

/// Length of the longest common subsequence. Only two rows of the table are kept, with one number for each
/// prefix of `second`.
///
/// Calls `visit` row by row for each pair of different bytes, with the pair's index in the table of all
/// pairs, and whether leaving out the byte of `first` costs less than leaving out that of `second`.
fn lengths(first: &[u8], second: &[u8], mut visit: impl FnMut(usize, bool)) -> u32 {
    let mut row = vec![0u32; second.len() + 1];
    for (row_index, a) in first.iter().enumerate() {
        // The number of the previous row, left of the present column.
        let mut diagonal = 0;
        for (column, b) in second.iter().enumerate() {
            let (above, left) = (row[column + 1], row[column]);
            row[column + 1] = if a == b {
                diagonal + 1
            } else {
                visit(row_index * second.len() + column, above > left);
                above.max(left)
            };
            diagonal = above;
        }
    }
    row[second.len()]
}

/// For each pair of prefixes that end in different bytes, which byte the longest common subsequence leaves
/// out: a bit a pair.
struct Ways {
    columns: usize,
    bits: Vec<u64>,
    len: usize,
}

impl Ways {
    fn new(first: &[u8], second: &[u8]) -> Self {
        let mut bits = vec![0; (first.len() * second.len()).div_ceil(64)];
        let len = lengths(first, second, |place, is_up| bits[place / 64] |= u64::from(is_up) << (place % 64));
        Self { columns: second.len(), bits, len: len as usize }
    }

    fn is_up(&self, row: usize, column: usize) -> bool {
        let place = row * self.columns + column;
        self.bits[place / 64] >> (place % 64) & 1 == 1
    }

    /// The subsequence, and the shared substrings from the last to the first.
    fn walk(&self, first: &[u8], second: &[u8]) -> (Vec<u8>, Vec<Match>) {
        let (mut row, mut column) = (first.len(), second.len());
        let mut reversed = Vec::with_capacity(self.len);
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
            } else if self.is_up(row - 1, column - 1) {
                row -= 1;
            } else {
                column -= 1;
            }
        }
        reversed.reverse();
        (reversed, matches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All lengths at once, as the table says them.
    fn table(first: &[u8], second: &[u8]) -> Vec<Vec<u32>> {
        let mut table = vec![vec![0; second.len() + 1]; first.len() + 1];
        for (row, a) in first.iter().enumerate() {
            for (column, b) in second.iter().enumerate() {
                table[row + 1][column + 1] = if a == b {
                    table[row][column] + 1
                } else {
                    table[row][column + 1].max(table[row + 1][column])
                };
            }
        }
        table
    }

    proptest! {
        /// What is kept of the table is enough to walk as if all of it were there.
        #[test]
        fn two_rows_and_a_bit_a_pair_are_enough(
            first in prop::collection::vec(0u8..4, 0..40),
            second in prop::collection::vec(0u8..4, 0..40),
        ) {
            let table = table(&first, &second);
            let ways = Ways::new(&first, &second);
            prop_assert_eq!(ways.len as u32, table[first.len()][second.len()]);
            for (row, a) in first.iter().enumerate() {
                for (column, b) in second.iter().enumerate() {
                    let is_up = a != b && table[row][column + 1] > table[row + 1][column];
                    prop_assert_eq!(ways.is_up(row, column), is_up);
                }
            }
            let (subsequence, matches) = ways.walk(&first, &second);
            prop_assert_eq!(subsequence.len(), ways.len);
            let mut joined: Vec<u8> = Vec::new();
            for run in matches.iter().rev() {
                prop_assert_eq!(&first[run.first.0..=run.first.1], &second[run.second.0..=run.second.1]);
                joined.extend(&first[run.first.0..=run.first.1]);
            }
            prop_assert_eq!(joined, subsequence);
        }
    }

    /// Two values of 20 KB took 1.5 GB.
    #[test]
    fn what_would_take_too_long_is_refused_at_once() {
        let max = 512 << 20;
        assert!(check_size(20_000, 20_000, max).is_err());
        assert!(check_size(usize::MAX, usize::MAX, i64::MAX).is_err());
        assert!(check_size(11_500, 11_500, max).is_ok());
        assert!(check_size(0, 0, 4).is_ok());
        assert!(check_size(1, 0, 4).is_err());
    }
}
