//! The byte stream of a connection: plain TCP, TLS over TCP, or a unix socket.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

/// One client's bytes. Reading and writing are the same for the three kinds, so a connection need not know
/// which it has.
#[derive(Debug)]
pub enum NetStream {
    /// Plain.
    Tcp(TcpStream),
    /// Encrypted.
    Tls(Box<TlsStream<TcpStream>>),
    /// Local.
    Unix(UnixStream),
}

impl NetStream {
    /// Writes what goes out at once. Nothing went where it cannot be known without waiting: then
    /// [`poll_write`](AsyncWrite::poll_write) is to be asked. This is the shorter way for what nearly always
    /// succeeds.
    #[inline]
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let written = match self {
            NetStream::Tcp(stream) => stream.try_write(bytes),
            NetStream::Unix(stream) => stream.try_write(bytes),
            NetStream::Tls(_) => return Ok(0),
        };
        match written {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            other => other,
        }
    }

    /// Whether the other side has closed, though bytes of it have not been read yet.
    pub async fn is_left(&self) -> bool {
        let ready = async {
            match self {
                NetStream::Tcp(stream) => stream.ready(Interest::READABLE).await,
                NetStream::Tls(stream) => stream.get_ref().0.ready(Interest::READABLE).await,
                NetStream::Unix(stream) => stream.ready(Interest::READABLE).await,
            }
        };
        // Without bytes there would be a wait; then nothing was closed either.
        match tokio::time::timeout(Duration::ZERO, ready).await {
            Ok(Ok(ready)) => ready.is_read_closed(),
            Ok(Err(_)) => true,
            Err(_) => false,
        }
    }

    /// Says goodbye: TLS clients then know that nothing was cut off.
    pub async fn say_goodbye(&mut self) {
        use tokio::io::AsyncWriteExt;
        // The other side may be gone already, and then there is nobody to tell.
        drop(self.shutdown().await);
    }
}

impl AsyncRead for NetStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            NetStream::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            NetStream::Tls(stream) => match Pin::new(stream).poll_read(cx, buffer) {
                // Closed without a goodbye. What had come whole runs, as it does for clients without TLS.
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    Poll::Ready(Ok(()))
                }
                read => read,
            },
            NetStream::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for NetStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            NetStream::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            NetStream::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
            NetStream::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            // Only TLS keeps bytes back.
            NetStream::Tls(stream) => Pin::new(stream).poll_flush(cx),
            NetStream::Tcp(_) | NetStream::Unix(_) => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            NetStream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            NetStream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            NetStream::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
