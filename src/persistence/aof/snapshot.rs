//! All data at one position of the journal, as the base of an append-only file.

use std::io::{self, Write};
use std::time::Duration;

use super::plain::PlainWriter;
use crate::config::Directive;
use crate::engine::Server;
use crate::journal::Begin;
use crate::persistence::save::{Begun, SaveError, begin_snapshot, pause_for_tests, write_snapshot};

/// Bytes that are gathered before they are written.
const CHUNK: usize = 256 << 10;

/// Pause before it is tried again to begin where another snapshot is being read.
const PAUSE: Duration = Duration::from_millis(10);

/// Whether another snapshot is being read or is about to begin: BGSAVE comes before a rewrite that was asked
/// for later. So it is while data are read again.
pub(in crate::persistence) fn is_in_the_way(server: &Server) -> bool {
    server.keyspace.handover.is_running()
        || server.loading.is_partial()
        || server.saving().is_some_and(|saving| saving.figures().in_progress)
}

/// Writes all data as it is at one position, as an RDB file or as requests. `at_begin` is called with that
/// place while nobody else is in the keyspace: what is changed from there on stands in the journal behind
/// it. Waits while another snapshot is being read; `is_cancelled` ends the wait and the writing.
///
/// # Errors
/// What writing says, or why the snapshot could not be read to its end.
pub(in crate::persistence) fn write(
    server: &Server,
    is_rdb: bool,
    at_begin: &mut dyn FnMut(Begin),
    is_cancelled: &dyn Fn() -> bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    let begun = loop {
        if !is_in_the_way(server)
            && let Some(begun) =
                begin_snapshot(server, is_cancelled, &mut |server| at_begin(server.journal().begin_part()))
        {
            break begun;
        }
        if is_cancelled() {
            return Err(cancelled());
        }
        std::thread::sleep(PAUSE);
    };
    if is_rdb {
        let mut progress = |_| if is_cancelled() { Err(SaveError::Cancelled) } else { Ok(()) };
        let written = write_snapshot(server, begun, true, &mut |bytes| out.write_all(bytes), &mut progress);
        return written.map_err(|error| match error {
            SaveError::Disk(error) => error,
            other => io::Error::other(other),
        });
    }
    let Begun { mut snapshot, libraries, .. } = begun;
    let mut writer = PlainWriter::default();
    if server.config.flag(Directive::AofTimestampEnabled) {
        writer.note_time(server.clock.now_ms() / 1000);
    }
    libraries.iter().for_each(|library| writer.library(&library.source));
    loop {
        if is_cancelled() {
            return Err(cancelled());
        }
        let keys = writer.keys();
        let more = snapshot.next(&mut writer).map_err(io::Error::other)?;
        if writer.bytes().len() >= CHUNK || !more {
            out.write_all(writer.bytes())?;
            writer.forget();
        }
        pause_for_tests(server, writer.keys() - keys);
        if !more {
            return Ok(());
        }
    }
}

fn cancelled() -> io::Error {
    io::Error::other("it was cancelled")
}
