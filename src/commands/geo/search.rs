//! Searches for places: GEOSEARCH, and GEORADIUS with its variants, which are older names of it with their
//! own order of arguments.

use crate::command::keys::{KeyPosition, KeyPositions, last_behind};
use crate::command::{Begin, Find, Flags, KeySpec, args};
use crate::commands::geo::points::{entry, metres_of, parse_point, write_distance, write_point};
use crate::commands::shared::collection;
use crate::commands::sorted_set::entered::enter_whole;
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::error::{CommandError, CommandResult};
use crate::keyspace::access::{Access, NoRoom};
use crate::keyspace::change::EventClass;
use crate::primitives::geohash::{Area, Point, Shape};
use crate::types::zset::{ScoreBound, ZSet};

const READS: u16 = KeySpec::RO | KeySpec::ACCESS;
const STORES: u16 = KeySpec::OW | KeySpec::UPDATE;

const SEARCH: &str =
    "O(N+log(M)) where N is the number of members near the area and M the size of the sorted set";
const FOUND: &str = "an array of members, each with what was asked for";
const FOUND_OR_COUNT: &str = "an array of members, each with what was asked for, or the number stored";

/// Entries of the commands in this file.
pub const COMMANDS: &[Command] = &[
    Command {
        arity: -7,
        summary: "Finds the members within a circle, a rectangle or a polygon.",
        syntax: "key [FROMMEMBER member | FROMLONLAT(longitude latitude)] (BYRADIUS radius (M | KM | FT | MI) | BYBOX width height (M | KM | FT | MI) | BYPOLYGON num-vertices longitude latitude [longitude latitude ...]) [ASC | DESC] [COUNT count [ANY]] [WITHCOORD] [WITHDIST] [WITHHASH]",
        since: "6.2.0",
        complexity: SEARCH,
        reply: FOUND,
        run: geosearch,
        ..entry("geosearch")
    },
    Command {
        arity: -8,
        flags: Flags::WRITE.and(Flags::DENYOOM),
        keys: &[KeySpec::one(1, STORES), KeySpec::one(2, READS)],
        summary: "Keeps the members within a circle, a rectangle or a polygon as a sorted set under a key.",
        syntax: "destination source [FROMMEMBER member | FROMLONLAT(longitude latitude)] (BYRADIUS radius (M | KM | FT | MI) | BYBOX width height (M | KM | FT | MI) | BYPOLYGON num-vertices longitude latitude [longitude latitude ...]) [ASC | DESC] [COUNT count [ANY]] [STOREDIST]",
        since: "6.2.0",
        complexity: SEARCH,
        reply: "the number of members of the result",
        run: geosearchstore,
        ..entry("geosearchstore")
    },
    Command {
        arity: -6,
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::MOVABLE_KEYS),
        keys: &[KeySpec::one(1, READS), target("STORE", 6), target("STOREDIST", 6)],
        moving_keys: Some(georadius_keys),
        summary: "Finds the members within a circle, or keeps them as a sorted set under a key.",
        syntax: "key longitude latitude radius (M | KM | FT | MI) [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC | DESC] [STORE key | STOREDIST key]",
        complexity: SEARCH,
        reply: FOUND_OR_COUNT,
        run: georadius,
        ..entry("georadius")
    },
    Command {
        arity: -6,
        summary: "Finds the members within a circle.",
        syntax: "key longitude latitude radius (M | KM | FT | MI) [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC | DESC]",
        since: "3.2.10",
        complexity: SEARCH,
        reply: FOUND,
        run: georadius_ro,
        ..entry("georadius_ro")
    },
    Command {
        arity: -5,
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::MOVABLE_KEYS),
        keys: &[KeySpec::one(1, READS), target("STORE", 5), target("STOREDIST", 5)],
        moving_keys: Some(georadiusbymember_keys),
        summary: "Finds the members within a circle around one of them, or keeps them as a sorted set under a key.",
        syntax: "key member radius (M | KM | FT | MI) [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC | DESC] [STORE key | STOREDIST key]",
        complexity: SEARCH,
        reply: FOUND_OR_COUNT,
        run: georadiusbymember,
        ..entry("georadiusbymember")
    },
    Command {
        arity: -5,
        summary: "Finds the members within a circle around one of them.",
        syntax: "key member radius (M | KM | FT | MI) [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT count [ANY]] [ASC | DESC]",
        since: "3.2.10",
        complexity: SEARCH,
        reply: FOUND,
        run: georadiusbymember_ro,
        ..entry("georadiusbymember_ro")
    },
];

