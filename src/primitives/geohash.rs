//! Places on the earth as numbers: longitude and latitude are cut into cells and their bits interleaved, 26
//! of each, so that near places mostly have near scores. Cells, distances and search areas are those of
//! Redis, so scores and replies are the same.

use std::ops::Range;

use smallvec::SmallVec;

/// Bits of each coordinate in a score.
const STEP_MAX: u32 = 26;

/// Radius of the earth, taken as a ball (Redis's figure), in metres.
const EARTH_RADIUS_M: f64 = 6_372_797.560_856;
/// Half of the map's circumference, in metres.
const MERCATOR_MAX_M: f64 = 20_037_726.37;

const LONGITUDES: Axis = Axis { min: -180.0, max: 180.0 };
/// Latitudes of the map, in degrees: between these it is square.
const LATITUDES: Axis = Axis { min: -85.051_128_78, max: 85.051_128_78 };
/// Latitudes of the standard geohash, which GEOHASH shows.
const ALL_LATITUDES: Axis = Axis { min: -90.0, max: 90.0 };

/// Characters of a standard geohash's text.
pub const TEXT_LEN: usize = 11;
const ALPHABET: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";

/// A place in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Degrees east of Greenwich.
    pub longitude: f64,
    /// Degrees north of the equator.
    pub latitude: f64,
}

impl Point {
    /// A point; `None` outside of the map.
    pub fn new(longitude: f64, latitude: f64) -> Option<Point> {
        (LONGITUDES.contains(longitude) && LATITUDES.contains(latitude))
            .then_some(Point { longitude, latitude })
    }

    /// Number of the point's cell, as a sorted set's score.
    pub fn score(self) -> f64 {
        Cell::of(self, STEP_MAX, LATITUDES).bits() as f64
    }

    /// The middle of the cell with this number.
    pub fn of_score(score: f64) -> Point {
        let bits = score as u64;
        let cell = Cell { x: compact(bits >> 1), y: compact(bits), step: STEP_MAX };
        let (x, y) = cell.sides();
        Point {
            longitude: LONGITUDES.clamp((x.min + x.max) / 2.0),
            latitude: LATITUDES.clamp((y.min + y.max) / 2.0),
        }
    }

    /// The standard geohash. Its last character stands for missing bits and is always the same.
    pub fn text(self) -> [u8; TEXT_LEN] {
        let bits = Cell::of(self, STEP_MAX, ALL_LATITUDES).bits();
        std::array::from_fn(|index| match (2 * STEP_MAX).checked_sub(5 * (index as u32 + 1)) {
            Some(shift) => ALPHABET[(bits >> shift & 31) as usize],
            None => ALPHABET[0],
        })
    }

    /// Distance to another point, in metres.
    pub fn distance_m(self, to: Point) -> f64 {
        let (from_latitude, to_latitude) = (radians(self.latitude), radians(to.latitude));
        let across = ((radians(to.longitude) - radians(self.longitude)) / 2.0).sin();
        if across == 0.0 {
            return latitude_distance_m(self.latitude, to.latitude);
        }
        let along = ((to_latitude - from_latitude) / 2.0).sin();
        let haversine = along * along + from_latitude.cos() * to_latitude.cos() * across * across;
        2.0 * EARTH_RADIUS_M * haversine.sqrt().asin()
    }
}

fn latitude_distance_m(from: f64, to: f64) -> f64 {
    EARTH_RADIUS_M * (radians(to) - radians(from)).abs()
}

fn radians(degrees: f64) -> f64 {
    degrees * (std::f64::consts::PI / 180.0)
}

fn degrees(radians: f64) -> f64 {
    radians / (std::f64::consts::PI / 180.0)
}

/// The shape of an area to be searched.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// All points within a distance of the centre.
    Circle {
        /// Metres.
        radius_m: f64,
    },
    /// All points within half the width to the east and west, and half the height to the north and south, of
    /// the centre.
    Rectangle {
        /// Metres from west to east.
        width_m: f64,
        /// Metres from south to north.
        height_m: f64,
    },
    /// Between these corners, in the order given.
    Polygon(Vec<Point>),
}

/// An area to be searched.
#[derive(Clone, Debug, PartialEq)]
pub struct Area {
    /// Point from which distances are measured.
    pub centre: Point,
    /// Which points belong to the area.
    pub shape: Shape,
}

impl Area {
    /// The area between these corners. Its centre is above the mean of the corners, taken as points in space.
    pub fn between(corners: Vec<Point>) -> Area {
        let (mut x, mut y, mut z) = (0.0, 0.0, 0.0);
        for corner in &corners {
            let (longitude, latitude) = (radians(corner.longitude), radians(corner.latitude));
            x += latitude.cos() * longitude.cos();
            y += latitude.cos() * longitude.sin();
            z += latitude.sin();
        }
        let count = corners.len() as f64;
        let (x, y, z) = (x / count, y / count, z / count);
        let centre =
            Point { longitude: degrees(y.atan2(x)), latitude: degrees(z.atan2((x * x + y * y).sqrt())) };
        Area { centre, shape: Shape::Polygon(corners) }
    }

