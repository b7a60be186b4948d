//! What tests themselves say to a broker: make a topic, and take a record that no client would send.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// Requests, in versions whose lengths are plain numbers.
const CREATE_TOPICS: (u16, u16) = (19, 4);
const PRODUCE: (u16, u16) = (0, 3);
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes a topic with one replica and the broker's own settings. It may be used when this answers.
///
/// # Errors
/// What the broker answered, with Kafka's number of the error, or how the connection failed.
pub(super) fn create_topic(address: &str, name: &str, partitions: i32) -> Result<(), String> {
    let mut body = Vec::new();
    // One topic, one replica of each partition, no places and no settings of its own.
    body.extend(1_u32.to_be_bytes());
    body.extend(text(name));
    body.extend(partitions.to_be_bytes());
    body.extend(1_u16.to_be_bytes());
    body.extend(0_u32.to_be_bytes());
    body.extend(0_u32.to_be_bytes());
    // For so long the broker waits until it is there; and it is meant.
    body.extend(patience_ms());
    body.push(0);
    let answer = ask(address, CREATE_TOPICS, &body)?;
    // Correlation, throttling, number of topics, then of the first its name and its error.
    error_at(&answer, 4 + 4 + 4 + 2 + name.len(), name)
}

/// Appends one record to partition 0, with one header whose name is any bytes.
///
/// # Errors
/// As of [`create_topic`].
pub(super) fn append(address: &str, topic: &str, header: &[u8], value: &[u8]) -> Result<(), String> {
    let batch = batch(header, value);
    let mut body = Vec::new();
    // No transaction, acknowledged by all.
    body.extend((-1_i16).to_be_bytes());
    body.extend((-1_i16).to_be_bytes());
    body.extend(patience_ms());
    body.extend(1_u32.to_be_bytes());
    body.extend(text(topic));
    body.extend(1_u32.to_be_bytes());
    body.extend(0_i32.to_be_bytes());
    body.extend(u32::try_from(batch.len()).unwrap().to_be_bytes());
    body.extend(batch);
    let answer = ask(address, PRODUCE, &body)?;
    // Correlation, number of topics, name, number of partitions, partition.
    error_at(&answer, 4 + 4 + 2 + topic.len() + 4 + 4, topic)
}

/// A batch of one record, as it lies on the disk of a broker.
fn batch(header: &[u8], value: &[u8]) -> Vec<u8> {
    // No attributes, no later than the batch, the first of it, no key.
    let mut record = vec![0, 0, 0, 1];
    record.extend(varint(value.len()));
    record.extend(value);
    record.extend(varint(1));
    record.extend(varint(header.len()));
    record.extend(header);
    record.extend(varint(0));
    let mut checked = Vec::new();
    checked.extend(0_u16.to_be_bytes());
    checked.extend(0_u32.to_be_bytes());
    checked.extend(1_i64.to_be_bytes());
    checked.extend(1_i64.to_be_bytes());
    // From no producer that counts.
    checked.extend((-1_i64).to_be_bytes());
    checked.extend((-1_i16).to_be_bytes());
    checked.extend((-1_i32).to_be_bytes());
    checked.extend(1_u32.to_be_bytes());
    checked.extend(varint(record.len()));
    checked.extend(record);
    let mut rest = (-1_i32).to_be_bytes().to_vec();
    rest.push(2);
    rest.extend(crc32c(&checked).to_be_bytes());
    rest.extend(checked);
    let mut batch = 0_i64.to_be_bytes().to_vec();
    batch.extend(u32::try_from(rest.len()).unwrap().to_be_bytes());
    batch.extend(rest);
    batch
}

/// A length as records have it: zigzag, seven bits a byte.
fn varint(length: usize) -> Vec<u8> {
    let mut left = length << 1;
    let mut bytes = Vec::new();
    while left > 0x7f {
        bytes.push(u8::try_from(left & 0x7f).unwrap() | 0x80);
        left >>= 7;
    }
    bytes.push(u8::try_from(left).unwrap());
    bytes
}

/// The checksum of Castagnoli.
fn crc32c(bytes: &[u8]) -> u32 {
    let one = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 & 0_u32.wrapping_sub(crc & 1)))
    };
    !bytes.iter().fold(!0, one)
}

fn patience_ms() -> [u8; 4] {
    u32::try_from(PATIENCE.as_millis()).unwrap().to_be_bytes()
}

fn text(text: &str) -> Vec<u8> {
    let mut bytes = u16::try_from(text.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

fn error_at(answer: &[u8], at: usize, name: &str) -> Result<(), String> {
    let error = answer.get(at..at + 2).ok_or("the answer is too short")?;
    match i16::from_be_bytes([error[0], error[1]]) {
        0 => Ok(()),
        code => Err(format!("topic {name}: error {code}: {}", String::from_utf8_lossy(&answer[at + 2..]))),
    }
}

/// Sends one request and answers with what comes back.
fn ask(address: &str, (key, version): (u16, u16), body: &[u8]) -> Result<Vec<u8>, String> {
    let mut request = Vec::new();
    request.extend(key.to_be_bytes());
    request.extend(version.to_be_bytes());
    // Correlation, and no name of the client.
    request.extend(1_u32.to_be_bytes());
    request.extend((-1_i16).to_be_bytes());
    request.extend(body);
    exchange(address, &request).map_err(|error| format!("{address}: {error}"))
}

fn exchange(address: &str, request: &[u8]) -> std::io::Result<Vec<u8>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_checksums_are_those_of_kafka() {
        assert_eq!((varint(0), varint(1), varint(64), varint(300)), (vec![0], vec![2], vec![0x80, 1], vec![0xd8, 4]));
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }
}
