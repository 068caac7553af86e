//! A node: the machines of `kvarts::replication` and `kvarts::journal`, moved as a server moves them, with data
//! as simple as can be.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use kvarts::aof::{Requests, Step as Read};
use kvarts::journal::{Entries, Journal, Sizes, SpillJob};
use kvarts::replication::failover::{self, Failover};
use kvarts::replication::follower::{PrimaryLink, Todo};
use kvarts::replication::handshake::{CopyForm, Introduction, request};
use kvarts::replication::{
    Absent, Announced, Asked, Copy, CopyEnd, Due, Follower, History, Intake, Limits, Link, Patience, Replica,
    Replicas, Stage, Standing, Step, StreamPlace, refusal,
};

use crate::data::{Data, Runner};
use crate::network::{Network, Side};
use crate::truth::Truth;

const SIZES: Sizes = Sizes { block: 128, batch: 256, fetch: 200, in_flight: 300 };

/// Silence after which a link is given up, in milliseconds.
const TIMEOUT_MS: u64 = 5000;

/// Milliseconds between two pings.
const PING_MS: u64 = 1000;

/// Milliseconds before a link is tried again.
const AGAIN_MS: u64 = 500;

/// What a node is configured with.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub backlog_bytes: u64,
    pub spill_bytes: u64,
    pub limits: Limits,
}

/// What a step needs of the world.
pub struct World<'w> {
    pub now_ms: u64,
    pub network: &'w mut Network,
    pub truth: &'w mut Truth,
    pub rng: &'w mut fastrand::Rng,
}

/// The data at one instant, as a file keeps them.
#[derive(Clone)]
pub struct Saved {
    data: Data,
    place: StreamPlace,
}

pub struct Node {
    pub number: usize,
    pub settings: Settings,
    pub history: History,
    pub journal: Arc<Journal>,
    pub standing: Standing,
    pub replicas: Replicas,
    pub absent: Absent,
    pub data: Data,
    pub failover: Failover,
    /// The node that is followed.
    pub primary: Option<usize>,
    pub up: Option<Up>,
    pub links: BTreeMap<u64, Down>,
    pub saved: Option<Saved>,
    pub file: File,
    copying: Option<Copying>,
    again_ms: u64,
    pinged_ms: u64,
    /// The id and the offset that it had last, unless it took a copy since.
    seen: Option<(String, u64)>,
    /// The greatest offset of each id that it ever had: what is on no disk is lost with its process.
    pub reached: BTreeMap<String, u64>,
}

/// The link to the primary.
#[derive(Debug)]
pub struct Up {
    pub connection: u64,
    link: PrimaryLink,
    input: Vec<u8>,
    unsent: Vec<u8>,
    stream: Option<(Intake, Runner)>,
    copy: Option<(CopyForm, Vec<u8>)>,
    loaded_ms: Option<u64>,
    heard_ms: u64,
}

/// A connection of somebody who may be a replica.
#[derive(Default)]
pub struct Down {
    requests: Requests,
    input: Vec<u8>,
    announced: Announced,
    link: Option<Link>,
    unsent: Bytes,
}

struct Copying {
    copy: Arc<Copy>,
    left: VecDeque<Bytes>,
}

/// The spill file.
#[derive(Default)]
pub struct File {
    pieces: BTreeMap<u64, Vec<u8>>,
    /// Whether it cannot be written.
    pub fails: bool,
}

impl Node {
    pub fn new(number: usize, settings: Settings) -> Self {
        let journal = Journal::with_sizes(SIZES);
        journal.set_spill_waker(|| {});
        journal.set_spill(settings.spill_bytes);
        Self {
            number,
            settings,
            history: History::default(),
            journal: Arc::new(journal),
            standing: Standing::default(),
            replicas: Replicas::default(),
            absent: Absent::default(),
            data: Data::default(),
            failover: Failover::default(),
            primary: None,
            up: None,
            links: BTreeMap::new(),
            saved: None,
            file: File::default(),
            copying: None,
            again_ms: 0,
            pinged_ms: 0,
            seen: None,
            reached: BTreeMap::new(),
        }
    }