    /// Distance of a point from the centre in metres; `None` outside of the area.
    pub fn distance_m(&self, point: Point) -> Option<f64> {
        let distance_m = self.centre.distance_m(point);
        let within = match &self.shape {
            Shape::Circle { radius_m } => distance_m <= *radius_m,
            Shape::Rectangle { width_m, height_m } => {
                let beside = Point { longitude: self.centre.longitude, ..point };
                latitude_distance_m(point.latitude, self.centre.latitude) <= height_m / 2.0
                    && point.distance_m(beside) <= width_m / 2.0
            }
            Shape::Polygon(corners) => is_between(corners, point),
        };
        within.then_some(distance_m)
    }

    /// Ranges of scores that cover the area: up to nine cells, in the order in which Redis searches them.
    pub fn scores(&self) -> SmallVec<[Range<f64>; 9]> {
        let bounds = self.bounds();
        let mut step = self.step();
        let mut centre = Cell::of(self.centre, step, LATITUDES);
        // Near a cell's edge the neighbour may be too small for what sticks out.
        if step > 1 && !centre.neighbours_reach(&bounds) {
            step -= 1;
            centre = Cell::of(self.centre, step, LATITUDES);
        }
        let (x, y) = centre.sides();
        // On sides where the area ends within the centre's cell, neighbours are left out. The largest cells
        // are all searched.
        let leaves_out = step >= 2;
        let west = !leaves_out || x.min >= bounds.longitudes.min;
        let east = !leaves_out || x.max <= bounds.longitudes.max;
        let south = !leaves_out || y.min >= bounds.latitudes.min;
        let north = !leaves_out || y.max <= bounds.latitudes.max;
        let wanted = [
            (true, 0, 0),
            (north, 0, 1),
            (south, 0, -1),
            (east, 1, 0),
            (west, -1, 0),
            (north && east, 1, 1),
            (north && west, -1, 1),
            (south && east, 1, -1),
            (south && west, -1, -1),
        ];
        let mut cells: SmallVec<[Cell; 9]> = SmallVec::new();
        for (_, east, north) in wanted.into_iter().filter(|(wanted, _, _)| *wanted) {
            let cell = centre.neighbour(east, north);
            // With very large cells a neighbour may be the same cell again.
            if cells.last() != Some(&cell) {
                cells.push(cell);
            }
        }
        cells.into_iter().map(Cell::scores).collect()
    }

    fn bounds(&self) -> Bounds {
        let (width_m, height_m) = match &self.shape {
            Shape::Circle { radius_m } => (*radius_m, *radius_m),
            Shape::Rectangle { width_m, height_m } => (width_m / 2.0, height_m / 2.0),
            Shape::Polygon(corners) => return Bounds::of(corners),
        };
        let Point { longitude, latitude } = self.centre;
        let up = degrees(height_m / EARTH_RADIUS_M);
        // A degree of longitude is shortest at the end nearer to a pole.
        let far = if latitude < 0.0 { latitude - up } else { latitude + up };
        let across = degrees(width_m / EARTH_RADIUS_M / radians(far).cos());
        Bounds {
            longitudes: Axis { min: longitude - across, max: longitude + across },
            latitudes: Axis { min: latitude - up, max: latitude + up },
        }
    }

    /// Bits of each coordinate of a cell that is at least as large as the area's radius.
    fn step(&self) -> u32 {
        let mut radius_m = match &self.shape {
            Shape::Circle { radius_m } => *radius_m,
            Shape::Rectangle { width_m, height_m } => {
                ((width_m / 2.0) * (width_m / 2.0) + (height_m / 2.0) * (height_m / 2.0)).sqrt()
            }
            Shape::Polygon(corners) => {
                corners.iter().map(|corner| self.centre.distance_m(*corner)).fold(0.0, f64::max)
            }
        };
        if radius_m == 0.0 {
            return STEP_MAX;
        }
        let mut step = 1i32;
        while radius_m < MERCATOR_MAX_M && step < 64 {
            radius_m *= 2.0;
            step += 1;
        }
        // Larger cells for what lies across a cell's edge, and still larger near the poles, where cells are
        // narrow.
        step -= 2;
        let latitude = self.centre.latitude.abs();
        if latitude > 66.0 {
            step -= 1;
        }
        if latitude > 80.0 {
            step -= 1;
        }
        step.clamp(1, STEP_MAX as i32) as u32
    }
}

