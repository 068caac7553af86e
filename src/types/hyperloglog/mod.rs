//! HyperLogLog: counts different elements with an error of about 0.8 %, in the bytes that Redis and Valkey
//! use.
//!
//! A header of 16 bytes: `HYLL`, the form, three unused bytes, the last estimate as 64 bits little endian,
//! whose highest bit says that it is out of date. Then 16384 registers of six bits in one of two forms:
//!
//! - dense: the registers one behind the other, lowest bits first, 12288 bytes;
//! - sparse: runs of equal registers. `00nnnnnn` are n+1 zeros, `01nnnnnn nnnnnnnn` as well, `1vvvvvnn` are
//!   n+1 registers of value v+1.
//!
//! The bytes come from clients, who may write any with SET: no bytes make a function here panic.

mod murmur;

use std::fmt::Write;

use murmur::murmur64a;

/// Registers of a HyperLogLog.
pub const REGISTERS: usize = 1 << INDEX_BITS;

const INDEX_BITS: u32 = 14;
/// Bits of a hash behind those that choose the register. A register holds at most one more.
const RANK_BITS: u32 = 64 - INDEX_BITS;
const HASH_SEED: u64 = 0xadc8_3b19;

const MAGIC: &[u8; 4] = b"HYLL";
const HEADER: usize = 16;
const FORM_AT: usize = 4;
const ESTIMATE_AT: usize = 8;
const OUT_OF_DATE: u8 = 0x80;

const DENSE: u8 = 0;
const SPARSE: u8 = 1;
const DENSE_LEN: usize = HEADER + REGISTERS * 6 / 8;

/// Highest register value of the sparse form.
const SPARSE_VALUE_MAX: u8 = 32;
const ZERO_RUN_MAX: usize = 64;
const VALUE_RUN_MAX: usize = 4;
/// Number of opcodes around a change that are looked at for neighbours to be merged.
const MERGE_REACH: usize = 5;

/// Why bytes are not a HyperLogLog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Header or length is wrong.
    #[error("not a HyperLogLog")]
    Foreign,
    /// The header is right, the registers are not.
    #[error("the runs of registers are not {REGISTERS} registers")]
    Corrupt,
}

/// How the registers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Six bits each.
    Dense,
    /// Runs of equal ones.
    Sparse,
}

/// Unpacked registers, a byte each, of one HyperLogLog or the union of several.
pub struct Registers(Box<[u8]>);

impl Default for Registers {
    fn default() -> Self {
        Self(vec![0; REGISTERS].into())
    }
}

impl Registers {
    /// All registers.
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// Raises each register to that of another HyperLogLog, if that is higher.
    ///
    /// # Errors
    /// When its bytes are corrupt; some registers are raised then.
    pub fn join(&mut self, bytes: &[u8]) -> Result<(), Invalid> {
        match form(bytes)? {
            Form::Dense => {
                for (index, register) in self.0.iter_mut().enumerate() {
                    *register = (*register).max(dense_get(bytes, index));
                }
            }
            Form::Sparse => {
                for run in runs(bytes) {
                    let Run { first, len, value, .. } = run?;
                    for register in &mut self.0[first..first + len] {
                        *register = (*register).max(value);
                    }
                }
            }
        }
        Ok(())
    }

    /// Estimated number of different elements.
    pub fn estimate(&self) -> u64 {
        let mut histogram = Histogram::default();
        self.0.iter().for_each(|register| histogram.0[usize::from(*register & 63)] += 1);
        histogram.estimate()
    }
}

/// The bytes of an empty HyperLogLog.
pub fn empty() -> Vec<u8> {
    let mut bytes = vec![0; HEADER];
    bytes[..4].copy_from_slice(MAGIC);
    bytes[FORM_AT] = SPARSE;
    push_zeros(&mut bytes, REGISTERS);
    bytes
}