    /// The offset of its data.
    pub fn offset(&self) -> u64 {
        if self.standing.is_replica() {
            self.standing.offset()
        } else {
            self.history.offset(self.journal.end())
        }
    }

    /// Whether it follows its primary, up to what that has sent.
    pub fn is_connected(&self) -> bool {
        self.up.as_ref().is_some_and(|up| up.stream.is_some())
    }

    /// What it is, for somebody who looks into a failure.
    pub fn state(&self) -> String {
        let Self { number, primary, history, journal, settings, copying, .. } = self;
        let links: Vec<_> = self.links.values().filter_map(|down| down.link.as_ref()).collect();
        format!(
            "node {number} follows {primary:?}, {} at {} of {}..{}, {settings:?}, copying: {}\n  up: {:?}\n  links: {links:?}",
            history.id(),
            self.offset(),
            journal.first(),
            journal.end(),
            copying.is_some(),
            self.up,
        )
    }

    /// What holds of a node at any time.
    pub fn check(&mut self, truth: &Truth) {
        if !self.history.is_kept() {
            return;
        }
        let (id, offset) = (self.history.id().to_owned(), self.offset());
        if self.standing.place(&self.history).is_some() || !self.standing.is_replica() {
            truth.check_data(&id, offset, self.data.fingerprint);
        }
        if let Some((seen, before)) = &self.seen {
            assert!(
                *seen != id || *before <= offset,
                "node {}: {offset} after {before} of {id}",
                self.number
            );
        }
        let reached = self.reached.entry(id.clone()).or_default();
        *reached = offset.max(*reached);
        self.seen = Some((id, offset));
    }

    /// Changes data, as a command or a transaction does.
    pub fn write(&mut self, world: &mut World<'_>) {
        let is_paused = self.failover.step() != failover::Step::None;
        if self.standing.is_replica() || is_paused {
            return;
        }
        let mut entries = Entries::default();
        let database = world.rng.usize(..3);
        for _ in 0..if world.rng.u8(..4) == 0 { world.rng.usize(2..5) } else { 1 } {
            let key = [b'k', b'0' + world.rng.u8(..10)];
            if world.rng.u8(..4) == 0 {
                self.data.delete(database, &key);
                entries.push(database, &[b"DEL", &key]);
            } else {
                let len =
                    if world.rng.u8(..10) == 0 { world.rng.usize(..400) } else { world.rng.usize(..30) };
                let value: Vec<u8> = (0..len).map(|_| world.rng.u8(b'a'..=b'z')).collect();
                self.data.set(database, &key, &value);
                entries.push(database, &[b"SET", &key, &value]);
            }
        }
        if self.journal.is_heard() {
            self.append(world.truth, |journal| journal.append(&entries));
        }
    }

    fn append(&self, truth: &mut Truth, append: impl FnOnce(&Journal) -> u64) {
        let before = self.journal.end();
        let reader = self.journal.listen_from(before, || {}).expect("the end is kept");
        append(&self.journal);
        let mut bytes = Vec::new();
        while let Some(stretch) = self.journal.read(&reader) {
            bytes.extend_from_slice(&stretch.bytes);
        }
        self.journal.leave(&reader);
        truth.write(self.history.id(), self.history.offset(before), &bytes, self.data.fingerprint);
    }

    fn tell_replicas(&self, truth: &mut Truth, words: &[&[u8]]) {
        if self.history.is_kept() && !self.journal.relays() {
            let mut entries = Entries::default();
            entries.push(None, words);
            self.append(truth, |journal| journal.append_for_links(&entries));
        }
    }

