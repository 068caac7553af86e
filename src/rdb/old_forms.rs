//! Tests of the payloads that Redis 2.4 to 6.2 made: RESTORE refused all of them but plain ones.

use super::tests::limits;
use super::ziplist::tests::{every_form, ziplist};
use super::{FOOTER, RestoreError, Restored, dump, kind, restore, sign};
use crate::keyspace::value::Object;

/// A value as text: its elements, fields and values, members and scores one after the other.
fn shown(restored: Result<Restored, RestoreError>) -> Result<Vec<Vec<u8>>, RestoreError> {
    Ok(match restored? {
        Restored::Text(text) => vec![text],
        Restored::Object(Object::List(list)) => list.iter().map(|element| element.to_vec()).collect(),
        Restored::Object(Object::Set(set)) => {
            let mut members: Vec<_> = set.at(0).iter().map(|member| member.to_vec()).collect();
            members.sort();
            members
        }
        Restored::Object(Object::Hash(hash)) => {
            hash.iter(0).flat_map(|(field, value)| [field.to_vec(), value.to_vec()]).collect()
        }
        Restored::Object(Object::Zset(zset)) => zset
            .iter()
            .flat_map(|(member, score)| [member.to_vec(), score.to_string().into_bytes()])
            .collect(),
        Restored::Object(other) => panic!("none of these tests makes {other:?}"),
    })
}

/// A payload of version 6 whose value is one string behind the type.
fn payload(kind: u8, packed: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    super::write::plain_string(packed, &mut out);
    sign(6, &mut out);
    out
}

fn from_hex(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ascii"), 16).expect("hex"))
        .collect()
}

/// The six payloads that the fault was reported with.
#[test]
fn payloads_of_old_versions_are_read() {
    for (hex, elements) in [
        ("0e0110100000000d000000020000016103f2ff09000a5bac5eb8d7c929", ["a", "1"]),
        ("0d10100000000d000000020000016103f2ff0900e0a8245f3d06bd8f", ["a", "1"]),
        ("0c10100000000d000000020000016103f2ff0900c65318989cb4c8ef", ["a", "1"]),
        ("0a10100000000d000000020000016103f2ff06003fc53c1eaaeef3a7", ["a", "1"]),
        ("0907010161010031ff06006f3e51568b0f09c6", ["a", "1"]),
        ("0301016103312e350600ac40cd7dea34bab1", ["a", "1.5"]),
    ] {
        let expected = elements.iter().map(|element| element.as_bytes().to_vec()).collect();
        assert_eq!(shown(restore(&from_hex(hex), &limits())), Ok(expected), "{hex}");
    }
}

/// Every width of number and every length of string, in each type that a ziplist was used for.
#[test]
fn ziplists_with_every_form_of_element() {
    let (packed, elements): (Vec<_>, Vec<_>) = every_form().into_iter().unzip();
    let list = ziplist(&packed);
    assert_eq!(shown(restore(&payload(kind::LIST_ZIPLIST, &list), &limits())), Ok(elements.clone()));

    let mut nodes = vec![kind::LIST_QUICKLIST, 3];
    for node in [&list, &ziplist(&[]), &list] {
        super::write::plain_string(node, &mut nodes);
    }
    sign(7, &mut nodes);
    assert_eq!(shown(restore(&nodes, &limits())), Ok([elements.clone(), elements.clone()].concat()));

    // As values of fields, then as fields themselves.
    let mut pairs = Vec::new();
    for (index, form) in packed.iter().enumerate() {
        pairs.push([&[2, b'f'][..], &[b'0' + index as u8]].concat());
        pairs.push(form.clone());
    }
    let hash = shown(restore(&payload(kind::HASH_ZIPLIST, &ziplist(&pairs)), &limits())).expect("a hash");
    assert_eq!(hash.len(), pairs.len());
    assert!(hash.chunks_exact(2).all(|pair| elements[usize::from(pair[0][1] - b'0')] == pair[1]));
    for pair in pairs.chunks_exact_mut(2) {
        pair.swap(0, 1);
    }
    let hash = shown(restore(&payload(kind::HASH_ZIPLIST, &ziplist(&pairs)), &limits())).expect("a hash");
    assert!(hash.chunks_exact(2).all(|pair| elements[usize::from(pair[1][1] - b'0')] == pair[0]));
}

/// Scores as text, with the lengths that stand for what is not finite.
#[test]
fn scores_as_text() {
    let zset = |pairs: &[u8]| {
        let mut out = vec![kind::ZSET, 1, 1, b'm'];
        out.extend(pairs);
        sign(6, &mut out);
        shown(restore(&out, &limits())).map(|shown| String::from_utf8(shown[1].clone()).expect("text"))
    };
    assert_eq!(zset(b"\x07-1.5e10"), Ok("-15000000000".into()));
    assert_eq!(zset(&[254]), Ok("inf".into()));
    assert_eq!(zset(&[255]), Ok("-inf".into()));
    for bad in [&b"\x00"[..], b"\x03abc", b"\x041.5"] {
        assert_eq!(zset(bad), Err(RestoreError::Format), "{bad:?}");
    }
    let error = zset(b"\xfd").expect_err("no score");
    assert_eq!(error.log_text(kind::ZSET), "Sorted set with a NAN score");
    assert_eq!(error.to_string(), "ERR Bad data format");
}