/// The form of these bytes, if their header and length are those of a HyperLogLog.
///
/// # Errors
/// When they are not.
pub fn form(bytes: &[u8]) -> Result<Form, Invalid> {
    match bytes.get(..HEADER) {
        Some(header) if header[..4] == *MAGIC => match header[FORM_AT] {
            DENSE if bytes.len() == DENSE_LEN => Ok(Form::Dense),
            SPARSE => Ok(Form::Sparse),
            _ => Err(Invalid::Foreign),
        },
        _ => Err(Invalid::Foreign),
    }
}

/// Adds an element. Returns whether a register changed. A sparse one that would become longer than
/// `sparse_max` bytes becomes dense.
///
/// # Errors
/// When the bytes are corrupt, and then they are as they were.
pub fn add(bytes: &mut Vec<u8>, element: &[u8], sparse_max: usize) -> Result<bool, Invalid> {
    let (index, rank) = place(element);
    raise(bytes, index, rank, sparse_max)
}

/// Raises every register to that of `registers`, first making the form dense if asked to.
///
/// # Errors
/// When the bytes are corrupt, and then they are as they were.
pub fn raise_all(
    bytes: &mut Vec<u8>,
    registers: &Registers,
    dense: bool,
    sparse_max: usize,
) -> Result<(), Invalid> {
    check(bytes)?;
    if dense {
        make_dense(bytes)?;
    }
    for (index, value) in registers.0.iter().enumerate().filter(|(_, value)| **value > 0) {
        raise(bytes, index, *value, sparse_max)?;
    }
    forget_estimate(bytes);
    Ok(())
}

/// The estimate in the header, if it is not out of date.
pub fn known_estimate(bytes: &[u8]) -> Option<u64> {
    let (words, _) = bytes.get(ESTIMATE_AT..HEADER)?.as_chunks::<8>();
    let word = u64::from_le_bytes(*words.first()?);
    (word >> 63 == 0).then_some(word)
}

/// Writes an estimate into the header.
pub fn keep_estimate(bytes: &mut [u8], estimate: u64) {
    bytes[ESTIMATE_AT..HEADER].copy_from_slice(&(estimate & u64::MAX >> 1).to_le_bytes());
}

/// Estimates the number of different elements from the registers.
///
/// # Errors
/// When the bytes are corrupt.
pub fn estimate(bytes: &[u8]) -> Result<u64, Invalid> {
    let mut histogram = Histogram::default();
    match form(bytes)? {
        Form::Dense => {
            // Three bytes hold four registers.
            let (groups, _) = bytes[HEADER..].as_chunks::<3>();
            for [low, middle, high] in groups {
                let four = usize::from(*low) | usize::from(*middle) << 8 | usize::from(*high) << 16;
                for shift in [0, 6, 12, 18] {
                    histogram.0[four >> shift & 63] += 1;
                }
            }
        }
        Form::Sparse => {
            for run in runs(bytes) {
                let run = run?;
                histogram.0[usize::from(run.value)] += run.len as u32;
            }
        }
    }
    Ok(histogram.estimate())
}

/// Makes the form dense; whether it was not.
///
/// # Errors
/// When the bytes are corrupt, and then they are as they were.
pub fn make_dense(bytes: &mut Vec<u8>) -> Result<bool, Invalid> {
    if form(bytes)? == Form::Dense {
        return Ok(false);
    }
    let mut dense = vec![0; DENSE_LEN];
    dense[..HEADER].copy_from_slice(&bytes[..HEADER]);
    dense[FORM_AT] = DENSE;
    for run in runs(bytes) {
        let Run { first, len, value, .. } = run?;
        if value > 0 {
            (first..first + len).for_each(|index| dense_set(&mut dense, index, value));
        }
    }
    *bytes = dense;
    Ok(true)
}

/// The opcodes of a sparse one as text: `z:` and `Z:` are zeros in one and in two bytes, `v:` a value and its
/// count.
///
/// # Errors
/// When the bytes are corrupt or not sparse.
pub fn describe(bytes: &[u8]) -> Result<String, Invalid> {
    if form(bytes)? == Form::Dense {
        return Err(Invalid::Foreign);
    }
    let mut text = String::new();
    for run in runs(bytes) {
        let run = run?;
        // Writing into a string cannot fail.
        let _ = match (run.value, run.size) {
            (0, 1) => write!(text, "z:{} ", run.len),
            (0, _) => write!(text, "Z:{} ", run.len),
            (value, _) => write!(text, "v:{value},{} ", run.len),
        };
    }
    text.truncate(text.trim_end().len());
    Ok(text)
}