    fn begin_stream(&mut self, truth: &mut Truth) {
        let backlog_bytes = self.settings.backlog_bytes;
        if Standing::begin_stream(&mut self.history, &self.journal, backlog_bytes, || 1) {
            truth.begin(self.history.id(), None, 1, self.data.fingerprint);
        }
    }
}

/// Changes of the role.
impl Node {
    /// Follows another node, or none.
    pub fn follow(&mut self, primary: Option<usize>, world: &mut World<'_>) {
        if self.primary == primary {
            return;
        }
        match primary {
            Some(_) if !self.standing.is_replica() => {
                let was_followed = self.history.is_kept();
                self.begin_stream(world.truth);
                self.standing.become_replica(&self.history, &self.journal, was_followed);
                self.seen = None;
            }
            Some(_) => {}
            None => self.become_primary(world),
        }
        self.primary = primary;
        self.close_up(world);
        self.again_ms = world.now_ms;
    }

    fn become_primary(&mut self, world: &mut World<'_>) {
        let (before, last) = (self.history.id().to_owned(), self.standing.offset());
        let is_known = self.standing.place(&self.history).is_some();
        self.standing.become_primary(&mut self.history, &self.journal);
        let parent = is_known.then_some(&*before);
        world.truth.begin(self.history.id(), parent, last, self.data.fingerprint);
        self.replicas.expect(world.now_ms);
        self.cut_replicas(world);
    }

    fn cut_replicas(&mut self, world: &mut World<'_>) {
        let linked: Vec<u64> =
            self.links.iter().filter(|(_, down)| down.link.is_some()).map(|(id, _)| *id).collect();
        linked.into_iter().for_each(|connection| self.close_down(connection, world));
    }

    /// Its process ends and comes back with what was saved last.
    pub fn restart(&mut self, world: &mut World<'_>) {
        self.close_up(world);
        for connection in world.network.called_on(self.number) {
            self.close_down(connection, world);
            world.network.close(connection, Side::Primary);
        }
        if let Some(copying) = self.copying.take() {
            copying.copy.finish(CopyEnd::Failed);
        }
        let (primary, saved) = (self.primary, self.saved.clone());
        let reached = std::mem::take(&mut self.reached);
        *self = Self { saved, reached, again_ms: world.now_ms, ..Self::new(self.number, self.settings) };
        let saved = self.saved.clone();
        let place = saved.as_ref().map(|saved| saved.place.clone());
        self.data = saved.map(|saved| saved.data).unwrap_or_default();
        if let Some(primary) = primary {
            // As the configuration says, before the data are loaded.
            self.begin_stream(world.truth);
            self.standing.become_replica(&self.history, &self.journal, false);
            self.primary = Some(primary);
            if let Some(place) = place {
                self.standing.take_copy(&mut self.history, &self.journal, place);
            }
        } else if let Some(place) = place {
            let (id, offset) = (place.id.clone(), place.offset);
            Standing::resume_stream(&mut self.history, &self.journal, self.settings.backlog_bytes, place);
            world.truth.begin(self.history.id(), Some(&id), offset, self.data.fingerprint);
        }
    }

    /// Writes its data into a file.
    pub fn save(&mut self) {
        let is_known = !self.standing.is_replica() || self.standing.place(&self.history).is_some();
        if self.history.is_kept() && is_known {
            let database = self.journal.database().unwrap_or(0);
            let place = StreamPlace { id: self.history.id().to_owned(), offset: self.offset(), database };
            self.saved = Some(Saved { data: self.data.clone(), place });
        }
    }

    /// Begins a coordinated failover to whichever replica has everything first.
    pub fn begin_failover(&mut self, now_ms: u64) {
        let is_possible = !self.standing.is_replica() && self.replicas.online() > 0;
        if is_possible && self.failover.step() == failover::Step::None {
            self.failover.begin(None, Some(now_ms + 3000), false);
        }
    }

