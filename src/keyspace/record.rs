//! One key of a database in one allocation: header, key bytes and, for strings that are not huge, the value
//! bytes.
//!
//! [`RecordBox`] owns a record as a `Box` would, and lends it as `&Record`. The table keeps only the address.
//! Layouts (sizes in bytes; a field with `?` is there only when its flag is set):
//!
//! ```text
//! string   meta 4 | expiry 8? | key length 1 or 4 | value length 1 or 4 | key | value
//! integer  meta 4 | expiry 8? | key length 1 or 4 | value 8             | key
//! object   meta 4 | expiry 8? | key length 1 or 4 | Object              | key
//! ```
//!
//! `meta` is eight bits of kind and 24 bits of access clock (LRU or LFU). It is atomic because reads, which
//! hold the slot's lock shared, refresh the access clock; all else changes only under the exclusive lock.
#![allow(unsafe_code)] // The layout above cannot be said in safe Rust; every access is in this file.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use super::value::Object;
use crate::alloc::block_bytes;
use crate::primitives::thin::Owned;
use crate::types::text::Text;

/// A string longer than this is an [`Object::Text`] with a buffer of its own, so that APPEND and SETRANGE
/// grow it without copying key and header, and a replaced value can be freed elsewhere.
pub const EMBEDDED_STRING_MAX: usize = 2048;

/// Longest string that OBJECT ENCODING calls `embstr` (Redis's figure).
const EMBSTR_MAX: usize = 44;

const KIND_MASK: u32 = 0b111;
const KIND_STRING: u32 = 0;
const KIND_RAW: u32 = 1; // a string that was modified in place: `raw` whatever its length
const KIND_INT: u32 = 2;
const KIND_OBJECT: u32 = 3;
const FLAG_EXPIRES: u32 = 1 << 3;
const FLAG_LONG: u32 = 1 << 4; // both lengths are four bytes
const FLAG_HANDED_OVER: u32 = 1 << 5; // to a snapshot, or new since its instant
const FLAG_BLESSED: u32 = 1 << 6; // never evicted
const ACCESS_SHIFT: u32 = 8;

const META: usize = 4;
const ALIGN: usize = 8;
/// Sizes are rounded up to this, the step of the allocator's small size classes: a value of about the same
/// length overwrites the old one in place.
const STEP: usize = 8;

/// A key, its value, its expiry and its access clock, in one allocation with the layout shown above.
///
/// The type is unsized, so that safe code cannot move a record out of its allocation. A reference covers only
/// the header's first word; everything behind it is reached through the allocation's exposed provenance.
pub struct Record {
    meta: AtomicU32,
    /// Always empty.
    _rest: [u8],
}

/// Owns a [`Record`].
pub struct RecordBox(NonNull<u8>);

// SAFETY: a RecordBox owns its allocation as a Box would; `Object` is Send and Sync (checked below), and the
// only mutation through a shared reference is the atomic `meta`.
unsafe impl Send for RecordBox {}
// SAFETY: the only mutation through `&RecordBox` is that of the atomic `meta`, and `Object` is Sync.
unsafe impl Sync for RecordBox {}

const _: () = {
    const fn shareable<T: Send + Sync>() {}
    shareable::<Object>();
    assert!(std::mem::align_of::<Object>() == 1, "an object may stand anywhere in a record");
    assert!(std::mem::size_of::<Object>() == 10);
    assert!(std::mem::size_of::<RecordBox>() == 8);
};

