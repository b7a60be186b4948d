//! A row on its way, as bytes that both sides agree on, and the checksum of many. The bytes are those that the target takes
//! in bulk: a count of cells, then each with its length, all numbers with the high byte first. Must not know any table.

use sha2::{Digest, Sha256};

/// How a cell is written. Numbers and ids have the width of their column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// 64 bits.
    Big,
    /// 32 bits.
    Int,
    /// 16 bits.
    Small,
    Bool,
    Text,
    Bytes,
    /// 16 bytes of an id.
    Id,
    /// The same, from two numbers: its halves.
    Halves,
    /// Sealed bytes of the endpoint whose id is the last one before in the row; the name of the place.
    Sealed(&'static [u8]),
}

/// How many rows there are, and the sum of their hashes: the same in whatever order they are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) rows: u64,
    pub(crate) hashes: u128,
}

impl Sum {
    pub(crate) fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.hashes = self.hashes.wrapping_add(other.hashes);
    }
}

/// Adds rows up, cell by cell.
#[derive(Debug, Default)]
pub(crate) struct Adder {
    sum: Sum,
    row: Sha256,
}

impl Adder {
    pub(crate) fn cell(&mut self, value: Option<&[u8]>) {
        self.row.update(length(value));
        self.row.update(value.unwrap_or_default());
    }

    pub(crate) fn end_row(&mut self) {
        let digest = self.row.finalize_reset();
        let hash = digest.first_chunk().map_or(0, |first| u128::from_be_bytes(*first));
        self.sum.add(Sum { rows: 1, hashes: hash });
    }

    pub(crate) fn sum(&self) -> Sum {
        self.sum
    }
}

/// Length of a cell; that of NULL is −1.
fn length(value: Option<&[u8]>) -> [u8; 4] {
    value.map_or(-1, |value| i32::try_from(value.len()).unwrap_or(i32::MAX)).to_be_bytes()
}

/// Rows being written.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    bytes: Vec<u8>,
    adder: Adder,
}

impl Rows {
    pub(crate) fn begin_row(&mut self, cells: usize) {
        self.bytes.extend_from_slice(&i16::try_from(cells).unwrap_or(i16::MAX).to_be_bytes());
    }

    pub(crate) fn cell(&mut self, value: Option<&[u8]>) {
        self.put(value);
        self.adder.cell(value);
    }

    /// A cell that differs each time it is sealed: what it holds is added up.
    pub(crate) fn sealed_cell(&mut self, sealed: &[u8], plain: &[u8]) {
        self.put(Some(sealed));
        self.adder.cell(Some(plain));
    }

    fn put(&mut self, value: Option<&[u8]>) {
        self.bytes.extend_from_slice(&length(value));
        self.bytes.extend_from_slice(value.unwrap_or_default());
    }

    pub(crate) fn end_row(&mut self) {
        self.adder.end_row();
    }

    pub(crate) fn sum(&self) -> Sum {
        self.adder.sum()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row<'a> = &'a [Option<&'a [u8]>];

    fn sum(rows: &[Row<'_>]) -> Sum {
        let mut adder = Adder::default();
        for row in rows {
            row.iter().for_each(|cell| adder.cell(*cell));
            adder.end_row();
        }
        adder.sum()
    }

    #[test]
    fn the_sum_is_that_of_the_rows_in_any_order_and_of_no_others() {
        let (a, b): (Row<'_>, Row<'_>) = (&[Some(b"1"), None], &[Some(b"2"), Some(b"x")]);
        assert_eq!(sum(&[a, b]), sum(&[b, a]));
        assert_ne!(sum(&[a, b]), sum(&[a, a]));
        assert_ne!(sum(&[a]), sum(&[&[Some(b"1"), Some(b"")]]), "nothing is not empty");
        assert_ne!(sum(&[&[Some(b"12"), Some(b"3")]]), sum(&[&[Some(b"1"), Some(b"23")]]), "cells have borders");
    }

    #[test]
    fn what_is_sealed_is_added_up_as_what_it_holds() {
        let mut rows = Rows::default();
        rows.begin_row(1);
        rows.sealed_cell(b"\x01noise", b"secret");
        rows.end_row();
        assert_eq!(rows.sum(), sum(&[&[Some(b"secret")]]));
        assert_eq!(rows.into_bytes(), b"\x00\x01\x00\x00\x00\x06\x01noise");
    }
}