    pub fn give_up_failover(&mut self, world: &mut World<'_>) {
        let step = self.failover.step();
        self.failover.end();
        if step == failover::Step::InProgress {
            self.follow(None, world);
        }
    }

    /// Looks whether a replica can take over. Returns the node that does.
    pub fn look_after_failover(&mut self, world: &mut World<'_>) -> Option<usize> {
        if self.failover.step() != failover::Step::WaitsForSync {
            return None;
        }
        let online = self.replicas.in_stage(Stage::Online);
        let has =
            online.iter().map(|replica| ((String::new(), replica.announced.port), replica.acknowledged()));
        match self.failover.look(world.now_ms, self.offset(), has) {
            failover::Look::Wait => {
                if self.failover.asks(self.offset()) {
                    let before = self.offset();
                    self.tell_replicas(world.truth, &[b"REPLCONF", b"GETACK", b"*"]);
                    self.failover.has_asked(before..self.offset());
                }
                None
            }
            failover::Look::TooLate => {
                self.give_up_failover(world);
                None
            }
            failover::Look::Follow((_, port)) => {
                let target = usize::from(port) - 1;
                self.follow(Some(target), world);
                Some(target)
            }
        }
    }
}

/// The link to the primary.
impl Node {
    pub fn close_up(&mut self, world: &mut World<'_>) {
        if let Some(up) = self.up.take() {
            world.network.close(up.connection, Side::Replica);
        }
        self.again_ms = world.now_ms + AGAIN_MS;
    }

    /// Connects where it is time, and deals with at most so many bytes that have come.
    pub fn step_up(&mut self, max: usize, world: &mut World<'_>) {
        let Some(primary) = self.primary else { return };
        if self.up.is_none() {
            if world.now_ms >= self.again_ms {
                self.connect(primary, world);
            }
            return;
        }
        let is_open = self.hear(max, world).and_then(|()| self.take(world)).is_some();
        if !is_open {
            self.close_up(world);
        }
    }

    fn connect(&mut self, primary: usize, world: &mut World<'_>) {
        let introduction = Introduction {
            port: self.number as u16 + 1,
            version: "9.1.0".into(),
            has: self.standing.place(&self.history),
            hands_over: self.failover.step() == failover::Step::InProgress,
            ..Introduction::default()
        };
        let (link, first) = PrimaryLink::begin(introduction);
        let connection = world.network.connect(self.number, primary);
        self.up = Some(Up {
            connection,
            link,
            input: Vec::new(),
            unsent: first,
            stream: None,
            copy: None,
            loaded_ms: None,
            heard_ms: world.now_ms,
        });
    }

    /// Reads and sends. `None` where the link has ended.
    fn hear(&mut self, max: usize, world: &mut World<'_>) -> Option<()> {
        let up = self.up.as_mut()?;
        let bytes = world.network.receive(up.connection, Side::Replica, max)?;
        if !bytes.is_empty() {
            up.heard_ms = world.now_ms;
        }
        up.input.extend(bytes);
        let sent = world.network.send(up.connection, Side::Replica, &up.unsent);
        up.unsent.drain(..sent);
        (world.now_ms - up.heard_ms <= TIMEOUT_MS).then_some(())
    }