/// What a record holds.
#[derive(Debug)]
pub enum ValueRef<'a> {
    /// A string kept as a number: its text is the canonical decimal.
    Int(i64),
    /// A string's bytes, embedded in the record.
    Bytes(&'a [u8]),
    /// A longer string or a collection.
    Object(&'a Object),
}

impl Record {
    /// Makes a record of a string, embedded if it has up to [`EMBEDDED_STRING_MAX`] bytes. `raw` marks a
    /// string that was built by modification: OBJECT ENCODING shows `raw` for it.
    pub fn new_string(key: &[u8], value: &[u8], expire_at_ms: Option<u64>, raw: bool) -> RecordBox {
        if value.len() > EMBEDDED_STRING_MAX {
            return Record::new_object(
                key,
                Object::Text(Owned::new(Text::new(value.to_vec()))),
                expire_at_ms,
            );
        }
        let long = key.len() > 255 || value.len() > 255;
        let mut meta = if raw { KIND_RAW } else { KIND_STRING };
        if long {
            meta |= FLAG_LONG;
        }
        let record = Record::allocate(meta, expire_at_ms, Shape { key: key.len(), value: value.len() });
        let shape = record.shape();
        // SAFETY: `allocate` made room for exactly these two runs at these offsets, and nobody else knows the
        // record yet.
        unsafe {
            record.write_bytes(record.key_offset(), key);
            record.write_bytes(record.key_offset() + shape.key, value);
        }
        record
    }

    /// Makes a record of the string that is the canonical decimal of `value`.
    pub fn new_int(key: &[u8], value: i64, expire_at_ms: Option<u64>) -> RecordBox {
        let meta = KIND_INT | if key.len() > 255 { FLAG_LONG } else { 0 };
        let record = Record::allocate(meta, expire_at_ms, Shape { key: key.len(), value: 8 });
        // SAFETY: room for the number and the key was made by `allocate`; not shared yet.
        unsafe {
            record.at(record.inner_offset()).cast::<i64>().write_unaligned(value);
            record.write_bytes(record.key_offset(), key);
        }
        record
    }

    /// Makes a record of a longer string or a collection.
    pub fn new_object(key: &[u8], object: Object, expire_at_ms: Option<u64>) -> RecordBox {
        let meta = KIND_OBJECT | if key.len() > 255 { FLAG_LONG } else { 0 };
        let record =
            Record::allocate(meta, expire_at_ms, Shape { key: key.len(), value: size_of::<Object>() });
        // SAFETY: `allocate` made room for an Object, which may stand anywhere, and the key; not shared yet.
        unsafe {
            record.at(record.inner_offset()).cast::<Object>().write(object);
            record.write_bytes(record.key_offset(), key);
        }
        record
    }

    /// The record at an address.
    ///
    /// # Safety
    ///
    /// The address is that of a [`RecordBox`], whose record lives for `'a` and is not changed meanwhile.
    #[inline]
    pub unsafe fn at_address<'a>(address: NonNull<u8>) -> &'a Record {
        // SAFETY: the allocation starts with `meta`; the tail is empty; the rest is the caller's.
        unsafe { &*(std::ptr::slice_from_raw_parts(address.as_ptr(), 0) as *const Record) }
    }

    /// [`at_address`](Self::at_address) with exclusive access.
    ///
    /// # Safety
    ///
    /// As of `at_address`, and no other reference to the record lives during `'a`.
    #[inline]
    pub unsafe fn at_address_mut<'a>(address: NonNull<u8>) -> &'a mut Record {
        // SAFETY: the allocation starts with `meta` and the tail is empty; by the caller's promise nobody
        // else uses the record.
        unsafe { &mut *(std::ptr::slice_from_raw_parts_mut(address.as_ptr(), 0) as *mut Record) }
    }

    /// The key's bytes.
    #[inline]
    pub fn key(&self) -> &[u8] {
        let (offset, length) = self.key_span();
        // SAFETY: the span lies within the allocation and was written by the constructor.
        unsafe { std::slice::from_raw_parts(self.at(offset), length) }
    }

    /// Reads the value, which lies in the record itself or in the object behind it.
    #[inline]
    pub fn value(&self) -> ValueRef<'_> {
        match self.kind() {
            // SAFETY (all three): the kind says what the constructor wrote at this offset.
            KIND_INT => ValueRef::Int(unsafe { self.at(self.inner_offset()).cast::<i64>().read_unaligned() }),
            KIND_OBJECT => ValueRef::Object(unsafe { &*self.at(self.inner_offset()).cast::<Object>() }),
            _ => {
                let shape = self.shape();
                ValueRef::Bytes(unsafe {
                    std::slice::from_raw_parts(self.at(self.key_offset() + shape.key), shape.value)
                })
            }
        }
    }

    /// The value as an [`Object`] to be changed in place; `None` for embedded strings and numbers.
    #[inline]
    pub fn object_mut(&mut self) -> Option<&mut Object> {
        // SAFETY: the kind says that an Object was written there, and `&mut self` makes it exclusive.
        (self.kind() == KIND_OBJECT).then(|| unsafe { &mut *self.at(self.inner_offset()).cast::<Object>() })
    }

    /// Replaces a number by another in place. Returns false if the record holds no number.
    #[inline]
    pub fn overwrite_int(&mut self, value: i64) -> bool {
        if self.kind() != KIND_INT {
            return false;
        }
        // SAFETY: the kind says that eight bytes of number are there; `&mut self` makes it exclusive.
        unsafe { self.at(self.inner_offset()).cast::<i64>().write_unaligned(value) };
        true
    }

    /// Replaces an embedded string by another one in the same allocation; the expiry stays. Returns false if
    /// the new value is of another size class or the record holds something else.
    #[inline]
    pub fn overwrite_string(&mut self, value: &[u8]) -> bool {
        let kind = self.kind();
        if kind > KIND_RAW || value.len() > EMBEDDED_STRING_MAX {
            return false;
        }
        let meta = self.meta().load(Ordering::Relaxed);
        let old = self.shape();
        let new = Shape { key: old.key, value: value.len() };
        let long = meta & FLAG_LONG != 0;
        if !long && value.len() > 255 {
            return false;
        }
        if layout_of(meta, new).size() != layout_of(meta, old).size() {
            return false;
        }
        self.meta().store(meta & !KIND_MASK | KIND_STRING, Ordering::Relaxed);
        // SAFETY: same rounded size, so the allocation has room for the new value behind the key;
        // `&mut self`.
        unsafe {
            self.write_lengths(meta, new);
            self.write_bytes(self.key_offset() + new.key, value);
        }
        true
    }

    /// The bytes of an embedded string, to be changed in place; the length stays. Marks the string as
    /// modified (`raw`).
    pub fn embedded_mut(&mut self) -> Option<&mut [u8]> {
        if self.kind() > KIND_RAW {
            return None;
        }
        let meta = self.meta().load(Ordering::Relaxed);
        self.meta().store(meta & !KIND_MASK | KIND_RAW, Ordering::Relaxed);
        let shape = self.shape();
        // SAFETY: the span lies within the allocation; `&mut self` makes it exclusive.
        Some(unsafe { std::slice::from_raw_parts_mut(self.at(self.key_offset() + shape.key), shape.value) })
    }

    /// When the key ends, in milliseconds of Unix time; `None` for a key that stays.
    #[inline]
    pub fn expire_at_ms(&self) -> Option<u64> {
        let meta = self.meta().load(Ordering::Relaxed);
        // SAFETY: the flag says that eight bytes of expiry stand at this offset.
        (meta & FLAG_EXPIRES != 0).then(|| unsafe { self.at(META).cast::<u64>().read_unaligned() })
    }

    /// A copy of value, expiry and blessing under another key.
    pub fn duplicate(&self, key: &[u8]) -> RecordBox {
        let expire_at_ms = self.expire_at_ms();
        let copy = match self.value() {
            ValueRef::Int(value) => Record::new_int(key, value, expire_at_ms),
            ValueRef::Bytes(value) => Record::new_string(key, value, expire_at_ms, self.kind() == KIND_RAW),
            ValueRef::Object(object) => Record::new_object(key, object.clone(), expire_at_ms),
        };
        copy.set_blessed(self.is_blessed());
        copy
    }

    /// Whether the key is never evicted (BLESS SET key NO-EVICT).
    #[inline]
    pub fn is_blessed(&self) -> bool {
        self.meta().load(Ordering::Relaxed) & FLAG_BLESSED != 0
    }

    /// Sets or removes the mark of [`is_blessed`](Self::is_blessed). Only for a record that is in no table, or
    /// whose slot is locked exclusively; of those in a table [`Blessed`](super::blessed::Blessed) keeps account.
    #[inline]
    pub fn set_blessed(&self, blessed: bool) {
        let meta = self.meta().load(Ordering::Relaxed) & !FLAG_BLESSED;
        self.meta().store(meta | if blessed { FLAG_BLESSED } else { 0 }, Ordering::Relaxed);
    }

    /// The access clock, 24 bits, as the policy reads it: under LRU seconds; under LFU minutes (16 bits) and
    /// a counter (8 bits).
    #[inline]
    pub fn access(&self) -> u32 {
        self.meta().load(Ordering::Relaxed) >> ACCESS_SHIFT
    }

    /// Stores the access clock. Several readers of a slot may do so at the same time: the last one wins.
    #[inline]
    pub fn set_access(&self, access: u32) {
        let meta = self.meta();
        let low = meta.load(Ordering::Relaxed) & ((1 << ACCESS_SHIFT) - 1);
        meta.store(low | access << ACCESS_SHIFT, Ordering::Relaxed);
    }

    /// Whether the snapshot that runs has this record already, or is not to have it.
    #[inline]
    pub fn is_handed_over(&self) -> bool {
        self.meta().load(Ordering::Relaxed) & FLAG_HANDED_OVER != 0
    }

    /// Sets or removes the mark of [`is_handed_over`](Self::is_handed_over). Only while the record is locked
    /// exclusively: a reader that dates its access at the same time would undo it.
    #[inline]
    pub fn set_handed_over(&self, handed_over: bool) {
        let meta = self.meta().load(Ordering::Relaxed) & !FLAG_HANDED_OVER;
        self.meta().store(meta | if handed_over { FLAG_HANDED_OVER } else { 0 }, Ordering::Relaxed);
    }

    /// The word that OBJECT ENCODING answers.
    pub fn encoding(&self) -> &'static str {
        match (self.kind(), self.value()) {
            (_, ValueRef::Int(_)) => "int",
            (KIND_STRING, ValueRef::Bytes(value)) if value.len() <= EMBSTR_MAX => "embstr",
            (_, ValueRef::Bytes(_)) => "raw",
            (_, ValueRef::Object(object)) => object.encoding(),
        }
    }

    /// The word that TYPE answers.
    pub fn type_name(&self) -> &'static str {
        match self.value() {
            ValueRef::Object(object) => object.type_name(),
            _ => "string",
        }
    }

    /// Bytes of the blocks that the allocator gave for the record and for what its object owns.
    pub fn memory_bytes(&self) -> usize {
        let own = block_bytes(layout_of(self.meta().load(Ordering::Relaxed), self.shape()).size());
        match self.value() {
            ValueRef::Object(object) => own + object.memory_bytes(),
            _ => own,
        }
    }

    /// Where the record starts, for prefetching.
    #[inline]
    pub fn address(&self) -> *const u8 {
        std::ptr::from_ref(self).cast()
    }

    #[inline]
    fn kind(&self) -> u32 {
        self.meta().load(Ordering::Relaxed) & KIND_MASK
    }

    fn allocate(kind_and_length_flags: u32, expire_at_ms: Option<u64>, shape: Shape) -> RecordBox {
        assert!(shape.key <= u32::MAX as usize, "a key is limited by proto-max-bulk-len");
        let meta = kind_and_length_flags | if expire_at_ms.is_some() { FLAG_EXPIRES } else { 0 };
        let layout = layout_of(meta, shape);
        // SAFETY: the layout is never empty (it holds `meta`).
        let Some(start) = NonNull::new(unsafe { alloc(layout) }) else { handle_alloc_error(layout) };
        // References cover the first word only: the rest is reached by its address.
        start.as_ptr().expose_provenance();
        let record = RecordBox(start);
        // SAFETY: header fields lie within `layout`; the record is not shared yet.
        unsafe {
            start.as_ptr().cast::<AtomicU32>().write(AtomicU32::new(meta));
            record.write_lengths(meta, shape);
            if let Some(at) = expire_at_ms {
                record.at(META).cast::<u64>().write_unaligned(at);
            }
        }
        record
    }

    #[inline]
    fn meta(&self) -> &AtomicU32 {
        &self.meta
    }

    /// Pointer to `offset` bytes behind the record's start; the offset has to be inside the allocation.
    #[inline]
    fn at(&self, offset: usize) -> *mut u8 {
        std::ptr::with_exposed_provenance_mut(self.address().addr() + offset)
    }

    #[inline]
    fn shape(&self) -> Shape {
        let meta = self.meta().load(Ordering::Relaxed);
        let lengths = lengths_offset(meta);
        // SAFETY: the flags say which width was written there.
        unsafe {
            match (meta & KIND_MASK, meta & FLAG_LONG != 0) {
                (KIND_INT | KIND_OBJECT, long) => {
                    let key = if long {
                        self.at(lengths).cast::<u32>().read_unaligned() as usize
                    } else {
                        usize::from(self.at(lengths).read())
                    };
                    let value = if meta & KIND_MASK == KIND_INT { 8 } else { size_of::<Object>() };
                    Shape { key, value }
                }
                (_, false) => Shape {
                    key: usize::from(self.at(lengths).read()),
                    value: usize::from(self.at(lengths + 1).read()),
                },
                (_, true) => Shape {
                    key: self.at(lengths).cast::<u32>().read_unaligned() as usize,
                    value: self.at(lengths + 4).cast::<u32>().read_unaligned() as usize,
                },
            }
        }
    }

    /// # Safety
    /// The allocation must have been made for `meta` and this shape's size class.
    unsafe fn write_lengths(&self, meta: u32, shape: Shape) {
        let lengths = lengths_offset(meta);
        // SAFETY: by the caller's promise these offsets lie within the allocation.
        unsafe {
            match (meta & KIND_MASK, meta & FLAG_LONG != 0) {
                (KIND_INT | KIND_OBJECT, false) => self.at(lengths).write(shape.key as u8),
                (KIND_INT | KIND_OBJECT, true) => {
                    self.at(lengths).cast::<u32>().write_unaligned(shape.key as u32);
                }
                (_, false) => {
                    self.at(lengths).write(shape.key as u8);
                    self.at(lengths + 1).write(shape.value as u8);
                }
                (_, true) => {
                    self.at(lengths).cast::<u32>().write_unaligned(shape.key as u32);
                    self.at(lengths + 4).cast::<u32>().write_unaligned(shape.value as u32);
                }
            }
        }
    }

    /// # Safety
    /// `offset + bytes.len()` must lie within the allocation, and nobody else may hold a reference into that
    /// span.
    unsafe fn write_bytes(&self, offset: usize, bytes: &[u8]) {
        // SAFETY: by the caller's promise the span lies within the allocation, and no reference reaches into
        // it.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.at(offset), bytes.len()) };
    }

    #[inline]
    fn key_offset(&self) -> usize {
        self.key_span().0
    }

    /// Offset and length of the key, with as few loads as the lookup's comparison needs.
    #[inline]
    fn key_span(&self) -> (usize, usize) {
        let meta = self.meta().load(Ordering::Relaxed);
        let shape = self.shape();
        (header_size(meta), shape.key)
    }

    /// Where a number or an object stands.
    #[inline]
    fn inner_offset(&self) -> usize {
        let meta = self.meta().load(Ordering::Relaxed);
        lengths_offset(meta) + if meta & FLAG_LONG != 0 { 4 } else { 1 }
    }
}

