//! Just enough HTTP/1.1 to be cheap: where a head ends, its fields, and how long its body is. Knows no sockets.
//!
//! The lab shares two cores with the server it measures, so its receivers and producers parse by hand.

/// Greatest head that is read, in bytes.
pub(crate) const HEAD_BYTES_MAX: usize = 64 << 10;

/// How the body of a message ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyLength {
    Fixed(usize),
    Chunked,
    /// An answer without a length: the connection's end is its end.
    UntilClose,
}

/// The field lines of a head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// Name and trimmed value of each line that has a colon.
    pub(crate) fn iter(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            while !rest.is_empty() {
                let line = take_line(&mut rest);
                if let Some(colon) = line.iter().position(|b| *b == b':') {
                    return Some((&line[..colon], line[colon + 1..].trim_ascii()));
                }
            }
            None
        })
    }

    /// The first value of a field; `name` in lower case.
    pub(crate) fn get(self, name: &str) -> Option<&'a [u8]> {
        self.iter().find(|(have, _)| have.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }
}

/// The head of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestHead<'a> {
    pub(crate) method: &'a str,
    pub(crate) target: &'a str,
    pub(crate) fields: Fields<'a>,
    pub(crate) body: BodyLength,
    pub(crate) keep_alive: bool,
    pub(crate) expects_continue: bool,
}

/// The head of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AnswerHead {
    pub(crate) status: u16,
    pub(crate) body: BodyLength,
    pub(crate) keep_alive: bool,
    /// `Retry-After` in whole seconds, when it is a number.
    pub(crate) retry_after_s: Option<u64>,
}

/// Cuts the first line off `rest`, without its line end.
fn take_line<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let (line, after) = match rest.iter().position(|b| *b == b'\n') {
        Some(end) => (&rest[..end], &rest[end + 1..]),
        None => (*rest, &rest[rest.len()..]),
    };
    *rest = after;
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Length of the head with its empty line, if it is all there; bytes before `from` are known not to end it.
pub(crate) fn head_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from.saturating_sub(3);
    while let Some(found) = bytes.get(at..)?.iter().position(|b| *b == b'\n') {
        let end = at + found;
        if end >= 3 && &bytes[end - 3..=end] == b"\r\n\r\n" {
            return Some(end + 1);
        }
        at = end + 1;
    }
    None
}

struct Framing {
    body: Option<BodyLength>,
    keep_alive: bool,
    expects_continue: bool,
    retry_after_s: Option<u64>,
}

/// Reads the fields that say how a message is framed; `None` when a length is nonsense.
fn framing(fields: Fields<'_>) -> Option<Framing> {
    let mut framing = Framing { body: None, keep_alive: true, expects_continue: false, retry_after_s: None };
    for (name, value) in fields.iter() {
        // The length of the name settles nearly every line with one comparison.
        match name.len() {
            6 if name.eq_ignore_ascii_case(b"expect") => framing.expects_continue = true,
            10 if name.eq_ignore_ascii_case(b"connection") => {
                framing.keep_alive = !value.eq_ignore_ascii_case(b"close");
            }
            11 if name.eq_ignore_ascii_case(b"retry-after") => framing.retry_after_s = decimal(value),
            14 if name.eq_ignore_ascii_case(b"content-length") && framing.body.is_none() => {
                framing.body = Some(BodyLength::Fixed(usize::try_from(decimal(value)?).ok()?));
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => framing.body = Some(BodyLength::Chunked),
            _ => {}
        }
    }
    Some(framing)
}

fn decimal(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Parses the head of a request: `head` is what [`head_end`] measured. `None` when it is not HTTP/1.
pub(crate) fn request_head(head: &[u8]) -> Option<RequestHead<'_>> {
    let mut rest = head;
    let line = std::str::from_utf8(take_line(&mut rest)).ok()?;
    let mut words = line.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    if !version.starts_with("HTTP/1.") || method.is_empty() || target.is_empty() {
        return None;
    }
    let fields = Fields(rest);
    let framing = framing(fields)?;
    Some(RequestHead {
        method,
        target,
        fields,
        body: framing.body.unwrap_or(BodyLength::Fixed(0)),
        keep_alive: framing.keep_alive && version != "HTTP/1.0",
        expects_continue: framing.expects_continue,
    })
}

/// Parses the head of an answer. `None` when it is not HTTP/1.
pub(crate) fn answer_head(head: &[u8]) -> Option<AnswerHead> {
    let mut rest = head;
    let line = take_line(&mut rest);
    if !line.starts_with(b"HTTP/1.") {
        return None;
    }
    let status = u16::try_from(decimal(line.get(9..12)?)?).ok()?;
    let framing = framing(Fields(rest))?;
    let body = match status {
        100..=199 | 204 | 304 => BodyLength::Fixed(0),
        _ => framing.body.unwrap_or(BodyLength::UntilClose),
    };
    Some(AnswerHead {
        status,
        body,
        keep_alive: framing.keep_alive && body != BodyLength::UntilClose,
        retry_after_s: framing.retry_after_s,
    })
}

/// What [`unchunk`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Chunks {
    /// The last chunk is not there yet.
    Incomplete,
    /// Not a chunked body.
    Broken,
    /// All there: the body's bytes, and how many bytes of the input it took.
    Whole(Vec<u8>, usize),
}