    /// Does what the link says. `None` where it has to end.
    fn take(&mut self, world: &mut World<'_>) -> Option<()> {
        loop {
            let up = self.up.as_mut()?;
            let todo = match up.link.next(&mut up.input) {
                Ok(todo) => todo,
                Err(_) => {
                    if up.link.has_asked() {
                        self.give_up_failover(world);
                    }
                    return None;
                }
            };
            match todo {
                Todo::Read => break,
                Todo::Send(bytes) => up.unsent.extend(bytes),
                Todo::Continue(id) => {
                    self.failover.end();
                    if self.standing.go_on(&mut self.history, id.as_deref()) {
                        self.cut_replicas(world);
                    }
                    self.begin_to_apply();
                }
                Todo::BeginCopy(form) => {
                    up.copy = Some((form, Vec::new()));
                    self.failover.end();
                }
                Todo::Load(bytes, is_end) => {
                    up.copy.as_mut()?.1.extend(bytes);
                    up.loaded_ms = is_end.then(|| world.now_ms + world.rng.u64(..300));
                }
                Todo::Apply(bytes) => self.apply(&bytes, world),
            }
        }
        if self.up.as_ref()?.loaded_ms.is_some_and(|at| world.now_ms >= at) {
            self.take_copy(world);
        }
        let up = self.up.as_mut()?;
        let asked = up.stream.as_mut().is_some_and(|(_, runner)| std::mem::take(&mut runner.asked));
        if let Some((offset, _)) =
            up.link.acknowledges(world.now_ms, asked, || (self.standing.offset(), None))
        {
            up.unsent.extend(request(&["REPLCONF", "ACK", &offset.to_string()]));
        }
        Some(())
    }

    fn begin_to_apply(&mut self) {
        let runner = Runner::in_database(self.journal.database().unwrap_or(0));
        let intake = Intake::new(&self.standing);
        self.up.as_mut().expect("it is there").stream = Some((intake, runner));
    }

    /// Puts a copy that is whole in the place of the data.
    fn take_copy(&mut self, world: &mut World<'_>) {
        let up = self.up.as_mut().expect("it is there");
        up.loaded_ms = None;
        let (form, bytes) = up.copy.take().expect("it has come");
        let (data, database) = Data::from_bytes(&bytes);
        self.data = data;
        let place = StreamPlace { id: form.id, offset: form.offset, database };
        self.standing.take_copy(&mut self.history, &self.journal, place);
        self.absent.clear();
        self.seen = None;
        self.up.as_mut().expect("it is there").link.begin_stream();
        self.cut_replicas(world);
        self.begin_to_apply();
    }

    fn apply(&mut self, bytes: &[u8], world: &mut World<'_>) {
        let Self { up, data, standing, journal, history, .. } = self;
        let Some((intake, runner)) = up.as_mut().and_then(|up| up.stream.as_mut()) else { return };
        intake.take(standing, bytes);
        let from = standing.received() - bytes.len() as u64;
        world.truth.check_bytes(history.id(), from, bytes);
        loop {
            let count = match intake.due(1 << 40).expect("it is a stream") {
                Due::Nothing => return,
                Due::Run(count) => world.rng.usize(1..=count),
                Due::NoRequest => panic!("no request in a stream"),
            };
            let (decoder, buffer) = intake.requests();
            let mut for_links = Vec::new();
            for index in 0..count {
                let mut words = Vec::new();
                decoder.arguments(buffer, index, &mut words);
                for_links.push(runner.run(data, &words));
            }
            intake.ran(standing, journal, &for_links, runner.database).expect("transactions are whole");
        }
    }
}

/// The links of replicas.
impl Node {
    pub fn close_down(&mut self, connection: u64, world: &mut World<'_>) {
        let Some(mut down) = self.links.remove(&connection) else { return };
        world.network.close(connection, Side::Primary);
        if let Some(link) = &mut down.link {
            let hold = link.end(&self.journal);
            self.replicas.remove(&link.replica, world.now_ms);
            let given_up = hold.and_then(|hold| self.absent.add(link.replica.name(), hold, world.now_ms));
            given_up.into_iter().for_each(|hold| self.journal.give_up(hold));
        }
    }

    /// Serves a connection: at most so many bytes that have come.
    pub fn step_down(&mut self, connection: u64, max: usize, world: &mut World<'_>) {
        let is_open =
            self.listen(connection, max, world).and_then(|()| self.send(connection, world)).is_some();
        if !is_open {
            self.close_down(connection, world);
        }
    }