impl RecordBox {
    /// Gives up the record and returns its address, which the caller owns from now on.
    #[inline]
    pub fn into_address(self) -> NonNull<u8> {
        std::mem::ManuallyDrop::new(self).0
    }

    /// Takes the ownership of a record back.
    ///
    /// # Safety
    ///
    /// The address comes from [`into_address`](Self::into_address), and nobody else owns the record.
    #[inline]
    pub unsafe fn from_address(address: NonNull<u8>) -> RecordBox {
        RecordBox(address)
    }

    /// Sets or removes the expiry. Without a change of presence it is written in place; otherwise the record
    /// moves to a new allocation.
    pub fn set_expire_at_ms(&mut self, expire_at_ms: Option<u64>) {
        let meta = self.meta().load(Ordering::Relaxed);
        if let (true, Some(at)) = (meta & FLAG_EXPIRES != 0, expire_at_ms) {
            // SAFETY: the flag says that eight bytes of expiry stand there; `&mut self`.
            unsafe { self.at(META).cast::<u64>().write_unaligned(at) };
            return;
        }
        if expire_at_ms.is_none() && meta & FLAG_EXPIRES == 0 {
            return;
        }
        let replacement = match self.value() {
            ValueRef::Int(value) => Record::new_int(self.key(), value, expire_at_ms),
            ValueRef::Bytes(value) => {
                Record::new_string(self.key(), value, expire_at_ms, meta & KIND_MASK == KIND_RAW)
            }
            ValueRef::Object(_) => {
                // SAFETY: the object is moved out bit by bit and the old record is then freed without
                // dropping it.
                let object = unsafe { self.at(self.inner_offset()).cast::<Object>().read() };
                let replacement = Record::new_object(self.key(), object, expire_at_ms);
                replacement.set_access(self.access());
                replacement.set_handed_over(self.is_handed_over());
                replacement.set_blessed(self.is_blessed());
                let old = std::mem::replace(self, replacement);
                old.free_allocation();
                return;
            }
        };
        replacement.set_access(self.access());
        replacement.set_handed_over(self.is_handed_over());
        replacement.set_blessed(self.is_blessed());
        *self = replacement;
    }

