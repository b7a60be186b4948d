//! Asks a server on this machine whether it is ready. Every question is over within two seconds.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(2);
/// Longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// Does the port take connections?
pub(crate) fn connects(port: u16) -> bool {
    connect(port).is_ok()
}

/// Is `GET path` answered with 2xx?
pub(crate) fn http(port: u16, path: &str) -> bool {
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    ask(port, &request, |answer| answer.split(' ').nth(1).is_some_and(|status| status.starts_with('2')))
}

/// Does Redis answer these words with a text in which `expected` stands?
pub(crate) fn redis(port: u16, password: &str, words: &str, expected: &str) -> bool {
    let request = format!("AUTH {password}\r\n{words}\r\nQUIT\r\n");
    ask(port, &request, |answer| answer.contains(expected))
}

fn ask(port: u16, request: &str, is_good: impl Fn(&str) -> bool) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = connect(port)?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| is_good(&answer))
}

fn connect(port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// A server that gives one answer to one connection.
    fn server(answer: &'static str) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut some = [0; 1024];
            let _ = stream.read(&mut some).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        });
        port
    }

    #[test]
    fn ready_is_what_answers_2xx() {
        assert!(http(server("HTTP/1.1 204 No Content\r\n\r\n"), "/ping"));
        assert!(!http(server("HTTP/1.1 503 Service Unavailable\r\n\r\n200"), "/ping"));
        assert!(!http(server(""), "/ping"));
    }

    #[test]
    fn redis_is_asked_with_its_password() {
        assert!(redis(server("+OK\r\n+PONG\r\n+OK\r\n"), "secret", "PING", "+PONG"));
        assert!(!redis(server("-WRONGPASS\r\n-NOAUTH\r\n+OK\r\n"), "wrong", "PING", "+PONG"));
    }
}