const fn target(word: &'static str, from: i32) -> KeySpec {
    KeySpec {
        flags: STORES | KeySpec::VARIABLE_FLAGS,
        begin: Begin::Keyword { word, from },
        find: Find::Range { last: 0, step: 1, limit: 0 },
    }
}

/// The form of a command's arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// GEOSEARCH, and GEOSEARCHSTORE with its destination.
    Search { stores: bool },
    /// GEORADIUS and GEORADIUSBYMEMBER, the latter from a member, the read-only ones without STORE.
    Radius { from_member: bool, may_store: bool },
}

impl Form {
    /// Index of the source key.
    fn source(self) -> usize {
        if self == (Form::Search { stores: true }) { 2 } else { 1 }
    }

    /// Index of the first argument behind those at fixed places.
    fn options(self) -> usize {
        match self {
            Form::Search { .. } => self.source() + 1,
            Form::Radius { from_member: true, .. } => 5,
            Form::Radius { from_member: false, .. } => 6,
        }
    }
}

fn geosearch(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    search(cx, arguments, Form::Search { stores: false })
}

fn geosearchstore(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    search(cx, arguments, Form::Search { stores: true })
}

fn georadius(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    search(cx, arguments, Form::Radius { from_member: false, may_store: true })
}

fn georadius_ro(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    search(cx, arguments, Form::Radius { from_member: false, may_store: false })
}

fn georadiusbymember(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    search(cx, arguments, Form::Radius { from_member: true, may_store: true })
}

fn georadiusbymember_ro(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    search(cx, arguments, Form::Radius { from_member: true, may_store: false })
}

fn georadius_keys(arguments: &[&[u8]], found: &mut KeyPositions) {
    radius_keys(arguments, found, Form::Radius { from_member: false, may_store: true });
}

fn georadiusbymember_keys(arguments: &[&[u8]], found: &mut KeyPositions) {
    radius_keys(arguments, found, Form::Radius { from_member: true, may_store: true });
}

/// Finds the source key, and the key of STORE or STOREDIST; the last of several wins.
fn radius_keys(arguments: &[&[u8]], found: &mut KeyPositions, form: Form) {
    found.push(KeyPosition { argument: form.source(), flags: READS });
    // The options are read as if the centre's sorted set were missing: so every request that the command can
    // accept has its keys found.
    let target = match Options::parse(arguments, form, "", |_| Ok(None)) {
        Ok(options) => options.target,
        // A request with other errors still names the key, for COMMAND GETKEYS and for access control.
        Err(_) => last_behind(arguments, 5, &["STORE", "STOREDIST"], &[]),
    };
    found.extend(target.map(|argument| KeyPosition { argument, flags: STORES }));
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Nearest,
    Farthest,
}

/// The area to search, and what is done with the places found.
#[derive(Debug)]
struct Options {
    with_distance: bool,
    with_score: bool,
    with_point: bool,
    order: Option<Order>,
    count: Option<usize>,
    /// ANY: the first COUNT places found will do, not the nearest.
    any: bool,
    /// Index of the argument that is the destination key.
    target: Option<usize>,
    keeps_distances: bool,
    /// `None` where the centre is a member of a sorted set that is not there.
    area: Option<Area>,
    /// Length, in metres, of the unit in which distances are replied.
    unit_m: f64,
}

