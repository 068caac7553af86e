//! A server that does nothing but read and answer `+PONG`: what a request one at a time costs at least.
//!
//! `cargo bench --bench floor -- tokio 7000` (or `epoll 7000`) listens on a port of the loopback for half a
//! minute, on one thread; the load comes from elsewhere (`valkey-benchmark -p 7000 -t ping_mbulk -P 1`), and
//! what the process took a request is printed at the end. The difference to kvarts's figure for PING is what
//! kvarts itself does; what is left is the kernel's, and tokio's.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

const TIME: Duration = Duration::from_secs(30);
const ANSWER: &[u8] = b"+PONG\r\n";

/// Processor time of this process, user and system, in microseconds.
fn cpu_us() -> u64 {
    // Fields 14 and 15 are in hundredths of a second.
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or("").split_ascii_whitespace().collect();
    let field = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    (field(11) + field(12)) * 10_000
}

fn print(name: &str, requests: u64) {
    let each = cpu_us() as f64 / requests.max(1) as f64;
    println!("{name}: {requests} requests, {each:.2} us of the processor each");
}

/// One task a connection on a runtime of one thread.
fn with_tokio(port: u16) -> io::Result<u64> {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
        let serve = async {
            while let Ok((mut stream, _)) = listener.accept().await {
                let count = Arc::clone(&counted);
                drop(stream.set_nodelay(true));
                tokio::spawn(async move {
                    let mut buffer = [0; 4096];
                    while let Ok(1..) = stream.read(&mut buffer).await {
                        if stream.write_all(ANSWER).await.is_err() {
                            break;
                        }
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        };
        drop(tokio::time::timeout(TIME, serve).await);
        io::Result::Ok(())
    })?;
    Ok(count.load(Ordering::Relaxed))
}

/// One loop over the sockets that `epoll` names, level-triggered.
fn with_epoll(port: u16) -> io::Result<u64> {
    const EVENTS: usize = 256;
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    listener.set_nonblocking(true)?;
    // SAFETY: the call takes no memory of ours.
    let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    let watch = |fd: i32| {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: fd as u64 };
        // SAFETY: the event lives through the call, which copies it.
        unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &mut event) }
    };
    watch(listener.as_raw_fd());
    let (mut streams, mut count, end) = (HashMap::<i32, TcpStream>::new(), 0, Instant::now() + TIME);
    let (mut buffer, mut events) = ([0; 4096], [libc::epoll_event { events: 0, u64: 0 }; EVENTS]);
    while Instant::now() < end {
        // SAFETY: the array lives through the call and is as long as is said.
        let ready = unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), EVENTS as i32, 100) };
        for event in &events[..usize::try_from(ready).unwrap_or(0)] {
            let fd = event.u64 as i32;
            let Some(stream) = streams.get_mut(&fd) else {
                let (stream, _) = listener.accept()?;
                stream.set_nodelay(true)?;
                watch(stream.as_raw_fd());
                streams.insert(stream.as_raw_fd(), stream);
                continue;
            };
            if matches!(stream.read(&mut buffer), Ok(1..)) && stream.write_all(ANSWER).is_ok() {
                count += 1;
            } else {
                streams.remove(&fd);
            }
        }
    }
    Ok(count)
}

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let [kind, port] = &words[..] else { return Ok(()) };
    let port = port.parse().map_err(io::Error::other)?;
    let requests = if kind == "tokio" { with_tokio(port)? } else { with_epoll(port)? };
    print(kind, requests);
    Ok(())
}