    /// Makes the record of another key with this value, expiry and blessing, moving the value.
    pub fn with_key(mut self, key: &[u8]) -> RecordBox {
        let expire_at_ms = self.expire_at_ms();
        let renamed = match self.value() {
            ValueRef::Int(value) => Record::new_int(key, value, expire_at_ms),
            ValueRef::Bytes(value) => Record::new_string(key, value, expire_at_ms, self.kind() == KIND_RAW),
            ValueRef::Object(_) => {
                let object = match self.object_mut() {
                    Some(object) => std::mem::replace(object, Object::empty()),
                    None => Object::empty(),
                };
                Record::new_object(key, object, expire_at_ms)
            }
        };
        renamed.set_access(self.access());
        renamed.set_blessed(self.is_blessed());
        renamed
    }

    fn free_allocation(self) {
        let layout = layout_of(self.meta().load(Ordering::Relaxed), self.shape());
        let start = self.0.as_ptr();
        std::mem::forget(self);
        // SAFETY: allocated with this very layout: it depends only on flags and lengths that never leave
        // their class.
        unsafe { dealloc(start, layout) };
    }
}

impl Deref for RecordBox {
    type Target = Record;

    #[inline]
    fn deref(&self) -> &Record {
        // SAFETY: the box owns the record, and lends it for as long as it is borrowed itself.
        unsafe { Record::at_address(self.0) }
    }
}

