//! A real nginx with the configuration that hookfast is deployed with, on a port of its own, in front of given
//! handlers. Knows nothing of what they do.

use crate::postgres::programs::{self, Daemon};
use crate::skip;
use rustix::process::Signal;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use tempfile::TempDir;

/// The file under test, as it is deployed; what differs from place to place it includes.
const CONFIG: &str = include_str!("../../../deploy/nginx.conf");

/// A running nginx. Ended, its files deleted, when dropped.
pub struct Nginx {
    // Before `home`: it must have ended when its files are deleted.
    process: Option<Daemon>,
    _home: TempDir,
    address: SocketAddr,
}

impl Nginx {
    /// Starts one that balances `handlers`, and answers when it takes connections. Where nginx is not installed the
    /// calling test is skipped, which is the `None`.
    ///
    /// # Panics
    /// When it is installed and cannot be started.
    #[must_use]
    pub fn start(handlers: &[SocketAddr]) -> Option<Self> {
        if let Some(missing) = programs::missing(&["nginx"]) {
            skip(&format!("no nginx: {missing}"));
            return None;
        }
        let (home, address) = (programs::home(), SocketAddr::from(([127, 0, 0, 1], programs::free_port())));
        let file = |name: &str, text: &str| std::fs::write(home.path().join(name), text).unwrap();
        std::fs::create_dir(home.path().join("nginx")).unwrap();
        let lines = handlers.iter().map(|handler| format!("server {handler} max_fails=1 fail_timeout=2s;\n"));
        file("nginx.conf", CONFIG);
        file("nginx/handlers.conf", &lines.collect::<String>());
        file("nginx/listen.conf", &format!("listen {address};\n"));
        let config = home.path().join("nginx.conf");
        let args = [Path::new("-e"), Path::new("stderr"), Path::new("-p"), home.path(), Path::new("-c"), &config];
        // Killed, the master would leave its workers serving: it is told to end.
        let mut process = Daemon::start("nginx", &args, "TERM", &home.path().join("log"));
        let ready = process.wait_until(|_| TcpStream::connect(address).is_ok());
        ready.unwrap_or_else(|status| panic!("{status} at the start of {process}"));
        Some(Self { process: Some(process), _home: home, address })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            process.end(Signal::TERM);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::{Arc, Mutex};

    /// A handler that gives every request the same answer and keeps what it read.
    struct Handler {
        address: SocketAddr,
        seen: Arc<Mutex<Vec<String>>>,
    }

    impl Handler {
        fn start(status: &'static str) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let (address, seen) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
            let kept = Arc::clone(&seen);
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    let mut stream = stream.unwrap();
                    let mut text = String::new();
                    let mut buffer = [0; 4096];
                    while !text.ends_with("END") {
                        let read = stream.read(&mut buffer).unwrap();
                        text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
                    }
                    kept.lock().unwrap().push(text);
                    let head = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}");
                    stream.write_all(head.as_bytes()).unwrap();
                }
            });
            Self { address, seen }
        }

        fn count(&self) -> usize {
            self.seen.lock().unwrap().len()
        }
    }

    fn post(nginx: &Nginx, more: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(nginx.address()).unwrap();
        let length = body.len();
        let head =
            format!("POST /webhook HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {length}\r\n{more}\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        // One that is refused by its head is not read to its end.
        let _ = stream.write_all(body.as_bytes());
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    }

    /// An address where nobody listens.
    fn nobody() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], programs::free_port()))
    }

    #[test]
    fn what_a_client_says_about_its_address_goes_no_further() {
        let handler = Handler::start("200 OK");
        let Some(nginx) = Nginx::start(&[handler.address]) else { return };
        let answer = post(&nginx, "x-forwarded-for: 6.6.6.6\r\n", "{}END");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let seen = handler.seen.lock().unwrap()[0].to_lowercase();
        assert!(seen.contains("x-forwarded-for: 127.0.0.1\r\n") && !seen.contains("6.6.6.6"), "{seen}");
        assert!(seen.contains("host: a\r\n") && seen.ends_with("\r\n\r\n{}end"), "{seen}");
    }

    #[test]
    fn what_one_handler_cannot_take_goes_to_another() {
        let (good, full) = (Handler::start("200 OK"), Handler::start("503 Service Unavailable"));
        let Some(nginx) = Nginx::start(&[full.address, nobody(), good.address]) else { return };
        for _ in 0..12 {
            let answer = post(&nginx, "", "{}END");
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        }
        assert_eq!(good.count(), 12);
        assert!(full.count() >= 1, "it was asked and passed over");
    }

    #[test]
    fn what_nobody_can_take_and_what_is_too_large_is_answered_in_json() {
        let Some(nginx) = Nginx::start(&[nobody(), nobody()]) else { return };
        for _ in 0..2 {
            let answer = post(&nginx, "", "{}END");
            assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("Retry-After: 1\r\n"), "{answer}");
            assert!(answer.ends_with("send it again later\"}"), "{answer}");
        }
        let answer = post(&nginx, "", &"x".repeat((1 << 20) + 1));
        assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("\"payload_too_large\""), "{answer}");
    }
}
