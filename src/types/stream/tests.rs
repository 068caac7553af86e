//! A stream does what a map of ids to entries does.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::Index;

use super::group::Pending;
use super::*;

type Pairs = Vec<Vec<u8>>;
type Model = BTreeMap<StreamId, Pairs>;

fn pairs() -> impl Strategy<Value = Pairs> {
    let value = prop_oneof![
        any::<i64>().prop_map(|value| value.to_string().into_bytes()),
        prop::collection::vec(any::<u8>(), 0..90),
    ];
    let with_names = |names: Vec<&'static str>| {
        (Just(names.clone()), prop::collection::vec(value.clone(), names.len())).prop_map(
            |(names, values)| {
                names.iter().zip(values).flat_map(|(name, value)| [name.as_bytes().to_vec(), value]).collect()
            },
        )
    };
    prop_oneof![
        4 => with_names(vec!["user", "7"]),
        1 => with_names(vec!["user"]),
        1 => with_names(vec!["user", "other", "user"]),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Append(u64, u64, Pairs),
    Delete(Index),
    Trim(bool, Index, bool, u64),
    Range(Index, Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (prop_oneof![Just(0u64), 0u64..20, any::<u32>().prop_map(u64::from)], 0u64..200, pairs())
            .prop_map(|(ms, seq, pairs)| Step::Append(ms, seq, pairs)),
        3 => any::<Index>().prop_map(Step::Delete),
        1 => (any::<bool>(), any::<Index>(), any::<bool>(), 0u64..12)
            .prop_map(|(by_len, at, approximate, limit)| Step::Trim(by_len, at, approximate, limit)),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(a, b)| Step::Range(a, b)),
    ]
}

fn fields(entry: Entry<'_>) -> (StreamId, Pairs) {
    let pairs: Pairs = entry.fields().flat_map(|(name, value)| [name.to_vec(), value.to_vec()]).collect();
    assert_eq!(pairs.len(), entry.field_count() * 2);
    (entry.id, pairs)
}

/// An id of the model or one beside it.
fn some_id(model: &Model, index: Index) -> StreamId {
    let ids: Vec<StreamId> = model.keys().copied().collect();
    match ids.len() {
        0 => StreamId::new(5, 5),
        len => match index.index(len * 3) {
            at if at < len => ids[at],
            at if at < len * 2 => ids[at - len].next().unwrap_or(StreamId::MAX),
            at => ids[at - len * 2].previous().unwrap_or(StreamId::MIN),
        },
    }
}

fn check(stream: &Stream, model: &Model) {
    stream.assert_invariants();
    assert_eq!(stream.len(), model.len());
    assert_eq!(stream.first_id(), model.keys().next().copied().unwrap_or_default());
    assert_eq!(stream.last_entry_id(), model.keys().next_back().copied());
    assert!(
        stream.range(StreamId::MIN, StreamId::MAX).map(fields).eq(model.iter().map(|(k, v)| (*k, v.clone())))
    );
}