impl DerefMut for RecordBox {
    #[inline]
    fn deref_mut(&mut self) -> &mut Record {
        // SAFETY: the box owns the record and is borrowed exclusively for as long as the record is lent.
        unsafe { Record::at_address_mut(self.0) }
    }
}

/// Lengths of key and value.
#[derive(Clone, Copy)]
struct Shape {
    key: usize,
    value: usize,
}

/// Where the lengths start.
#[inline]
fn lengths_offset(meta: u32) -> usize {
    META + if meta & FLAG_EXPIRES != 0 { 8 } else { 0 }
}

/// Bytes before the key.
#[inline]
fn header_size(meta: u32) -> usize {
    let expiry = if meta & FLAG_EXPIRES != 0 { 8 } else { 0 };
    let width = if meta & FLAG_LONG != 0 { 4 } else { 1 };
    META + expiry
        + match meta & KIND_MASK {
            KIND_OBJECT => width + size_of::<Object>(),
            KIND_INT => width + 8,
            _ => 2 * width,
        }
}

fn layout_of(meta: u32, shape: Shape) -> Layout {
    let behind_key = if meta & KIND_MASK <= KIND_RAW { shape.value } else { 0 };
    let size = (header_size(meta) + shape.key + behind_key).next_multiple_of(STEP);
    // A size over isize::MAX cannot come from a key and a value that were both in memory.
    Layout::from_size_align(size, ALIGN).unwrap_or_else(|_| unreachable!("key and value fit in memory"))
}