/// The register of an element, and its value: the number of zeros after which its hash has a one, plus one.
fn place(element: &[u8]) -> (usize, u8) {
    let hash = murmur64a(element, HASH_SEED);
    let index = (hash & (REGISTERS as u64 - 1)) as usize;
    // A bit beyond the last ends the count.
    let rest = hash >> INDEX_BITS | 1 << RANK_BITS;
    (index, rest.trailing_zeros() as u8 + 1)
}

/// Marks the kept estimate as out of date.
pub fn forget_estimate(bytes: &mut [u8]) {
    bytes[HEADER - 1] |= OUT_OF_DATE;
}

fn raise(bytes: &mut Vec<u8>, index: usize, value: u8, sparse_max: usize) -> Result<bool, Invalid> {
    let raised = match form(bytes)? {
        Form::Dense => dense_raise(bytes, index, value),
        Form::Sparse => sparse_raise(bytes, index, value, sparse_max)?,
    };
    if raised {
        forget_estimate(bytes);
    }
    Ok(raised)
}

fn dense_get(bytes: &[u8], index: usize) -> u8 {
    let (byte, shift) = (HEADER + index * 6 / 8, index * 6 % 8);
    let low = u16::from(bytes[byte]);
    // The last register ends with the last byte, so there may be no next one.
    let high = u16::from(bytes.get(byte + 1).copied().unwrap_or(0));
    ((low | high << 8) >> shift & 63) as u8
}

fn dense_set(bytes: &mut [u8], index: usize, value: u8) {
    let (byte, shift) = (HEADER + index * 6 / 8, index * 6 % 8);
    let (mask, value) = (63u16 << shift, u16::from(value) << shift);
    bytes[byte] = bytes[byte] & !mask as u8 | value as u8;
    if let Some(next) = bytes.get_mut(byte + 1) {
        *next = *next & !(mask >> 8) as u8 | (value >> 8) as u8;
    }
}

fn dense_raise(bytes: &mut [u8], index: usize, value: u8) -> bool {
    let raises = dense_get(bytes, index) < value;
    if raises {
        dense_set(bytes, index, value);
    }
    raises
}

/// One opcode of the sparse form: a run of equal registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    /// Offset of the opcode, and its length in bytes.
    at: usize,
    size: usize,
    /// Its first register, and the number of registers.
    first: usize,
    len: usize,
    value: u8,
}

/// The runs of a sparse one in order. The last is an error unless they cover exactly all registers.
fn runs(bytes: &[u8]) -> impl Iterator<Item = Result<Run, Invalid>> {
    let (mut at, mut first, mut over) = (HEADER, 0, false);
    std::iter::from_fn(move || {
        if over || (at == bytes.len() && first == REGISTERS) {
            return None;
        }
        let run = read_run(bytes, at, first).filter(|run| run.first + run.len <= REGISTERS);
        match run {
            Some(run) => (at, first) = (at + run.size, first + run.len),
            None => over = true,
        }
        Some(run.ok_or(Invalid::Corrupt))
    })
}

fn read_run(bytes: &[u8], at: usize, first: usize) -> Option<Run> {
    let opcode = *bytes.get(at)?;
    let low = usize::from(opcode & 0x3F);
    let (size, len, value) = match opcode {
        0..0x40 => (1, low + 1, 0),
        0x40..0x80 => (2, (low << 8 | usize::from(*bytes.get(at + 1)?)) + 1, 0),
        0x80.. => (1, usize::from(opcode & 3) + 1, (opcode >> 2 & 31) + 1),
    };
    Some(Run { at, size, first, len, value })
}

/// Checks that all registers can be read.
fn check(bytes: &[u8]) -> Result<(), Invalid> {
    match form(bytes)? {
        Form::Dense => Ok(()),
        Form::Sparse => runs(bytes).try_for_each(|run| run.map(drop)),
    }
}