proptest! {
    #[test]
    fn behaves_like_a_map(
        steps in prop::collection::vec(step(), 1..120),
        max_block_entries in prop_oneof![Just(0usize), 1usize..12],
        max_block_bytes in prop_oneof![Just(0usize), 1usize..400],
    ) {
        let limits = StreamLimits { max_block_bytes, max_block_entries };
        let mut stream = Stream::new();
        let mut model = Model::new();
        let mut added = 0;
        for step in steps {
            match step {
                Step::Append(later_ms, seq, pairs) => {
                    let id = StreamId::new(stream.last_id().ms.saturating_add(later_ms), seq);
                    let is_higher = id > stream.last_id();
                    let result = stream.append(id, &pairs, &limits);
                    prop_assert_eq!(result.is_ok(), is_higher);
                    if is_higher {
                        model.insert(id, pairs);
                        added += 1;
                        prop_assert_eq!(stream.last_id(), id);
                    }
                }
                Step::Delete(index) => {
                    let id = some_id(&model, index);
                    let highest = stream.max_deleted_id();
                    let is_there = model.remove(&id).is_some();
                    prop_assert_eq!(stream.delete(id), is_there);
                    let now = if is_there { highest.max(id) } else { highest };
                    prop_assert_eq!(stream.max_deleted_id(), now);
                }
                Step::Trim(by_len, index, approximate, limit) => {
                    let limit = if approximate { limit } else { 0 };
                    let to = if by_len {
                        TrimTo::MaxLen(index.index(model.len() + 2) as u64)
                    } else {
                        TrimTo::MinId(some_id(&model, index))
                    };
                    let unwanted: Vec<StreamId> = match to {
                        TrimTo::MaxLen(max) => {
                            model.keys().copied().take(model.len().saturating_sub(max as usize)).collect()
                        }
                        TrimTo::MinId(min) => model.keys().copied().filter(|id| *id < min).collect(),
                    };
                    let removed = stream.trim(&Trim { to, approximate, limit });
                    if approximate {
                        prop_assert!(removed <= unwanted.len());
                        prop_assert!(limit == 0 || removed as u64 <= limit);
                    } else {
                        prop_assert_eq!(removed, unwanted.len());
                    }
                    unwanted.iter().take(removed).for_each(|id| drop(model.remove(id)));
                }
                Step::Range(a, b) => {
                    let (a, b) = (some_id(&model, a), some_id(&model, b));
                    let wanted: Vec<(StreamId, Pairs)> = model
                        .iter()
                        .filter(|(id, _)| a <= **id && **id <= b)
                        .map(|(id, pairs)| (*id, pairs.clone()))
                        .collect();
                    prop_assert!(stream.range(a, b).map(fields).eq(wanted.iter().cloned()));
                    prop_assert!(stream.range_back(a, b).map(fields).eq(wanted.iter().rev().cloned()));
                    prop_assert_eq!(stream.contains(a), model.contains_key(&a));
                    let mut lookup = stream.lookup();
                    let mut asked: Vec<StreamId> = model.keys().copied().step_by(3).chain([a, b]).collect();
                    asked.sort();
                    for id in asked {
                        let found = lookup.get(id).map(fields);
                        prop_assert_eq!(found, model.get(&id).map(|pairs| (id, pairs.clone())));
                    }
                }
            }
            check(&stream, &model);
            prop_assert_eq!(stream.entries_added(), added);
        }
        check(&stream.clone(), &model);
    }

    #[test]
    fn groups_behave_like_maps(steps in prop::collection::vec((0u8..6, 0u64..12, 0u8..4, 0u64..5), 1..100)) {
        let mut group = Group::default();
        let mut model: BTreeMap<u64, (u8, u64)> = BTreeMap::new();
        let mut members = std::collections::BTreeSet::new();
        for (what, seq, who, deliveries) in steps {
            let id = StreamId::new(1, seq);
            match what {
                0..=2 => {
                    members.insert(who);
                    let index = group.find(&[who]).unwrap_or_else(|| group.add_consumer(&[who], 5));
                    group.assign(id, Pending { consumer: index, delivered_at_ms: 7, deliveries });
                    model.insert(seq, (who, deliveries));
                }
                3 | 4 => prop_assert_eq!(group.acknowledge(id), model.remove(&seq).is_some()),
                _ => {
                    let before = model.len();
                    model.retain(|_, (owner, _)| *owner != who);
                    let removed = members.remove(&who).then_some(before - model.len());
                    prop_assert_eq!(group.remove_consumer(&[who]), removed);
                }
            }
            group.assert_invariants();
            prop_assert_eq!(group.consumer_count(), members.len());
            let all: Vec<(u64, u8, u64)> = group
                .pending_range(StreamId::MIN, StreamId::MAX)
                .map(|(id, pending)| (id.seq, group.consumer(pending.consumer).name()[0], pending.deliveries))
                .collect();
            let wanted: Vec<(u64, u8, u64)> =
                model.iter().map(|(seq, (who, deliveries))| (*seq, *who, *deliveries)).collect();
            prop_assert_eq!(all, wanted);
            let ends = model.keys().next().zip(model.keys().next_back());
            prop_assert_eq!(group.pending_ends().map(|(a, b)| (a.seq, b.seq)), ends.map(|(a, b)| (*a, *b)));
        }
    }
}

