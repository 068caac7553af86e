//! Places on the earth: sorted sets whose scores are the numbers of cells of a map.

use smallvec::SmallVec;

use crate::command::{Category, Flags, Group, KeySpec, args};
use crate::commands::shared::collection;
use crate::commands::sorted_set::members::{AddOptions, add};
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::primitives::geohash::Point;
use crate::resp::encode::Reply;
use crate::types::zset::ZSet;

const READ: &[KeySpec] = &[KeySpec::one(1, KeySpec::RO | KeySpec::ACCESS)];

/// The group's entries, searches not included.
pub const COMMANDS: &[Command] = &[
    Command {
        arity: -5,
        flags: Flags::WRITE.and(Flags::DENYOOM),
        keys: &[KeySpec::one(1, KeySpec::RW | KeySpec::UPDATE)],
        summary: "Adds members with their places, or moves them.",
        syntax: "key [NX | XX] [CH] longitude latitude member [longitude latitude member ...]",
        complexity: "O(log(N)) for each member, where N is the size of the sorted set",
        reply: "the number of members that are new, or with CH that changed",
        run: geoadd,
        ..entry("geoadd")
    },
    Command {
        arity: -4,
        summary: "Returns the distance of two members.",
        syntax: "key member1 member2 [M | KM | FT | MI]",
        reply: "the distance as text, null if one of them is not there",
        run: geodist,
        ..entry("geodist")
    },
    Command {
        arity: -2,
        summary: "Returns the places of members as standard geohashes.",
        syntax: "key [member [member ...]]",
        complexity: "O(1) for each member",
        reply: "an array of geohashes and nulls",
        run: geohash,
        ..entry("geohash")
    },
    Command {
        arity: -2,
        summary: "Returns the places of members.",
        syntax: "key [member [member ...]]",
        complexity: "O(1) for each member",
        reply: "an array of longitudes and latitudes, or nulls",
        run: geopos,
        ..entry("geopos")
    },
];

/// Parts of an entry that this group's commands share; most of them read.
pub const fn entry(name: &'static str) -> Command {
    Command {
        name,
        flags: Flags::READONLY,
        keys: READ,
        categories: &[Category::Geo],
        group: Group::Geo,
        since: "3.2.0",
        ..Command::DEFAULT
    }
}

/// Length of a unit in metres.
///
/// # Errors
/// No such unit.
pub fn metres_of(unit: &[u8]) -> Result<f64, CommandError> {
    match unit {
        unit if args::is(unit, "M") => Ok(1.0),
        unit if args::is(unit, "KM") => Ok(1000.0),
        unit if args::is(unit, "FT") => Ok(0.3048),
        unit if args::is(unit, "MI") => Ok(1609.34),
        _ => Err(CommandError::text("ERR unsupported unit provided. please use M, KM, FT, MI")),
    }
}

/// Reads a longitude and a latitude in degrees.
///
/// # Errors
/// Not numbers; not on the map.
pub fn parse_point(longitude: &[u8], latitude: &[u8]) -> Result<Point, CommandError> {
    let (longitude, latitude) = (args::float(longitude)?, args::float(latitude)?);
    Point::new(longitude, latitude).ok_or_else(|| {
        CommandError::new(format!("ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}"))
    })
}

/// Writes a distance as a byte string with four decimals.
pub fn write_distance(reply: &mut Reply<'_>, distance: f64) {
    reply.bulk(distance_text(distance).as_bytes());
}

/// The text of a distance; halves are rounded to the even digit, after the multiplication by 10,000, as in
/// Redis.
fn distance_text(distance: f64) -> String {
    const PARTS: f64 = 10_000.0;
    let parts = (distance * PARTS).round_ties_even() as i64;
    format!("{}.{:04}", parts / PARTS as i64, parts % PARTS as i64)
}

/// Writes a place as an array of longitude and latitude.
pub fn write_point(reply: &mut Reply<'_>, point: Point) {
    reply.array(2);
    reply.double_text(&degrees_text(point.longitude));
    reply.double_text(&degrees_text(point.latitude));
}

/// The text of an angle: up to 17 decimals, without zeros at the end.
fn degrees_text(degrees: f64) -> String {
    let mut text = format!("{degrees:.17}");
    text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
    if text == "-0" { "0".to_owned() } else { text }
}

fn geoadd(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let mut options = AddOptions::default();
    let mut words = &arguments[2..];
    while let Some((word, rest)) = words.split_first() {
        let option = match word {
            word if args::is(word, "NX") => &mut options.nx,
            word if args::is(word, "XX") => &mut options.xx,
            word if args::is(word, "CH") => &mut options.changed,
            _ => break,
        };
        *option = true;
        words = rest;
    }
    let (places, rest) = words.as_chunks::<3>();
    if !rest.is_empty() || (options.nx && options.xx) {
        return Err(CommandError::Syntax);
    }
    let pairs: SmallVec<[(f64, &[u8]); 4]> = places
        .iter()
        .map(|[longitude, latitude, member]| Ok((parse_point(longitude, latitude)?.score(), *member)))
        .collect::<Result<_, CommandError>>()?;
    add(cx, &cx.key(arguments, 1), options, &pairs)
}

fn geodist(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let unit_m = match arguments {
        [_, _, _, _] => 1.0,
        [_, _, _, _, unit] => metres_of(unit)?,
        _ => return Err(CommandError::Syntax),
    };
    let key = cx.key(arguments, 1);
    let Some(zset) = collection::read::<ZSet>(&cx.keys, &key)? else {
        cx.missed(&key);
        cx.reply.null();
        return Ok(());
    };
    match (zset.score(arguments[2]), zset.score(arguments[3])) {
        (Some(from), Some(to)) => {
            let metres = Point::of_score(from).distance_m(Point::of_score(to));
            write_distance(&mut cx.reply, metres / unit_m);
        }
        _ => cx.reply.null(),
    }
    Ok(())
}

fn geohash(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    for_each_member(cx, arguments, |reply, point| match point {
        Some(point) => reply.bulk(&point.text()),
        None => reply.null(),
    })
}

fn geopos(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    for_each_member(cx, arguments, |reply, point| match point {
        Some(point) => write_point(reply, point),
        None => reply.null_array(),
    })
}

fn for_each_member(
    cx: &mut Context<'_>,
    arguments: &[&[u8]],
    write: fn(&mut Reply<'_>, Option<Point>),
) -> CommandResult {
    let key = cx.key(arguments, 1);
    let zset = collection::read::<ZSet>(&cx.keys, &key)?;
    if zset.is_none() {
        cx.missed(&key);
    }
    cx.reply.array(arguments.len() - 2);
    for member in &arguments[2..] {
        let score = zset.and_then(|zset| zset.score(member));
        write(&mut cx.reply, score.map(Point::of_score));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_redis_writes_them() {
        assert_eq!(distance_text(0.0), "0.0000");
        assert_eq!(distance_text(0.000_26), "0.0003");
        assert_eq!(distance_text(166_274.151_56), "166274.1516");
        assert_eq!(distance_text(2.000_05), "2.0000");
        assert_eq!(degrees_text(180.0), "180");
        assert_eq!(degrees_text(-0.0), "0");
        assert_eq!(degrees_text(13.361_389_338_970_184), "13.36138933897018433");
    }
}