impl Drop for RecordBox {
    fn drop(&mut self) {
        let layout = layout_of(self.meta().load(Ordering::Relaxed), self.shape());
        // SAFETY: the record owns its object and its allocation, and is gone after this.
        unsafe {
            if self.kind() == KIND_OBJECT {
                self.at(self.inner_offset()).cast::<Object>().drop_in_place();
            }
            dealloc(self.0.as_ptr(), layout);
        }
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values are the users' data and stay out of logs.
        f.debug_struct("Record")
            .field("type", &self.type_name())
            .field("expires", &self.expire_at_ms())
            .finish()
    }
}

impl fmt::Debug for RecordBox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// Whether a record has ended at `now_ms`.
#[inline]
pub fn is_expired(record: &Record, now_ms: u64) -> bool {
    record.expire_at_ms().is_some_and(|at_ms| at_ms <= now_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(record: &Record) -> Vec<u8> {
        match record.value() {
            ValueRef::Int(value) => value.to_string().into_bytes(),
            ValueRef::Bytes(value) => value.to_vec(),
            ValueRef::Object(Object::Text(value)) => value.to_vec(),
            ValueRef::Object(_) => panic!("not a string"),
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Overwrite(Vec<u8>),
        Expire(Option<u64>),
        Rename(Vec<u8>),
        Access(u32),
        Mutate(u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..300).prop_map(Step::Overwrite),
            any::<Option<u64>>().prop_map(Step::Expire),
            prop::collection::vec(any::<u8>(), 0..300).prop_map(Step::Rename),
            (0u32..1 << 24).prop_map(Step::Access),
            any::<u8>().prop_map(Step::Mutate),
        ]
    }

    proptest! {
        #[test]
        fn strings_keep_key_value_expiry_and_access(
            key in prop::collection::vec(any::<u8>(), 0..600),
            value in prop::collection::vec(any::<u8>(), 0..3000),
            expire: Option<u64>,
            steps in prop::collection::vec(step(), 0..20),
        ) {
            let mut record = Record::new_string(&key, &value, expire, false);
            let (mut key, mut value, mut expire, mut access) = (key, value, expire, 0);
            for step in steps {
                match step {
                    Step::Overwrite(new) => if record.overwrite_string(&new) { value = new },
                    Step::Expire(at) => { record.set_expire_at_ms(at); expire = at }
                    Step::Rename(new) => { record = record.with_key(&new); key = new }
                    Step::Access(new) => { record.set_access(new); access = new }
                    Step::Mutate(byte) => if let Some(bytes) = record.embedded_mut() {
                        bytes.fill(byte);
                        value.fill(byte);
                    },
                }
                prop_assert_eq!(record.key(), &key[..]);
                prop_assert_eq!(text(&record), &value[..]);
                prop_assert_eq!(record.expire_at_ms(), expire);
                prop_assert_eq!(record.access(), access);
            }
        }

        #[test]
        fn numbers_and_objects_survive_the_same(
            key in prop::collection::vec(any::<u8>(), 0..600), number: i64, first: Option<u64>, second: Option<u64>,
        ) {
            let mut record = Record::new_int(&key, number, first);
            prop_assert_eq!(record.expire_at_ms(), first);
            record.set_expire_at_ms(second);
            prop_assert!(record.overwrite_int(number.wrapping_add(1)));
            prop_assert_eq!(text(&record), number.wrapping_add(1).to_string().into_bytes());
            prop_assert_eq!(record.expire_at_ms(), second);
            prop_assert_eq!(record.key(), &key[..]);

            let mut record = Record::new_object(&key, Object::Text(Owned::new(Text::new(vec![7; 5000]))), first);
            record.set_expire_at_ms(second);
            prop_assert_eq!(text(&record).len(), 5000);
            let record = record.with_key(b"other");
            prop_assert_eq!(record.key(), b"other");
            prop_assert_eq!(record.expire_at_ms(), second);
            prop_assert_eq!(text(&record).len(), 5000);
        }
    }

    #[test]
    fn encodings_have_redis_names() {
        assert_eq!(Record::new_int(b"k", 7, None).encoding(), "int");
        assert_eq!(Record::new_string(b"k", &[b'x'; 44], None, false).encoding(), "embstr");
        assert_eq!(Record::new_string(b"k", &[b'x'; 45], None, false).encoding(), "raw");
        assert_eq!(Record::new_string(b"k", b"x", None, true).encoding(), "raw");
        assert_eq!(Record::new_string(b"k", &[b'x'; 5000], None, false).encoding(), "raw");
    }
}
