//! A connection that knows when it last moved a byte. How long a request takes says nothing on a slow link: a request is given
//! up when its connection is silent.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// When a connection last moved a byte, in either direction.
#[derive(Debug, Clone)]
pub(super) struct Activity {
    opened: Instant,
    /// Milliseconds since then.
    last: Arc<AtomicU64>,
}

impl Activity {
    fn new() -> Self {
        Activity { opened: Instant::now(), last: Arc::default() }
    }

    fn note(&self) {
        self.last.store(u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// When it last moved a byte.
    pub(super) fn last(&self) -> Instant {
        self.opened + Duration::from_millis(self.last.load(Ordering::Relaxed))
    }
}

/// A connection whose activity is noted.
pub(super) struct NotedStream {
    stream: TokioIo<TcpStream>,
    activity: Activity,
    /// A proxy is at its other end, which learns from each request where it goes.
    is_proxied: bool,
}

impl NotedStream {
    pub(super) fn new(stream: TokioIo<TcpStream>) -> Self {
        NotedStream { stream, activity: Activity::new(), is_proxied: false }
    }

    /// The same, where a proxy at its other end learns from each request where it goes.
    pub(super) fn proxied(self) -> Self {
        NotedStream { is_proxied: true, ..self }
    }

    fn note(&self, moved: &Poll<io::Result<usize>>) {
        if matches!(moved, Poll::Ready(Ok(1..))) {
            self.activity.note();
        }
    }
}

impl Connection for NotedStream {
    fn connected(&self) -> Connected {
        self.stream.connected().proxy(self.is_proxied).extra(self.activity.clone())
    }
}

impl Read for NotedStream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        // Ready without an error is data, or the end, after which nothing is waited for.
        if matches!(read, Poll::Ready(Ok(()))) {
            this.activity.note();
        }
        read
    }
}

impl Write for NotedStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.note(&written);
        written
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, buffers);
        this.note(&written);
        written
    }
}