/// An element that stands by itself in a list is a long one: an empty one is corrupt.
#[test]
fn lone_elements_are_not_empty() {
    let mut out = vec![kind::LIST_QUICKLIST_2, 1, 1, 0];
    sign(10, &mut out);
    let error = shown(restore(&out, &limits())).expect_err("corrupt");
    assert_eq!(error.log_text(kind::LIST_QUICKLIST_2), "List listpack integrity check failed");
}

/// Sets of numbers of each width; what is not in rising order is corrupt.
#[test]
fn intsets_of_every_width() {
    let intset = |width: u8, numbers: &[i64]| {
        let mut packed = vec![width, 0, 0, 0, numbers.len() as u8, 0, 0, 0];
        for number in numbers {
            packed.extend(&number.to_le_bytes()[..usize::from(width)]);
        }
        shown(restore(&payload(kind::SET_INTSET, &packed), &limits())).map(|members| members.len())
    };
    assert_eq!(intset(2, &[-32_768, -1, 0, 32_767]), Ok(4));
    assert_eq!(intset(4, &[-2_147_483_648, 5, 2_147_483_647]), Ok(3));
    assert_eq!(intset(8, &[i64::MIN, 5, i64::MAX]), Ok(3));
    for (width, numbers) in [(2, &[1, 1][..]), (2, &[2, 1]), (4, &[0, -1]), (8, &[1, 0]), (2, &[]), (3, &[1])]
    {
        assert_eq!(intset(width, numbers), Err(RestoreError::Format), "{width} {numbers:?}");
    }
}

/// What comes twice, or without its other half, is corrupt.
#[test]
fn pairs_have_to_be_whole_and_different() {
    let a = || vec![1, b'a'];
    let one = || vec![0xf2];
    for kind in [kind::HASH_ZIPLIST, kind::ZSET_ZIPLIST] {
        for elements in [vec![], vec![a()], vec![a(), one(), a()], vec![a(), one(), a(), one()]] {
            let payload = payload(kind, &ziplist(&elements));
            assert_eq!(shown(restore(&payload, &limits())), Err(RestoreError::Format), "{kind} {elements:?}");
        }
    }
    for (kind, packed) in [
        (kind::ZSET_ZIPLIST, ziplist(&[a(), a()])),
        (kind::LIST_ZIPLIST, ziplist(&[])),
        (kind::HASH_ZIPMAP, b"\x02\x01f\x01\x00v\x01f\x01\x00v\xff".to_vec()),
        (kind::HASH_ZIPMAP, b"\x00\xff".to_vec()),
    ] {
        assert_eq!(
            shown(restore(&payload(kind, &packed), &limits())),
            Err(RestoreError::Format),
            "{packed:?}"
        );
    }
}

/// Payloads of each packed form with some bytes changed, cut or doubled: they are refused, or they make a
/// value that DUMP writes so that it reads back the same.
#[test]
fn corrupted_payloads_are_survived() {
    let (packed, _): (Vec<_>, Vec<_>) = every_form().into_iter().filter(|form| form.0.len() < 100).unzip();
    let list = ziplist(&packed);
    let mut seeds: Vec<Vec<u8>> = [kind::LIST_ZIPLIST, kind::HASH_ZIPLIST, kind::ZSET_ZIPLIST]
        .into_iter()
        .flat_map(|kind| [payload(kind, &list), payload(kind, &ziplist(&[vec![1, b'a'], vec![0xf2]]))])
        .collect();
    seeds.push([&[kind::LIST_QUICKLIST, 1][..], &payload(kind::LIST_ZIPLIST, &list)[1..]].concat());
    seeds.push(payload(kind::HASH_ZIPMAP, b"\x02\x01f\x01\x00v\x01g\x02\x02ww??\xff"));
    seeds.push(payload(kind::SET_INTSET, &[4, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0]));
    seeds.push([&[kind::ZSET, 2][..], b"\x01m\x031.5\x01n\xfe", &[0; FOOTER]].concat());

    // A small generator with a fixed seed, so that what fails once fails again.
    let mut state = 17u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut accepted = 0;
    for _ in 0..20_000 {
        let seed = &seeds[random(seeds.len())];
        let mut body = seed[..seed.len() - FOOTER].to_vec();
        for _ in 0..=random(3) {
            let at = random(body.len());
            match random(4) {
                0 => body[at] = [0, 1, 0x7f, 0x80, 0xfd, 0xfe, 0xff][random(7)],
                1 => body[at] ^= 1 << random(8),
                2 => drop(body.remove(at)),
                _ => body.insert(at, random(256) as u8),
            }
            if body.is_empty() {
                break;
            }
        }
        sign(6, &mut body);
        let Ok(restored) = restore(&body, &limits()) else { continue };
        accepted += 1;
        let record = restored.into_record(b"k", None);
        let dumped = dump(&record);
        let again = restore(&dumped, &limits()).expect("what DUMP writes is read").into_record(b"k", None);
        assert_eq!(dump(&again).len(), dumped.len(), "{body:?}");
    }
    assert!(accepted > 100, "{accepted} of them were still a value: the corruption is too coarse");
}
