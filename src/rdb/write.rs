//! Encodes values.

use super::{VERSION, VERSION_MAX, kind, stream};
use crate::keyspace::record::{Record, ValueRef};
use crate::keyspace::value::Object;

/// Writes type and value. Returns the version that a reader has to know.
pub fn value(record: &Record, out: &mut Vec<u8>) -> u16 {
    match record.value() {
        ValueRef::Int(number) => {
            out.push(kind::STRING);
            int(number, out);
        }
        ValueRef::Bytes(text) => {
            out.push(kind::STRING);
            string(text, out);
        }
        ValueRef::Object(Object::Text(text)) => {
            out.push(kind::STRING);
            string(text, out);
        }
        ValueRef::Object(Object::List(list)) => {
            out.push(kind::LIST);
            length(list.len(), out);
            list.iter().for_each(|element| string(&element.joined(), out));
        }
        ValueRef::Object(Object::Set(set)) => {
            out.push(kind::SET);
            length(set.len(), out);
            set.iter().for_each(|member| string(&member, out));
        }
        ValueRef::Object(Object::Zset(zset)) => {
            out.push(kind::ZSET_2);
            length(zset.len(), out);
            for (member, score) in zset.iter() {
                string(&member, out);
                out.extend_from_slice(&score.to_le_bytes());
            }
        }
        ValueRef::Object(Object::Hash(hash)) => {
            let with_expiries = hash.has_expiries();
            out.push(if with_expiries { kind::HASH_2 } else { kind::HASH });
            length(hash.len(), out);
            // At time 0 no field has expired, so all are written.
            for (field, value) in hash.iter(0) {
                string(&field, out);
                string(&value, out);
                if with_expiries {
                    // -1 for a field without expiry.
                    let at_ms = hash.expire_at_ms(&field).map_or(-1, |at_ms| at_ms as i64);
                    out.extend_from_slice(&at_ms.to_le_bytes());
                }
            }
            if with_expiries {
                return VERSION_MAX;
            }
        }
        ValueRef::Object(Object::Stream(value)) => {
            out.push(kind::STREAM_LISTPACKS_3);
            stream::write(value, out);
        }
    }
    VERSION
}

/// Writes a length: six bits, 14 bits, 32 or 64 bits, told apart by the first two bits.
pub fn length(len: usize, out: &mut Vec<u8>) {
    if len < 1 << 6 {
        out.push(len as u8);
    } else if len < 1 << 14 {
        out.extend_from_slice(&[0x40 | (len >> 8) as u8, len as u8]);
    } else if let Ok(len) = u32::try_from(len) {
        out.push(0x80);
        out.extend_from_slice(&len.to_be_bytes());
    } else {
        out.push(0x81);
        out.extend_from_slice(&(len as u64).to_be_bytes());
    }
}

/// Writes a byte string; the canonical decimal of a small number is written as the number.
pub fn string(text: &[u8], out: &mut Vec<u8>) {
    const DECIMAL_MAX: usize = 11;
    if text.len() <= DECIMAL_MAX
        && let Some(number) = crate::primitives::number::parse_i64(text)
        && small_int(number, out)
    {
        return;
    }
    length(text.len(), out);
    out.extend_from_slice(text);
}

fn int(number: i64, out: &mut Vec<u8>) {
    if !small_int(number, out) {
        let mut buffer = itoa::Buffer::new();
        let text = buffer.format(number).as_bytes();
        length(text.len(), out);
        out.extend_from_slice(text);
    }
}

/// Writes a number of up to 32 bits as such. Returns false for larger ones.
fn small_int(number: i64, out: &mut Vec<u8>) -> bool {
    if let Ok(number) = i8::try_from(number) {
        out.push(0xc0);
        out.extend_from_slice(&number.to_le_bytes());
    } else if let Ok(number) = i16::try_from(number) {
        out.push(0xc1);
        out.extend_from_slice(&number.to_le_bytes());
    } else if let Ok(number) = i32::try_from(number) {
        out.push(0xc2);
        out.extend_from_slice(&number.to_le_bytes());
    } else {
        return false;
    }
    true
}