/// Takes a chunked body apart once it is all in `bytes`.
pub(crate) fn unchunk(bytes: &[u8]) -> Chunks {
    let mut body = Vec::new();
    let mut at = 0;
    loop {
        let Some(line_end) = bytes[at..].iter().position(|b| *b == b'\n') else {
            return if bytes.len() - at > 1024 { Chunks::Broken } else { Chunks::Incomplete };
        };
        let line = bytes[at..at + line_end].trim_ascii();
        let digits = line.split(|b| *b == b';').next().unwrap_or_default();
        let size = std::str::from_utf8(digits).ok().and_then(|text| usize::from_str_radix(text.trim(), 16).ok());
        let Some(size) = size else { return Chunks::Broken };
        at += line_end + 1;
        if size == 0 {
            // Trailers, if any, end as a head does: with an empty line.
            if bytes[at..].starts_with(b"\r\n") {
                return Chunks::Whole(body, at + 2);
            }
            return head_end(bytes, at).map_or(Chunks::Incomplete, |end| Chunks::Whole(body, end));
        }
        let Some(end) = at.checked_add(size).and_then(|end| end.checked_add(2)) else { return Chunks::Broken };
        if bytes.len() < end {
            return Chunks::Incomplete;
        }
        body.extend_from_slice(&bytes[at..at + size]);
        at = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_request_is_read() {
        let text = b"POST /a?b=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nWebhook-Id:  msg_1 \r\n\r\nhello";
        let end = head_end(text, 0).unwrap();
        assert_eq!(&text[end..], b"hello");
        let head = request_head(&text[..end]).unwrap();
        assert_eq!((head.method, head.target, head.body), ("POST", "/a?b=1", BodyLength::Fixed(5)));
        assert_eq!(head.fields.get("webhook-id"), Some(&b"msg_1"[..]));
        assert!(head.keep_alive && !head.expects_continue);
    }

    #[test]
    fn an_answer_is_read() {
        let head = answer_head(b"HTTP/1.1 429 Too Many\r\nretry-after: 7\r\ncontent-length: 2\r\n\r\n").unwrap();
        assert_eq!((head.status, head.retry_after_s, head.body), (429, Some(7), BodyLength::Fixed(2)));
        assert!(!answer_head(b"HTTP/1.1 200 OK\r\n\r\n").unwrap().keep_alive);
        assert_eq!(answer_head(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap().body, BodyLength::Fixed(0));
    }

    #[test]
    fn chunks_are_joined() {
        let text = b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\nNEXT";
        assert_eq!(unchunk(text), Chunks::Whole(b"abcde".to_vec(), text.len() - 4));
        assert_eq!(unchunk(&text[..12]), Chunks::Incomplete);
        assert_eq!(unchunk(b"zz\r\n"), Chunks::Broken);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, from in 0usize..50) {
            let _ = head_end(&bytes, from);
            let _ = request_head(&bytes);
            let _ = answer_head(&bytes);
            let _ = unchunk(&bytes);
        }

        /// However the bytes of a head arrive, its end is found at the same place.
        #[test]
        fn the_end_is_found_in_pieces(cut in 0usize..44) {
            let text = b"POST / HTTP/1.1\r\nhost: x\r\na: b\r\n\r\nrest of it";
            let first = head_end(&text[..cut], 0);
            prop_assert_eq!(first.or_else(|| head_end(text, cut)), head_end(text, 0));
        }
    }
}
