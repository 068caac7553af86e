//! A blocking client that sees the bytes.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WantsClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{CipherSuite, ClientConfig, ClientConnection, ConfigBuilder, RootCertStore, StreamOwned};

use crate::value::{Value, parse};

/// A reply that has not come by then never comes: the test fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(90);

trait ReadWrite: Read + Write + Send {}
impl<T: Read + Write + Send> ReadWrite for T {}

/// One connection.
pub struct Client {
    stream: Box<dyn ReadWrite>,
    tcp: Option<TcpStream>,
    buffer: Vec<u8>,
    /// The cipher suite agreed upon, with TLS.
    pub cipher: Option<CipherSuite>,
}

impl Client {
    /// Over TCP.
    pub fn tcp(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        let tcp = stream.try_clone().expect("a second handle");
        Self { stream: Box::new(stream), tcp: Some(tcp), buffer: Vec::new(), cipher: None }
    }

    /// Through a unix socket.
    pub fn unix(path: &Path) -> Self {
        let stream = UnixStream::connect(path).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self { stream: Box::new(stream), tcp: None, buffer: Vec::new(), cipher: None }
    }

    /// Over TLS, calling the server by `name` and trusting the authority in the PEM file.
    pub fn tls(address: SocketAddr, name: &str, authority: &Path) -> std::io::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(authority).expect("a certificate")).expect("an authority");
        Self::tls_with(address, name, roots)
    }

    /// Over TLS, trusting `roots`.
    pub fn tls_with(address: SocketAddr, name: &str, roots: RootCertStore) -> std::io::Result<Self> {
        Self::tls_configured(address, name, trusting(roots).with_no_client_auth())
    }

    /// Over TLS, trusting `roots`, with a certificate of its own.
    pub fn tls_showing(
        address: SocketAddr,
        roots: RootCertStore,
        certificate: CertificateDer<'static>,
        key: PrivateKeyDer<'static>,
    ) -> std::io::Result<Self> {
        let config = trusting(roots).with_client_auth_cert(vec![certificate], key).expect("a good pair");
        Self::tls_configured(address, "localhost", config)
    }

    fn tls_configured(address: SocketAddr, name: &str, config: ClientConfig) -> std::io::Result<Self> {
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let connection = ClientConnection::new(Arc::new(config), name).expect("a connection");
        let mut stream = StreamOwned::new(connection, TcpStream::connect(address)?);
        stream.sock.set_read_timeout(Some(PATIENCE))?;
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        let tcp = stream.sock.try_clone()?;
        let cipher = stream.conn.negotiated_cipher_suite().map(|suite| suite.suite());
        Ok(Self { stream: Box::new(stream), tcp: Some(tcp), buffer: Vec::new(), cipher })
    }

    /// The socket, where it is TCP.
    pub fn tcp_stream(&self) -> &TcpStream {
        self.tcp.as_ref().expect("TCP")
    }

    /// Nothing has come, and the server has not closed.
    #[track_caller]
    pub fn check_still_open(&self, what: &str) {
        let stream = self.tcp_stream();
        stream.set_nonblocking(true).expect("a mode");
        let peeked = stream.peek(&mut [0]).map_err(|error| error.kind());
        stream.set_nonblocking(false).expect("a mode");
        assert_eq!(peeked, Err(ErrorKind::WouldBlock), "{what}");
    }

    /// Asks for RESP3.
    pub fn resp3(mut self) -> Self {
        let reply = self.value("HELLO 3");
        assert!(matches!(reply, Value::Map(_)), "{reply:?}");
        self
    }

    /// This end's address.
    pub fn address(&self) -> SocketAddr {
        self.tcp_stream().local_addr().expect("an address")
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).expect("the server reads");
    }

    /// Sends bytes to a server that may have closed.
    pub fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Sends a command as an array of bulk strings.
    pub fn send_command(&mut self, line: &str) {
        self.send(&encode(&words(line)));
    }

    /// Closes the sending half.
    pub fn finish(&mut self) {
        self.tcp_stream().shutdown(Shutdown::Write).expect("open");
    }

    /// The next reply's bytes.
    pub fn read_raw(&mut self) -> Vec<u8> {
        let (_, length) = self.read_frame();
        self.buffer.drain(..length).collect()
    }

    /// The next reply.
    pub fn read(&mut self) -> Value {
        let (value, length) = self.read_frame();
        self.buffer.drain(..length);
        value
    }

    fn read_frame(&mut self) -> (Value, usize) {
        loop {
            if let Some(frame) = parse(&self.buffer) {
                return frame;
            }
            let count = self.fill().expect("a reply");
            assert!(count > 0, "closed by the server; so far: {:?}", String::from_utf8_lossy(&self.buffer));
        }
    }

    fn fill(&mut self) -> std::io::Result<usize> {
        let mut chunk = [0; 64 * 1024];
        let count = self.stream.read(&mut chunk)?;
        self.buffer.extend_from_slice(&chunk[..count]);
        Ok(count)
    }

    /// All that comes until the server closes.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        loop {
            match self.fill() {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
                Err(error) if error.kind() == ErrorKind::BrokenPipe => break,
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
                // An alert of TLS.
                Err(error) if error.kind() == ErrorKind::InvalidData => break,
                Err(error) => panic!("the server did not close: {error}"),
            }
        }
        std::mem::take(&mut self.buffer)
    }

    /// Waits for the server's end of the connection; nothing may come before it.
    pub fn expect_closed(&mut self) {
        let rest = self.read_to_end();
        assert_eq!(String::from_utf8_lossy(&rest), "");
    }

    /// Sends a command and returns its reply.
    pub fn value(&mut self, line: &str) -> Value {
        self.send_command(line);
        self.read()
    }

    /// Sends a command of arbitrary words and returns its reply.
    pub fn call<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Value {
        self.send(&encode(words));
        self.read()
    }

    /// Sends a command and returns its reply's bytes, with `~` for line ends.
    pub fn raw(&mut self, line: &str) -> String {
        self.send_command(line);
        show(&self.read_raw())
    }

    /// Sends a command and compares the bytes of its reply; `~` stands for a line end.
    #[track_caller]
    pub fn check(&mut self, line: &str, expected: &str) {
        let reply = self.raw(line);
        assert_eq!(reply, expected, "{line}");
    }

    /// Compares the bytes of the next message, which nobody asked for; `~` stands for a line end.
    #[track_caller]
    pub fn check_next(&mut self, expected: &str) {
        let reply = show(&self.read_raw());
        assert_eq!(reply, expected);
    }

    /// Nothing has come that was not asked for.
    #[track_caller]
    pub fn check_silent(&mut self) {
        let reply = self.value("PING in-between");
        let plain = Value::Bulk(b"in-between".to_vec());
        let subscribed = Value::Array(vec![Value::Bulk(b"pong".to_vec()), plain.clone()]);
        assert!(reply == plain || reply == subscribed, "{reply:?}");
    }
}

fn trusting(roots: RootCertStore) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
}

/// Bytes as text, with `~` for line ends; bytes that are no text as `\xNN`.
pub fn show(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut index = 0;
    while index < bytes.len() {
        if bytes[index..].starts_with(b"\r\n") {
            text.push('~');
            index += 1;
        } else if (b' '..=b'~').contains(&bytes[index]) {
            text.push(bytes[index] as char);
        } else {
            text.push_str(&format!("\\x{:02x}", bytes[index]));
        }
        index += 1;
    }
    text
}

/// A command's bytes.
pub fn encode<W: AsRef<[u8]>>(words: &[W]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        let word = word.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Splits a line into words; `"` around a word with spaces, `\xNN` in quotes for any byte, `""` for an empty
/// word.
pub fn words(line: &str) -> Vec<Vec<u8>> {
    kvarts::config::split_arguments(line.as_bytes()).unwrap_or_else(|| panic!("quotes in {line:?}"))
}
