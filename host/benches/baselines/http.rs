//! Just enough of HTTP/1.1 to load a server without using the machine up: keep-alive, and bodies of known length.

use std::{
    io::{self, Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use serde_json::Value;

/// One connection.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(64 << 10) })
    }

    /// Sends a request; the status and the body of the answer.
    pub fn send(&mut self, request: &[u8]) -> io::Result<(u16, &[u8])> {
        self.stream.write_all(request)?;
        self.buffer.clear();
        let head = loop {
            self.read()?;
            if let Some(at) = self.buffer.windows(4).position(|part| part == b"\r\n\r\n") {
                break at + 4;
            }
        };
        let text = std::str::from_utf8(&self.buffer[..head]).map_err(io::Error::other)?;
        let status = text.get(9..12).and_then(|code| code.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
        let length: usize = text
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .and_then(|(_, value)| value.trim().parse().ok())
            .unwrap_or(0);
        while self.buffer.len() < head + length {
            self.read()?;
        }
        Ok((status, &self.buffer[head..head + length]))
    }

    fn read(&mut self) -> io::Result<()> {
        let mut chunk = [0; 16 << 10];
        match self.stream.read(&mut chunk)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            n => {
                self.buffer.extend_from_slice(&chunk[..n]);
                Ok(())
            }
        }
    }
}

/// The bytes of a GET.
pub fn get(path: &str, authorization: &str) -> Vec<u8> {
    let authorization =
        if authorization.is_empty() { String::new() } else { format!("Authorization: {authorization}\r\n") };
    format!("GET {path} HTTP/1.1\r\nHost: bench\r\n{authorization}\r\n").into_bytes()
}

/// One request on a connection of its own; the JSON of an answer that must be a success.
pub fn request(address: &str, method: &str, path: &str, authorization: &str, body: &str) -> Value {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: {authorization}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut connection = Connection::open(address).expect("the server answers");
    let (status, body) = connection.send(request.as_bytes()).expect("an answer");
    let text = String::from_utf8_lossy(body).into_owned();
    assert!((200..300).contains(&status), "{method} {path}: {status} {text}");
    serde_json::from_str(&text).expect("JSON")
}

/// What a load measured.
pub struct Load {
    /// Answers.
    pub requests: f64,
    /// How long it took.
    pub seconds: f64,
    /// How long the slowest hundredth took at least, in milliseconds.
    pub p99_ms: f64,
}

/// Sends one request again and again over some connections for a time. Every answer must be 200.
pub fn load(address: &str, request: &[u8], connections: usize, time: Duration) -> Load {
    let started = Instant::now();
    let mut times: Vec<Duration> = Vec::new();
    std::thread::scope(|scope| {
        let one = || {
            let mut connection = Connection::open(address).expect("the server answers");
            let mut times = Vec::with_capacity(1 << 14);
            while started.elapsed() < time {
                let sent = Instant::now();
                let (status, body) = connection.send(request).expect("an answer");
                assert_eq!(status, 200, "{}", String::from_utf8_lossy(body));
                times.push(sent.elapsed());
            }
            times
        };
        let clients: Vec<_> = (0..connections).map(|_| scope.spawn(one)).collect();
        for client in clients {
            times.extend(client.join().expect("a client"));
        }
    });
    let seconds = started.elapsed().as_secs_f64();
    times.sort_unstable();
    let p99_ms = times[times.len() * 99 / 100].as_secs_f64() * 1000.0;
    #[expect(clippy::cast_precision_loss, reason = "counts of requests are small")]
    Load { requests: times.len() as f64, seconds, p99_ms }
}
