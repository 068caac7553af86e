//! Listening sockets: several addresses, IPv4 and IPv6, a unix socket.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream, UnixListener};

use crate::config::{Config, Directive};

/// Why the server cannot listen.
#[derive(Debug, Error)]
pub enum ListenError {
    /// An address of `bind` cannot be used.
    #[error("could not listen on {address}: {source}")]
    Address {
        /// The address as `bind` has it.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The unix socket cannot be made.
    #[error("could not open unix socket {path}: {source}")]
    Unix {
        /// `unixsocket`.
        path: String,
        /// Why.
        source: io::Error,
    },
}

/// An address to listen on.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// The address; port 0 lets the system choose.
    pub address: SocketAddr,
    /// Whether it may be missing on this machine (`-` before it).
    pub optional: bool,
}

/// The addresses that `bind` names, at this port. One with `-` before it may be missing on this machine.
///
/// # Errors
/// A host name that is not known.
pub fn addresses(bind: &str, port: u16) -> Result<Vec<Wanted>, ListenError> {
    let mut all = Vec::new();
    for word in bind.split_ascii_whitespace() {
        let (optional, name) = match word.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, word),
        };
        match addresses_of(name, port) {
            Ok(addresses) => all.extend(addresses.into_iter().map(|address| Wanted { address, optional })),
            Err(_) if optional => {}
            Err(source) => return Err(ListenError::Address { address: format!("{name}:{port}"), source }),
        }
    }
    Ok(all)
}

/// Listens on an address; `None` where it may be missing and is.
///
/// # Errors
/// An address that cannot be used.
pub fn open(wanted: Wanted, backlog: i32) -> Result<Option<TcpListener>, ListenError> {
    match listen(wanted.address, backlog) {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if wanted.optional && is_missing(&error) => Ok(None),
        Err(source) => Err(ListenError::Address { address: wanted.address.to_string(), source }),
    }
}

/// Listens on `unixsocket`, if one is set.
///
/// # Errors
/// When the path cannot be used.
pub fn unix(config: &Config) -> Result<Option<UnixListener>, ListenError> {
    let path = config.text(Directive::Unixsocket).to_string();
    if path.is_empty() {
        return Ok(None);
    }
    let failed = |source| ListenError::Unix { path: path.clone(), source };
    // A socket file left by an earlier run would be in the way. Anything else at that path is not ours to
    // remove.
    if std::fs::symlink_metadata(&path)
        .is_ok_and(|meta| std::os::unix::fs::FileTypeExt::is_socket(&meta.file_type()))
    {
        std::fs::remove_file(&path).map_err(failed)?;
    }
    let listener = UnixListener::bind(&path).map_err(failed)?;
    let mode = config.int(Directive::Unixsocketperm) as u32;
    if mode != 0 {
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode))
            .map_err(failed)?;
    }
    Ok(Some(listener))
}

/// What every accepted TCP socket gets: no delay of small writes, keepalive as configured (seconds; 0 for
/// none).
///
/// # Errors
/// When the socket is gone already.
pub fn prepare(stream: &TcpStream, keepalive_s: u64) -> io::Result<()> {
    stream.set_nodelay(true)?;
    if keepalive_s > 0 {
        let interval = std::time::Duration::from_secs((keepalive_s / 3).max(1));
        let keepalive = socket2::TcpKeepalive::new()
            .with_time(std::time::Duration::from_secs(keepalive_s))
            .with_interval(interval)
            .with_retries(3);
        socket2::SockRef::from(stream).set_tcp_keepalive(&keepalive)?;
    }
    Ok(())
}

fn addresses_of(name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok(match name {
        "*" => vec![SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)],
        "::*" => vec![SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)],
        name => (name, port).to_socket_addrs()?.collect(),
    })
}

fn listen(address: SocketAddr, backlog: i32) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(backlog.max(1))?;
    TcpListener::from_std(socket.into())
}

/// Errors that say that the address or its family does not exist here, rather than that it is taken.
fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT | libc::EPROTONOSUPPORT | libc::ENOPROTOOPT)
    )
}