impl Options {
    /// Reads all arguments behind the name. `place_of` returns the place of a member, `None` if its sorted
    /// set is missing. `name` is the command's, for error texts.
    fn parse(
        arguments: &[&[u8]],
        form: Form,
        name: &str,
        place_of: impl Fn(&[u8]) -> Result<Option<Point>, CommandError>,
    ) -> Result<Self, CommandError> {
        let searches = matches!(form, Form::Search { .. });
        let (mut centre, mut shape) = (None, None);
        // The words by which the centre and the shape were given.
        let (mut centre_by, mut shape_by) = (None, None);
        let mut options = Options {
            with_distance: false,
            with_score: false,
            with_point: false,
            order: None,
            count: None,
            any: false,
            target: (form == Form::Search { stores: true }).then_some(1),
            keeps_distances: false,
            area: None,
            unit_m: 1.0,
        };
        if let Form::Radius { from_member, .. } = form {
            centre = if from_member {
                place_of(arguments[2])?
            } else {
                Some(parse_point(arguments[2], arguments[3])?)
            };
            // Redis does not read the radius if the member's sorted set is missing.
            if centre.is_some() {
                let at = form.options() - 2;
                (shape, options.unit_m) = parse_circle(arguments[at], arguments[at + 1])?;
            }
        }
        let mut words = &arguments[form.options()..];
        while let Some((word, rest)) = words.split_first() {
            words = rest;
            let is = |option| args::is(word, option);
            // One kind of centre and one of shape may be given; of several of a kind the last one counts. A
            // polygon's centre is its own.
            let is_centre = |option| is(option) && searches && centre_by.is_none_or(|by| by == option);
            let is_shape = |option| is(option) && searches && shape_by.is_none_or(|by| by == option);
            let has_polygon = shape_by == Some("BYPOLYGON");
            match rest {
                _ if is("WITHDIST") => options.with_distance = true,
                _ if is("WITHHASH") => options.with_score = true,
                _ if is("WITHCOORD") => options.with_point = true,
                _ if is("ANY") => options.any = true,
                _ if is("ASC") => options.order = Some(Order::Nearest),
                _ if is("DESC") => options.order = Some(Order::Farthest),
                [count, rest @ ..] if is("COUNT") => {
                    let count = usize::try_from(args::int(count)?).ok().filter(|count| *count > 0);
                    options.count = Some(count.ok_or(CommandError::text("ERR COUNT must be > 0"))?);
                    words = rest;
                }
                [_, rest @ ..]
                    if (is("STORE") || is("STOREDIST"))
                        && matches!(form, Form::Radius { may_store: true, .. }) =>
                {
                    options.target = Some(arguments.len() - rest.len() - 1);
                    options.keeps_distances = is("STOREDIST");
                    words = rest;
                }
                _ if is("STOREDIST") && form == (Form::Search { stores: true }) => {
                    options.keeps_distances = true;
                }
                [member, rest @ ..] if is_centre("FROMMEMBER") && !has_polygon => {
                    (centre, centre_by) = (place_of(member)?, Some("FROMMEMBER"));
                    words = rest;
                }
                [longitude, latitude, rest @ ..] if is_centre("FROMLONLAT") && !has_polygon => {
                    (centre, centre_by) = (Some(parse_point(longitude, latitude)?), Some("FROMLONLAT"));
                    words = rest;
                }
                [radius, unit, rest @ ..] if is_shape("BYRADIUS") => {
                    ((shape, options.unit_m), shape_by) = (parse_circle(radius, unit)?, Some("BYRADIUS"));
                    words = rest;
                }
                [width, height, unit, rest @ ..] if is_shape("BYBOX") => {
                    let rectangle = parse_rectangle(width, height, unit)?;
                    ((shape, options.unit_m), shape_by) = (rectangle, Some("BYBOX"));
                    words = rest;
                }
                [count, rest @ ..] if is_shape("BYPOLYGON") && centre_by.is_none() => {
                    let (corners, rest) = parse_corners(count, rest, name)?;
                    (shape, shape_by) = (Some(Shape::Polygon(corners)), Some("BYPOLYGON"));
                    words = rest;
                }
                _ => return Err(CommandError::Syntax),
            }
        }
        options.check(form, name, centre_by.is_some(), shape.as_ref())?;
        options.area = match (centre, shape) {
            (_, Some(Shape::Polygon(corners))) => Some(Area::between(corners)),
            (Some(centre), Some(shape)) => Some(Area { centre, shape }),
            _ => None,
        };
        Ok(options)
    }

    /// Checks that the options go together.
    fn check(&self, form: Form, name: &str, has_centre: bool, shape: Option<&Shape>) -> CommandResult {
        if self.target.is_some() && (self.with_distance || self.with_score || self.with_point) {
            let what = match form {
                Form::Search { .. } => "GEOSEARCHSTORE",
                Form::Radius { .. } => "STORE option in GEORADIUS",
            };
            return Err(CommandError::new(format!(
                "ERR {what} is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
            )));
        }
        if let Form::Search { .. } = form {
            if !has_centre && !matches!(shape, Some(Shape::Polygon(_))) {
                return Err(CommandError::new(format!(
                    "ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for {name}"
                )));
            }
            if shape.is_none() {
                return Err(CommandError::new(format!(
                    "ERR exactly one of BYRADIUS, BYBOX and BYPOLYGON can be specified for {name}"
                )));
            }
        }
        if self.any && self.count.is_none() {
            return Err(CommandError::text("ERR the ANY argument requires COUNT argument"));
        }
        Ok(())
    }
}

fn size(word: &[u8], text: &'static str) -> Result<f64, CommandError> {
    args::float(word).map_err(|_| CommandError::text(text))
}

fn parse_circle(radius: &[u8], unit: &[u8]) -> Result<(Option<Shape>, f64), CommandError> {
    let radius = size(radius, "ERR need numeric radius")?;
    if radius < 0.0 {
        return Err(CommandError::text("ERR radius cannot be negative"));
    }
    let unit_m = metres_of(unit)?;
    Ok((Some(Shape::Circle { radius_m: radius * unit_m }), unit_m))
}