#[test]
fn ids_are_made() {
    let mut stream = Stream::new();
    assert_eq!(stream.next_id(NewId::Auto, 0), Ok(StreamId::new(0, 1)));
    assert_eq!(stream.next_id(NewId::AutoSeq(0), 9), Ok(StreamId::new(0, 1)));
    assert_eq!(stream.next_id(NewId::Auto, 9), Ok(StreamId::new(9, 0)));
    stream.set_last_id(StreamId::new(10, u64::MAX));
    assert_eq!(stream.next_id(NewId::Auto, 9), Ok(StreamId::new(11, 0)));
    assert_eq!(stream.next_id(NewId::AutoSeq(10), 9), Err(AppendError::IdTooLow));
    assert_eq!(stream.next_id(NewId::AutoSeq(9), 9), Err(AppendError::IdTooLow));
    stream.set_last_id(StreamId::MAX);
    assert_eq!(stream.next_id(NewId::Auto, 9), Err(AppendError::IdTooLow));
}

#[test]
fn entries_take_few_bytes() {
    let mut stream = Stream::new();
    for number in 0..10_000u64 {
        let value = number.to_string();
        let pairs = [&b"user"[..], value.as_bytes(), b"event", b"login"];
        let id = StreamId::new(1_700_000_000_000 + number / 3, number % 3);
        stream.append(id, &pairs, &StreamLimits::default()).expect("higher ids");
    }
    assert_eq!(stream.block_count(), 100);
    let each = stream.memory_bytes() / stream.len();
    assert!(each < 16, "{each} bytes an entry");
}

/// Trimming that treats references leaves what it may not take, and no more than it has to.
#[test]
fn trimming_with_references() {
    use super::{References, Trim, TrimTo};
    let mut rng = fastrand::Rng::with_seed(3);
    for round in 0..500 {
        let limits = StreamLimits { max_block_bytes: 0, max_block_entries: 1 + round % 7 };
        let mut stream = Stream::new();
        for ms in 1..=20 {
            stream.append(StreamId::new(ms, 0), &[b"f", b"v"], &limits).expect("a higher id");
        }
        for name in [b"g", b"h"] {
            let mut group = Group::new(StreamId::new(rng.u64(5..25), 0), None);
            let consumer = group.add_consumer(b"c", 0);
            for ms in (1..=20).filter(|_| rng.u8(..3) == 0) {
                let pending = Pending { consumer, delivered_at_ms: 0, deliveries: 1 };
                group.assign(StreamId::new(ms, 0), pending);
            }
            stream.add_group(name, group);
        }
        let ids = |stream: &Stream| -> Vec<StreamId> {
            stream.range(StreamId::MIN, StreamId::MAX).map(|entry| entry.id).collect()
        };
        let to = match rng.bool() {
            true => TrimTo::MaxLen(rng.u64(..22)),
            false => TrimTo::MinId(StreamId::new(rng.u64(..25), 0)),
        };
        let trim = Trim { to, approximate: rng.bool(), limit: [0, 0, 4][rng.usize(..3)] };
        let before = ids(&stream);
        let most = if trim.limit == 0 { 20 } else { trim.limit as usize };
        let (wanted, free): (Vec<StreamId>, Vec<StreamId>) = {
            let free = before.iter().copied().filter(|id| !stream.is_referenced(*id));
            match to {
                TrimTo::MaxLen(max) => {
                    let excess = 20usize.saturating_sub(max as usize).min(most);
                    (before[..excess].to_vec(), free.take(excess).collect())
                }
                TrimTo::MinId(min) => {
                    let wanted: Vec<StreamId> =
                        before.iter().copied().take_while(|id| *id < min).take(most).collect();
                    let free = free.filter(|id| wanted.contains(id)).collect();
                    (wanted, free)
                }
            }
        };
        let mut other = stream.clone();
        let trimmed = other.trim_with(&trim, References::Delete);
        assert_eq!(trimmed.count(), wanted.len());
        assert!(wanted.iter().all(|id| other.groups().all(|(_, group)| group.pending(*id).is_none())));
        let left: Vec<StreamId> = before.iter().copied().filter(|id| !wanted.contains(id)).collect();
        assert_eq!(ids(&other), left);
        other.assert_invariants();
        let trimmed = stream.trim_with(&trim, References::Acknowledged);
        assert_eq!(trimmed.count(), free.len(), "{trim:?}");
        let left: Vec<StreamId> = before.iter().copied().filter(|id| !free.contains(id)).collect();
        assert_eq!(ids(&stream), left);
        stream.assert_invariants();
    }
}