    fn listen(&mut self, connection: u64, max: usize, world: &mut World<'_>) -> Option<()> {
        let bytes = world.network.receive(connection, Side::Primary, max)?;
        let mut down = self.links.remove(&connection).unwrap_or_default();
        if let Some(link) = down.link.as_ref().filter(|_| !bytes.is_empty()) {
            link.replica.heard(world.now_ms);
        }
        down.input.extend(bytes);
        let mut replies = Vec::new();
        let mut is_open = true;
        while let Ok(Read::Run(count)) = down.requests.step(&down.input) {
            for index in 0..count {
                let mut words = Vec::new();
                down.requests.decoder().arguments(&down.input, index, &mut words);
                let words: Vec<String> =
                    words.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect();
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                match self.command(connection, &mut down, &words, world) {
                    Some(reply) => replies.extend(reply.into_bytes()),
                    None => is_open = false,
                }
            }
            let dropped = down.requests.consume(&down.input, count).expect("no transactions");
            down.input.drain(..dropped);
        }
        if !replies.is_empty() {
            down.unsent = [&down.unsent[..], &replies].concat().into();
        }
        self.links.insert(connection, down);
        is_open.then_some(())
    }

    /// Runs a replica's command. `None` closes the connection.
    fn command(
        &mut self,
        connection: u64,
        down: &mut Down,
        words: &[&str],
        world: &mut World<'_>,
    ) -> Option<String> {
        let ok = Some("+OK\r\n".to_owned());
        match words {
            ["PING"] => Some("+PONG\r\n".into()),
            ["REPLCONF", "listening-port", port] => {
                down.announced.port = port.parse().expect("a port");
                ok
            }
            ["REPLCONF", "capa", ..] => {
                (down.announced.takes_new_ids, down.announced.takes_marked_copies) = (true, true);
                ok
            }
            ["REPLCONF", "version", _] => ok,
            ["REPLCONF", "ACK", offset] => {
                let offset: u64 = offset.parse().expect("an offset");
                if let Some(link) = &down.link {
                    link.acknowledge(&self.journal, &self.history, (offset, None), world.now_ms).ok()?;
                }
                Some(String::new())
            }
            ["PSYNC", id, next, rest @ ..] => {
                if rest == ["FAILOVER"] {
                    let is_replica = self.standing.is_replica();
                    if let Some(refusal) =
                        failover::refusal_to_take_over(is_replica, id.as_bytes(), self.history.id())
                    {
                        return Some(format!("-{refusal}\r\n"));
                    }
                    self.follow(None, world);
                }
                let is_connected = self.is_connected();
                let refusal = refusal(self.failover.step(), self.standing.is_replica(), is_connected);
                if let Some(refusal) = refusal {
                    return Some(format!("-{refusal}\r\n"));
                }
                let announced = down.announced.clone();
                let new = |stage| {
                    Arc::new(Replica::new(connection, "n".into(), announced, stage, world.now_ms, || {}))
                };
                let Self { history, journal, replicas, absent, .. } = self;
                let asked = Some((id.as_bytes(), next.parse().expect("a number")));
                down.link = Some(Asked { history, journal, replicas, absent }.follow(asked, new, || {}));
                Some(String::new())
            }
            other => panic!("{other:?} is no command of a replica"),
        }
    }

    fn send(&mut self, connection: u64, world: &mut World<'_>) -> Option<()> {
        let down = self.links.get_mut(&connection)?;
        let patience = Patience { timeout_ms: TIMEOUT_MS, limits: self.settings.limits };
        if let Some(link) = &mut down.link {
            let sign = link.look(&self.journal, patience, world.now_ms).ok()?;
            if let Some(sign) = sign.filter(|_| down.unsent.is_empty()) {
                down.unsent = Bytes::from_static(sign);
            }
        }
        loop {
            let sent = world.network.send(connection, Side::Primary, &down.unsent);
            down.unsent = down.unsent.slice(sent..);
            let Some(link) = down.link.as_mut().filter(|_| down.unsent.is_empty()) else { return Some(()) };
            match link.next(&self.journal, world.now_ms) {
                Step::Send(bytes) => down.unsent = bytes,
                Step::Online => {}
                Step::Wait => return Some(()),
                Step::End(_) => return None,
            }
        }
    }