fn push_zeros(out: &mut Vec<u8>, len: usize) {
    match len {
        0 => {}
        1..=ZERO_RUN_MAX => out.push(len as u8 - 1),
        _ => out.extend([0x40 | ((len - 1) >> 8) as u8, (len - 1) as u8]),
    }
}

fn push_run(out: &mut Vec<u8>, value: u8, len: usize) {
    if value == 0 {
        push_zeros(out, len);
    } else if len > 0 {
        out.push(0x80 | (value - 1) << 2 | (len as u8 - 1));
    }
}

/// Raises a register of a sparse one. The bytes become exactly those that Redis writes: its splits and
/// merges, in its order.
fn sparse_raise(bytes: &mut Vec<u8>, index: usize, value: u8, sparse_max: usize) -> Result<bool, Invalid> {
    let (mut before, mut found) = (None, None);
    for run in runs(bytes) {
        let run = run?;
        if index < run.first + run.len {
            found = Some(run);
            break;
        }
        before = Some(run);
    }
    let run = found.ok_or(Invalid::Corrupt)?;
    if run.value >= value {
        return Ok(false);
    }
    if value > SPARSE_VALUE_MAX {
        make_dense(bytes)?;
        return Ok(dense_raise(bytes, index, value));
    }
    let mut split = Vec::with_capacity(5);
    push_run(&mut split, run.value, index - run.first);
    push_run(&mut split, value, 1);
    push_run(&mut split, run.value, run.first + run.len - index - 1);
    if split.len() > run.size && bytes.len() + split.len() - run.size > sparse_max {
        make_dense(bytes)?;
        return Ok(dense_raise(bytes, index, value));
    }
    bytes.splice(run.at..run.at + run.size, split);
    merge_values(bytes, before.map_or(HEADER, |run| run.at));
    Ok(true)
}

/// Merges neighbouring runs of the same value, in a few opcodes from `at` on.
fn merge_values(bytes: &mut Vec<u8>, mut at: usize) {
    for _ in 0..MERGE_REACH {
        let Some(run) = read_run(bytes, at, 0) else { return };
        let next = read_run(bytes, at + run.size, 0);
        match next {
            Some(next) if run.value > 0 && next.value == run.value && run.len + next.len <= VALUE_RUN_MAX => {
                let mut joined = Vec::with_capacity(1);
                push_run(&mut joined, run.value, run.len + next.len);
                bytes.splice(at..at + 2, joined);
            }
            _ => at += run.size,
        }
    }
}

/// Number of registers of each value.
struct Histogram([u32; 64]);

impl Default for Histogram {
    fn default() -> Self {
        Self([0; 64])
    }
}

impl Histogram {
    /// Otmar Ertl's estimator of 2017 ("New cardinality estimation algorithms for HyperLogLog sketches"),
    /// which needs no correction for small or large numbers.
    fn estimate(&self) -> u64 {
        const ALPHA: f64 = 0.5 / std::f64::consts::LN_2;
        let total = REGISTERS as f64;
        let (last, ranks) = (RANK_BITS as usize + 1, 1..=RANK_BITS as usize);
        let mut sum = total * tau((total - f64::from(self.0[last])) / total);
        for rank in ranks.rev() {
            sum = (sum + f64::from(self.0[rank])) * 0.5;
        }
        sum += total * sigma(f64::from(self.0[0]) / total);
        (ALPHA * total * total / sum).round() as u64
    }
}

/// x + the sum over k of x^(2^k) 2^(k-1)
fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut sum, mut weight) = (x, 1.0);
    loop {
        x *= x;
        let before = sum;
        sum += x * weight;
        weight += weight;
        if sum == before {
            return sum;
        }
    }
}

/// (1 - x - the sum over k of (1 - x^(2^-k))^2 2^-k) / 3
fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut sum, mut weight) = (1.0 - x, 1.0);
    loop {
        x = x.sqrt();
        let before = sum;
        weight *= 0.5;
        sum -= (1.0 - x).powi(2) * weight;
        if sum == before {
            return sum / 3.0;
        }
    }
}

#[cfg(test)]
mod tests;
