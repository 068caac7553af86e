//! [`CopyLoader`]: loads a primary's copy of all data beside this server's own, and puts it in their place.

use std::io::{Cursor, Read};
use std::path::Path;
use std::sync::{Arc, Weak};

use super::load::{self, Loaded, Purpose};
use crate::config::Directive;
use crate::engine::Server;
use crate::engine::following::{Copies, FullCopy};
use crate::keyspace::staged::Staged;
use crate::lua::functions::Policy;
use crate::rdb::file::HEADER;
use crate::replication::StreamPlace;

/// Name of a copy in errors.
const NAME: &str = "the copy of the primary's data";

/// Loads copies.
pub struct CopyLoader {
    server: Weak<Server>,
}

/// Ends the figures of loading, however it ends.
struct Figures<'s>(&'s Server);

impl Drop for Figures<'_> {
    fn drop(&mut self) {
        self.0.loading.end();
    }
}

impl CopyLoader {
    /// Makes it for a server.
    pub fn new(server: &Arc<Server>) -> Self {
        Self { server: Arc::downgrade(server) }
    }
}

impl Copies for CopyLoader {
    fn load(&self, copy: FullCopy) -> Result<(), String> {
        let server = self.server.upgrade().ok_or("the server ends")?;
        // One that was broken off is cleared away before the next, and files that are read again are loaded.
        let _turn = server.loading.turn();
        let FullCopy { mut source, id, offset, primary } = copy;
        let mut head = Vec::new();
        (&mut source).take(HEADER as u64).read_to_end(&mut head).map_err(|error| error.to_string())?;
        load::check_head(&server, &head, Path::new(NAME)).map_err(|error| error.to_string())?;
        tracing::info!("PRIMARY <-> REPLICA sync: Loading DB in memory");
        server.loading.begin_beside(server.clock.now_ms());
        let _figures = Figures(&server);
        let staged = server.keyspace.stage();
        let source = Cursor::new(head).chain(source);
        let loaded = load::load_from(&server, source, Path::new(NAME), Purpose::Base, Some(&staged))
            .map_err(|error| error.to_string())?;
        let keys = loaded.keys;
        // The file would hold neither the old data nor the new: it begins anew behind them.
        let file = server.append_only().filter(|_| server.config.flag(Directive::Appendonly));
        if let Some(file) = &file {
            Arc::clone(file).switch(false)?;
        }
        let database = loaded.replication.as_ref().map_or(0, |place| place.database);
        let place = StreamPlace { id, offset, database };
        let taken = {
            let _stream = server.following.hold_stream();
            if server.following.is_followed(&primary) {
                replace(&server, staged, &loaded, place)
            } else {
                Err("another primary is followed".to_owned())
            }
        };
        if let Some(file) = file {
            file.switch(true)?;
        }
        taken?;
        tracing::info!("PRIMARY <-> REPLICA sync: {keys} keys loaded");
        Ok(())
    }
}

/// Puts a copy in the place of the data. The caller holds the stream.
fn replace(server: &Server, staged: Staged<'_>, loaded: &Loaded, place: StreamPlace) -> Result<(), String> {
    let limit = crate::lua::memory_limit(&server.config);
    let sources: Vec<&[u8]> = loaded.functions.iter().map(Vec::as_slice).collect();
    {
        let turn = server.scripting.libraries.change();
        server
            .scripting
            .add_libraries(&turn, limit, &server.commands, &sources, Policy::Flush)
            .map_err(|error| error.to_string())?;
    }
    let removed = server.exchange_data(|exclusive, changes| {
        let removed = staged.take_over(exclusive, changes);
        server.took_copy(place);
        removed
    });
    tracing::info!("PRIMARY <-> REPLICA sync: Discarding old DB: {removed} keys");
    Ok(())
}
