//! One kept connection to the server: writes a request, reads its answer. Knows HTTP only through `wire`.

use crate::EventKey;
use crate::wire::{self, AnswerHead, BodyLength, Chunks};
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Greatest answer that is read.
const ANSWER_BYTES_MAX: usize = 4 << 20;
const READ_BYTES: usize = 4 << 10;

/// What the server answered to one event.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) event: Option<EventKey>,
    pub(super) retry_after_s: Option<u64>,
    pub(super) keep_alive: bool,
}

pub(super) struct Link {
    stream: TcpStream,
    buf: Vec<u8>,
    filled: usize,
}

impl Link {
    pub(super) async fn dial(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buf: vec![0; READ_BYTES], filled: 0 })
    }

    /// Has the server closed it (or said something nobody asked for)?
    pub(super) fn is_stale(&self) -> bool {
        !matches!(self.stream.try_read(&mut [0; 1]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// After an error or when dropped half-way the connection must not be used again.
    pub(super) async fn exchange(&mut self, request: &[u8]) -> io::Result<Reply> {
        self.stream.write_all(request).await?;
        self.filled = 0;
        let mut scanned = 0;
        loop {
            if let Some(head_end) = wire::head_end(&self.buf[..self.filled], scanned) {
                let head = wire::answer_head(&self.buf[..head_end]).ok_or(io::ErrorKind::InvalidData)?;
                if (100..200).contains(&head.status) {
                    self.buf.copy_within(head_end..self.filled, 0);
                    self.filled -= head_end;
                    scanned = 0;
                    continue;
                }
                return self.rest(head, head_end).await;
            }
            scanned = self.filled;
            if self.filled > wire::HEAD_BYTES_MAX {
                return Err(io::ErrorKind::InvalidData.into());
            }
            self.read_more().await?;
        }
    }

    async fn rest(&mut self, head: AnswerHead, head_end: usize) -> io::Result<Reply> {
        let reply = |body: &[u8]| Reply {
            status: head.status,
            event: event_id(body),
            retry_after_s: head.retry_after_s,
            keep_alive: head.keep_alive,
        };
        loop {
            let body = &self.buf[head_end..self.filled];
            match head.body {
                BodyLength::Fixed(length) if body.len() >= length => return Ok(reply(&body[..length])),
                BodyLength::Fixed(length) if length > ANSWER_BYTES_MAX => return Err(io::ErrorKind::InvalidData.into()),
                BodyLength::Chunked => match wire::unchunk(body) {
                    Chunks::Whole(body, _) => return Ok(reply(&body)),
                    Chunks::Broken => return Err(io::ErrorKind::InvalidData.into()),
                    Chunks::Incomplete => {}
                },
                BodyLength::Fixed(_) | BodyLength::UntilClose => {}
            }
            if self.filled > ANSWER_BYTES_MAX {
                return Err(io::ErrorKind::InvalidData.into());
            }
            match self.read_more().await {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && head.body == BodyLength::UntilClose => {
                    return Ok(reply(&self.buf[head_end..self.filled]));
                }
                more => more?,
            }
        }
    }

    async fn read_more(&mut self) -> io::Result<()> {
        if self.buf.len() == self.filled {
            let room = self.buf.len() * 2;
            self.buf.resize(room, 0);
        }
        match self.stream.read(&mut self.buf[self.filled..]).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                self.filled += read;
                Ok(())
            }
        }
    }
}

/// The value of the first `"id"` of a JSON text; the lab's own payloads have none.
fn event_id(body: &[u8]) -> Option<EventKey> {
    const NAME: &[u8] = b"\"id\":";
    let mut rest = body;
    loop {
        let quote = rest.iter().position(|b| *b == b'"')?;
        rest = &rest[quote..];
        if let Some(value) = rest.strip_prefix(NAME) {
            let text = value.trim_ascii_start().strip_prefix(b"\"")?;
            let end = text.iter().position(|b| *b == b'"')?;
            return std::str::from_utf8(&text[..end]).ok().map(EventKey::of);
        }
        rest = &rest[1..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_found_wherever_it_stands() {
        let of = |text: &str| event_id(text.as_bytes());
        assert_eq!(of(r#"{"eventId":null,"id":"msg_1","x":"id"}"#), Some(EventKey::of("msg_1")));
        assert_eq!(of(r#"{"id": "msg_2"}"#), Some(EventKey::of("msg_2")));
        assert_eq!(of(r#"{"eventId":"id","#), None);
        assert_eq!(of(r#"{"id":7}"#), None);
    }
}