/// Whether a ray from the point crosses the polygon's sides an odd number of times.
fn is_between(corners: &[Point], point: Point) -> bool {
    let Point { longitude: x, latitude: y } = point;
    let before = corners.iter().cycle().skip(corners.len().saturating_sub(1));
    let crossed = corners.iter().zip(before).filter(|(a, b)| {
        (a.latitude > y) != (b.latitude > y)
            && x < (b.longitude - a.longitude) * (y - a.latitude) / (b.latitude - a.latitude) + a.longitude
    });
    crossed.count() % 2 == 1
}

/// A range of degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Axis {
    min: f64,
    max: f64,
}

impl Axis {
    fn contains(self, degrees: f64) -> bool {
        (self.min..=self.max).contains(&degrees)
    }

    fn clamp(self, degrees: f64) -> f64 {
        degrees.clamp(self.min, self.max)
    }

    /// Index of the part, of 2^step, with these degrees; one beyond the last at the very end.
    fn part(self, degrees: f64, step: u32) -> u32 {
        ((degrees - self.min) / (self.max - self.min) * f64::from(1u32 << step)) as u32
    }

    /// The sides of a part, of 2^step.
    fn part_sides(self, part: u32, step: u32) -> Axis {
        let (parts, scale) = (f64::from(1u32 << step), self.max - self.min);
        let side = |part: f64| self.min + part / parts * scale;
        Axis { min: side(f64::from(part)), max: side(f64::from(part) + 1.0) }
    }
}

struct Bounds {
    longitudes: Axis,
    latitudes: Axis,
}

impl Bounds {
    fn of(corners: &[Point]) -> Bounds {
        let axis = |degrees: fn(&Point) -> f64| {
            let nothing = Axis { min: f64::INFINITY, max: f64::NEG_INFINITY };
            corners.iter().map(degrees).fold(nothing, |axis, degrees| Axis {
                min: axis.min.min(degrees),
                max: axis.max.max(degrees),
            })
        };
        Bounds { longitudes: axis(|corner| corner.longitude), latitudes: axis(|corner| corner.latitude) }
    }
}

/// A cell of the map, which is cut into 2^step in each direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    x: u32,
    y: u32,
    step: u32,
}

impl Cell {
    fn of(point: Point, step: u32, latitudes: Axis) -> Cell {
        Cell { x: LONGITUDES.part(point.longitude, step), y: latitudes.part(point.latitude, step), step }
    }

    /// Number of the cell: the bits of both coordinates interleaved, that of the longitude first.
    fn bits(self) -> u64 {
        spread(self.x) << 1 | spread(self.y)
    }

    /// Range of the scores of all points in it.
    fn scores(self) -> Range<f64> {
        let shift = 2 * (STEP_MAX - self.step);
        let bits = self.bits();
        (bits << shift) as f64..((bits + 1) << shift) as f64
    }

    fn sides(self) -> (Axis, Axis) {
        (LONGITUDES.part_sides(self.x, self.step), LATITUDES.part_sides(self.y, self.step))
    }

    /// The cell at a distance in cells, around the world where needed.
    fn neighbour(self, east: i32, north: i32) -> Cell {
        let mask = (1u32 << self.step) - 1;
        let moved = |at: u32, by: i32| if by == 0 { at } else { at.wrapping_add_signed(by) & mask };
        Cell { x: moved(self.x, east), y: moved(self.y, north), ..self }
    }

    /// Whether the neighbouring cells reach the bounds on every side.
    fn neighbours_reach(self, bounds: &Bounds) -> bool {
        self.neighbour(0, 1).sides().1.max >= bounds.latitudes.max
            && self.neighbour(0, -1).sides().1.min <= bounds.latitudes.min
            && self.neighbour(1, 0).sides().0.max >= bounds.longitudes.max
            && self.neighbour(-1, 0).sides().0.min <= bounds.longitudes.min
    }
}

/// Shifts and masks that put a zero before each bit of half a number, in five steps of half the distance
/// each.
const SPREAD: [(u32, u64); 5] = [
    (16, 0x0000_ffff_0000_ffff),
    (8, 0x00ff_00ff_00ff_00ff),
    (4, 0x0f0f_0f0f_0f0f_0f0f),
    (2, 0x3333_3333_3333_3333),
    (1, 0x5555_5555_5555_5555),
];

fn spread(value: u32) -> u64 {
    SPREAD.iter().fold(u64::from(value), |bits, (shift, mask)| (bits | bits << shift) & mask)
}