fn parse_rectangle(width: &[u8], height: &[u8], unit: &[u8]) -> Result<(Option<Shape>, f64), CommandError> {
    let width = size(width, "ERR need numeric width")?;
    let height = size(height, "ERR need numeric height")?;
    if width < 0.0 || height < 0.0 {
        return Err(CommandError::text("ERR height or width cannot be negative"));
    }
    let unit_m = metres_of(unit)?;
    Ok((Some(Shape::Rectangle { width_m: width * unit_m, height_m: height * unit_m }), unit_m))
}

/// The corners of a polygon, and the words behind them.
fn parse_corners<'w, 'a>(
    count: &[u8],
    words: &'w [&'a [u8]],
    name: &str,
) -> Result<(Vec<Point>, &'w [&'a [u8]]), CommandError> {
    const CORNERS_MIN: usize = 3;
    let count = args::int(count)
        .ok()
        .and_then(|count| i32::try_from(count).ok())
        .ok_or(CommandError::text("ERR invalid number of vertices"))?;
    let (pairs, _) = words.as_chunks::<2>();
    let pairs = usize::try_from(count)
        .ok()
        .filter(|count| *count >= CORNERS_MIN)
        .and_then(|count| pairs.get(..count))
        .ok_or_else(|| {
            let name = name.to_ascii_uppercase();
            CommandError::new(format!("ERR {name} BYPOLYGON must have at least {CORNERS_MIN} vertices"))
        })?;
    let corners = pairs.iter().map(|[longitude, latitude]| parse_point(longitude, latitude));
    Ok((corners.collect::<Result<_, _>>()?, &words[2 * pairs.len()..]))
}

/// A place found.
struct Found {
    member: Vec<u8>,
    score: f64,
    point: Point,
    /// Distance from the centre, in the unit asked for.
    distance: f64,
}

fn search(cx: &mut Context<'_>, arguments: &[&[u8]], form: Form) -> CommandResult {
    let key = cx.key(arguments, form.source());
    let zset = collection::read::<ZSet>(&cx.keys, &key)?;
    if zset.is_none() {
        cx.missed(&key);
    }
    let place_of = |member: &[u8]| {
        let Some(zset) = zset else { return Ok(None) };
        let score = zset
            .score(member)
            .ok_or_else(|| CommandError::new(format!("ERR member {} does not exist", args::text(member))))?;
        Ok(Some(Point::of_score(score)))
    };
    let options = Options::parse(arguments, form, &args::text(arguments[0]), place_of)?;
    let found = match (zset, &options.area) {
        (Some(zset), Some(area)) => find(&cx.keys, zset, area, &options)?,
        _ => Vec::new(),
    };
    match options.target {
        Some(target) => keep(cx, arguments, form, target, &options, found),
        None => answer(cx, &options, &found),
    }
    Ok(())
}

/// Work of looking at a place, in the units of [`Access::work`].
const PLACE_WORK: usize = 5;

/// The members within the area, in the order and number asked for.
///
/// # Errors
/// There is no room for so much work.
fn find(keys: &Access<'_, '_>, zset: &ZSet, area: &Area, options: &Options) -> Result<Vec<Found>, NoRoom> {
    let limit = options.count.unwrap_or(usize::MAX);
    let stop_at = if options.any { limit } else { usize::MAX };
    let mut found = Vec::new();
    let ranks_of = |scores: std::ops::Range<f64>| {
        zset.score_range(ScoreBound::Inclusive(scores.start), ScoreBound::Exclusive(scores.end))
    };
    if keys.is_room_scarce() {
        let all: usize = area.scores().into_iter().map(|scores| ranks_of(scores).len()).sum();
        keys.may_take_units(all * PLACE_WORK)?;
    }
    for scores in area.scores() {
        if found.len() >= stop_at {
            break;
        }
        let within = zset.iter_ranks(ranks_of(scores)).filter_map(|(member, score)| {
            keys.work(PLACE_WORK);
            let point = Point::of_score(score);
            let distance = area.distance_m(point)? / options.unit_m;
            Some(Found { member: member.to_vec(), score, point, distance })
        });
        let room = stop_at - found.len();
        found.extend(within.take(room));
    }
    // Sorting, answering or storing them.
    keys.expect(found.len() * 20)?;
    // With COUNT and without ANY the nearest places are meant.
    let nearest = (options.count.is_some() && !options.any).then_some(Order::Nearest);
    match options.order.or(nearest) {
        Some(Order::Nearest) => found.sort_by(|a, b| a.distance.total_cmp(&b.distance)),
        Some(Order::Farthest) => found.sort_by(|a, b| b.distance.total_cmp(&a.distance)),
        None => {}
    }
    found.truncate(limit);
    Ok(found)
}

