//! [`CopyLoader`]: loads a primary's copy of all data in the place of this server's own.

use std::io::{Cursor, Read};
use std::path::Path;
use std::sync::{Arc, Weak};

use super::load::{self, Purpose};
use crate::config::Directive;
use crate::engine::Server;
use crate::engine::following::Copies;
use crate::persistence::aof;
use crate::rdb::file::HEADER;

/// Name of a copy in errors.
const NAME: &str = "the copy of the primary's data";

/// Loads copies.
pub struct CopyLoader {
    server: Weak<Server>,
}

impl CopyLoader {
    /// Makes it for a server.
    pub fn new(server: &Arc<Server>) -> Self {
        Self { server: Arc::downgrade(server) }
    }
}

impl Copies for CopyLoader {
    fn load(&self, mut copy: Box<dyn Read + Send>) -> Result<(), String> {
        let server = self.server.upgrade().ok_or("the server ends")?;
        let mut head = Vec::new();
        (&mut copy).take(HEADER as u64).read_to_end(&mut head).map_err(|error| error.to_string())?;
        load::check_head(&server, &head, Path::new(NAME)).map_err(|error| error.to_string())?;
        tracing::info!("PRIMARY <-> REPLICA sync: Flushing old data");
        // The file would hold neither the old data nor the new: it begins anew when the copy is there.
        let file = server.append_only().filter(|_| server.config.flag(Directive::Appendonly));
        if let Some(file) = &file {
            Arc::clone(file).switch(false)?;
        }
        server.loading.begin(server.clock.now_ms());
        let source = Cursor::new(head).chain(copy);
        tracing::info!("PRIMARY <-> REPLICA sync: Loading DB in memory");
        let loaded = aof::load::empty(&server).map_err(|error| error.to_string()).and_then(|()| {
            load::load_from(&server, source, Path::new(NAME), Purpose::Base)
                .map_err(|error| error.to_string())
        });
        server.loading.end();
        if let Some(file) = file {
            file.switch(true)?;
        }
        loaded.map(|loaded| tracing::info!("PRIMARY <-> REPLICA sync: {} keys loaded", loaded.keys))
    }
}