/// Every second bit, from the lowest on: [`spread`] undone.
fn compact(value: u64) -> u32 {
    let lowest = value & SPREAD[4].1;
    let masks = SPREAD.iter().rev().skip(1).map(|(_, mask)| *mask).chain([u64::from(u32::MAX)]);
    let shifts = SPREAD.iter().rev().map(|(shift, _)| *shift);
    shifts.zip(masks).fold(lowest, |bits, (shift, mask)| (bits | bits >> shift) & mask) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn point() -> impl Strategy<Value = Point> {
        (-180.0..180.0f64, -85.0..85.0f64).prop_map(|(longitude, latitude)| Point { longitude, latitude })
    }

    /// A place not far from another.
    fn near(centre: Point) -> impl Strategy<Value = Point> {
        (-3.0..3.0f64, -3.0..3.0f64).prop_map(move |(east, north)| Point {
            // At the very end of an axis the number of the cell has a bit too many, in Redis as here, and no
            // search finds it.
            longitude: (centre.longitude + east).clamp(-180.0, 179.999),
            latitude: (centre.latitude + north).clamp(-85.05, 85.05),
        })
    }

    proptest! {
        #[test]
        fn bits_alternate(x: u32, y: u32) {
            let bits = spread(x) << 1 | spread(y);
            prop_assert_eq!((compact(bits >> 1), compact(bits)), (x, y));
            for bit in 0..32 {
                prop_assert_eq!(bits >> (2 * bit) & 1, u64::from(y >> bit & 1));
            }
        }

        #[test]
        fn scores_read_back_to_within_a_metre(point in point()) {
            let back = Point::of_score(point.score());
            prop_assert!(point.distance_m(back) < 1.0);
            prop_assert_eq!(back.score(), point.score());
        }

        #[test]
        fn distances_are_symmetric(a in point(), b in point()) {
            prop_assert!((a.distance_m(b) - b.distance_m(a)).abs() < 1e-6);
            prop_assert_eq!(a.distance_m(a), 0.0);
        }

        /// What is within the area is within the scores that are searched for it.
        #[test]
        fn searched_cells_cover_the_area(
            (centre, points) in point().prop_flat_map(|centre| {
                (Just(centre), prop::collection::vec(near(centre), 1..20))
            }),
            size in 1.0..400_000.0f64,
            other in 1.0..400_000.0f64,
        ) {
            let polygon = Area::between(points.iter().copied().take(5).chain([centre]).collect());
            for area in [
                Area { centre, shape: Shape::Circle { radius_m: size } },
                Area { centre, shape: Shape::Rectangle { width_m: size, height_m: other } },
                polygon,
            ] {
                let ranges = area.scores();
                for point in &points {
                    let score = point.score();
                    let kept = Point::of_score(score);
                    if area.distance_m(kept).is_some() && (kept.longitude - centre.longitude).abs() < 170.0 {
                        prop_assert!(ranges.iter().any(|range| range.contains(&score)), "{area:?} {kept:?}");
                    }
                }
            }
        }
    }

    /// As a running Valkey replies them.
    #[test]
    fn places_are_those_of_valkey() {
        let palermo = Point::new(13.361389, 38.115556).unwrap();
        let catania = Point::new(15.087269, 37.502669).unwrap();
        assert_eq!(palermo.score(), 3_479_099_956_230_698.0);
        assert_eq!(catania.score(), 3_479_447_370_796_909.0);
        let (palermo, catania) = (Point::of_score(palermo.score()), Point::of_score(catania.score()));
        assert_eq!(&palermo.text(), b"sqc8b49rny0");
        assert_eq!(&catania.text(), b"sqdtr74hyu0");
        assert_eq!(format!("{:.4}", palermo.distance_m(catania)), "166274.1516");
        let around = Area::between(
            [(10.0, 30.0), (20.0, 30.0), (20.0, 40.0), (10.0, 40.0)]
                .map(|(longitude, latitude)| Point { longitude, latitude })
                .into(),
        );
        assert_eq!(around.distance_m(palermo).map(|metres| format!("{metres:.4}")).unwrap(), "365634.1492");
        assert_eq!(around.distance_m(catania).map(|metres| format!("{metres:.4}")).unwrap(), "267053.9696");
    }

    #[test]
    fn the_map_has_ends() {
        assert_eq!(Point::new(180.1, 0.0), None);
        assert_eq!(Point::new(0.0, 85.06), None);
        assert_eq!(Point::new(f64::NAN, 0.0), None);
        let corner = Point::new(180.0, 85.05112878).unwrap();
        assert_eq!(Point::of_score(corner.score()).longitude, 180.0);
        for score in [f64::NEG_INFINITY, -1.0, f64::MAX, f64::INFINITY] {
            assert!(Point::new(Point::of_score(score).longitude, Point::of_score(score).latitude).is_some());
        }
        let everywhere = Area { centre: corner, shape: Shape::Circle { radius_m: f64::INFINITY } };
        assert!(!everywhere.scores().is_empty());
    }
}