fn answer(cx: &mut Context<'_>, options: &Options, found: &[Found]) {
    let more = usize::from(options.with_distance)
        + usize::from(options.with_score)
        + usize::from(options.with_point);
    cx.reply.array(found.len());
    for Found { member, score, point, distance } in found {
        if more > 0 {
            cx.reply.array(1 + more);
        }
        cx.reply.bulk(member);
        if options.with_distance {
            write_distance(&mut cx.reply, *distance);
        }
        if options.with_score {
            cx.reply.int(*score as i64);
        }
        if options.with_point {
            write_point(&mut cx.reply, *point);
        }
    }
}

fn keep(
    cx: &mut Context<'_>,
    arguments: &[&[u8]],
    form: Form,
    target: usize,
    options: &Options,
    found: Vec<Found>,
) {
    let key = cx.key(arguments, target);
    let (count, dirty) = (found.len(), cx.dirty);
    if count > 0 {
        let limits = cx.server.settings.collections.zset();
        let mut zset = ZSet::new();
        zset.expect(count, found.iter().map(|found| found.member.len()).max().unwrap_or(0), &limits);
        for Found { member, score, distance, .. } in found {
            zset.set(&member, if options.keeps_distances { distance } else { score }, &limits);
        }
        collection::put(cx, &key, zset);
        let event = match form {
            Form::Search { .. } => "geosearchstore",
            Form::Radius { .. } => "georadiusstore",
        };
        collection::changed(cx, &key, EventClass::ZSET, event, count);
    } else if cx.keys.delete(&key) {
        cx.changed(&key, EventClass::GENERIC, "del");
    }
    // Not every replica knows polygons.
    if options.area.as_ref().is_some_and(|area| matches!(area.shape, Shape::Polygon(_))) && cx.dirty > dirty {
        enter_whole(cx, &key);
    }
    cx.reply.count(count);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEARCHES: Form = Form::Search { stores: false };
    const STORING: Form = Form::Radius { from_member: false, may_store: true };

    fn parse(text: &'static str, form: Form) -> Result<Options, String> {
        let words: Vec<&[u8]> = text.split_ascii_whitespace().map(str::as_bytes).collect();
        Options::parse(&words, form, "x", |_| Ok(None)).map_err(|error| error.to_string())
    }

    #[test]
    fn options_are_read() {
        let options = parse("x k fromlonlat 1 2 byradius 3 km desc count 4 any withdist", SEARCHES).unwrap();
        assert_eq!((options.order, options.count, options.any), (Some(Order::Farthest), Some(4), true));
        assert!(options.with_distance && !options.with_score && !options.with_point);
        assert_eq!(options.area.unwrap().shape, Shape::Circle { radius_m: 3000.0 });
        let options = parse("x k bypolygon 3 0 0 1 0 0 1 asc", SEARCHES).unwrap();
        assert!(matches!(options.area.unwrap().shape, Shape::Polygon(corners) if corners.len() == 3));
        // A centre in a sorted set that is not there.
        assert!(parse("x k frommember m bybox 1 1 m", SEARCHES).unwrap().area.is_none());
        for wrong in [
            "x k fromlonlat 1 2 frommember m byradius 1 m",
            "x k fromlonlat 1 2 byradius 1 m bybox 1 1 m",
            "x k fromlonlat 1 2 bypolygon 3 0 0 1 0 0 1",
            "x k bypolygon 3 0 0 1 0 0 1 fromlonlat 1 2",
            "x k fromlonlat 1 2 byradius 1 m store d",
        ] {
            assert_eq!(parse(wrong, SEARCHES).unwrap_err(), "ERR syntax error", "{wrong}");
        }
    }

    #[test]
    fn the_last_target_wins() {
        let keys = |text: &'static str| {
            let words: Vec<&[u8]> = text.split_ascii_whitespace().map(str::as_bytes).collect();
            let mut found = KeyPositions::new();
            georadius_keys(&words, &mut found);
            found.iter().map(|key| key.argument).collect::<Vec<_>>()
        };
        assert_eq!(keys("georadius k 1 2 3 km store a storedist b"), [1, 9]);
        assert_eq!(keys("georadius k 1 2 3 km withdist"), [1]);
        assert_eq!(keys("georadius k 1 2 3 km store"), [1]);
        assert!(parse("x k 1 2 3 km storedist d", STORING).unwrap().keeps_distances);
    }
}