    /// Pings replicas when it is time.
    pub fn ping(&mut self, world: &mut World<'_>) {
        let is_paused = self.failover.step() != failover::Step::None;
        if !is_paused && self.replicas.count() > 0 && world.now_ms - self.pinged_ms >= PING_MS {
            self.pinged_ms = world.now_ms;
            self.tell_replicas(world.truth, &[b"PING"]);
        }
    }

    /// Begins a copy for those that wait, or makes more of the one that is being made.
    pub fn step_copy(&mut self, world: &mut World<'_>) {
        let Some(copying) = &mut self.copying else { return self.begin_copy(world) };
        let copy = &copying.copy;
        let goes_on = copy.is_wanted() && copying.left.pop_front().is_some_and(|chunk| copy.push(chunk));
        if !goes_on || copying.left.is_empty() {
            copy.finish(if goes_on { CopyEnd::Whole } else { CopyEnd::Failed });
            self.copying = None;
        }
    }

    fn begin_copy(&mut self, world: &mut World<'_>) {
        if self.replicas.in_stage(Stage::Waits).is_empty() {
            return;
        }
        self.begin_stream(world.truth);
        let (followers, position) = Follower::all(&self.replicas, &self.journal);
        let is_marked = world.rng.bool();
        let replicas: Vec<_> = followers.iter().map(|follower| Arc::clone(&follower.replica)).collect();
        let copy = Arc::new(Copy::new(&replicas, is_marked));
        let (id, offset) = (self.history.id().to_owned(), self.history.offset(position));
        for follower in followers {
            follower.begin(&self.replicas, &self.journal, &copy, (&id, offset));
        }
        let data = self.data.to_bytes(self.journal.database().unwrap_or(0));
        let mark = format!("{:040x}", world.rng.u128(..));
        let all = match is_marked {
            true => [format!("$EOF:{mark}\r\n").as_bytes(), &data, mark.as_bytes()].concat(),
            false => [format!("${}\r\n", data.len()).as_bytes(), &data].concat(),
        };
        let left = all.chunks(world.rng.usize(50..2000)).map(Bytes::copy_from_slice).collect();
        self.copying = Some(Copying { copy, left });
    }

    /// The copy that is being made cannot be made.
    pub fn fail_copy(&mut self) {
        if let Some(copying) = self.copying.take() {
            copying.copy.finish(CopyEnd::Failed);
        }
    }

    /// Does what the spill file's thread does. Returns whether there was anything to do.
    pub fn step_file(&mut self) -> bool {
        let (journal, file) = (&self.journal, &mut self.file);
        let needed = journal.spilled_range();
        file.pieces.retain(|start, piece| !needed.is_empty() && start + piece.len() as u64 > needed.start);
        let mut did_something = false;
        while let Some(fetch) = journal.take_fetch() {
            did_something = true;
            let (start, piece) = file.pieces.range(..=fetch.position).next_back().expect("it is there");
            let rest = &piece[(fetch.position - start) as usize..];
            let bytes = Bytes::copy_from_slice(&rest[..rest.len().min(fetch.max_len as usize)]);
            journal.fetched(fetch, Some(bytes));
        }
        let used = file.pieces.values().map(|piece| piece.len() as u64).sum();
        if let Some(job) = journal.take_spill(used) {
            did_something = true;
            let SpillJob { position, pieces } = &job;
            if file.fails {
                journal.spill_failed();
            } else {
                file.pieces.insert(*position, pieces.concat());
                journal.spilled(&job);
            }
        }
        did_something
    }
}
