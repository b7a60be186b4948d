//! The one request that tests themselves send to a broker: make a topic. Knows nothing of records.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

const CREATE_TOPICS: u16 = 19;
/// The last version whose lengths are plain numbers.
const VERSION: u16 = 4;
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes a topic with one replica and the broker's own settings. It may be used when this answers.
///
/// # Errors
/// What the broker answered, with Kafka's number of the error, or how the connection failed.
pub(super) fn create_topic(address: &str, name: &str, partitions: i32) -> Result<(), String> {
    let answer = ask(address, &request(name, partitions)).map_err(|error| format!("{address}: {error}"))?;
    // Correlation, throttling, number of topics, then of the first its name and its error.
    let after_name = 4 + 4 + 4 + 2 + name.len();
    let error = answer.get(after_name..after_name + 2).ok_or("the answer is too short")?;
    match i16::from_be_bytes([error[0], error[1]]) {
        0 => Ok(()),
        code => Err(format!("topic {name}: error {code}: {}", String::from_utf8_lossy(&answer[after_name + 2..]))),
    }
}

fn request(name: &str, partitions: i32) -> Vec<u8> {
    let mut request = Vec::new();
    request.extend(CREATE_TOPICS.to_be_bytes());
    request.extend(VERSION.to_be_bytes());
    // Correlation, and no name of the client.
    request.extend(1_u32.to_be_bytes());
    request.extend((-1_i16).to_be_bytes());
    // One topic, one replica of each partition, no places and no settings of its own.
    request.extend(1_u32.to_be_bytes());
    request.extend(u16::try_from(name.len()).unwrap().to_be_bytes());
    request.extend(name.as_bytes());
    request.extend(partitions.to_be_bytes());
    request.extend(1_u16.to_be_bytes());
    request.extend(0_u32.to_be_bytes());
    request.extend(0_u32.to_be_bytes());
    // For so long the broker waits until it is there; and it is meant.
    request.extend(u32::try_from(PATIENCE.as_millis()).unwrap().to_be_bytes());
    request.push(0);
    request
}

/// Sends one request and answers with what comes back.
fn ask(address: &str, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&u32::try_from(request.len()).unwrap().to_be_bytes())?;
    stream.write_all(request)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}
