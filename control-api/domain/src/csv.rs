//! CSV as finance takes it: RFC 4180, UTF-8 without a byte order mark, every row ended by CR LF. Texts that a
//! spreadsheet would run as a formula are neutralised; numbers stay numbers, negative ones too.
//!
//! Source of the rule: OWASP, "CSV Injection".

pub mod conversions;
pub mod traffic;

use std::{
    borrow::Cow,
    fmt::{Display, Write as _},
};

use csv::{Terminator, Writer, WriterBuilder};
use iso_currency::Currency;

/// Rows being written.
pub struct Table {
    writer: Writer<Vec<u8>>,
    /// The cell being written out.
    cell: String,
}

fn writer() -> Writer<Vec<u8>> {
    WriterBuilder::new().terminator(Terminator::CRLF).from_writer(vec![])
}

impl Table {
    /// Begins with a header.
    ///
    /// # Errors
    /// Never: it is written to memory.
    pub fn new(header: &[impl AsRef<[u8]>]) -> anyhow::Result<Self> {
        let mut table = Self { writer: writer(), cell: String::new() };
        table.writer.write_record(header)?;
        Ok(table)
    }

    /// A cell of text.
    ///
    /// # Errors
    /// Never: it is written to memory.
    pub fn text(&mut self, text: Option<&str>) -> anyhow::Result<()> {
        Ok(self.writer.write_field(text.map(neutralise).unwrap_or_default().as_ref())?)
    }

    /// A cell that a spreadsheet may reckon with.
    ///
    /// # Errors
    /// Never: it is written to memory.
    pub fn number(&mut self, number: Option<impl Display>) -> anyhow::Result<()> {
        self.cell.clear();
        if let Some(number) = number {
            write!(self.cell, "{number}")?;
        }
        Ok(self.writer.write_field(&self.cell)?)
    }

    /// A cell of what we wrote ourselves: ids, words, times. It can't begin like a formula.
    ///
    /// # Errors
    /// Never: it is written to memory.
    pub fn word(&mut self, word: Option<impl Display>) -> anyhow::Result<()> {
        self.number(word)
    }

    /// Ends a row.
    ///
    /// # Errors
    /// Where the row is not as wide as the first one since the last [`Self::take`].
    pub fn end_row(&mut self) -> anyhow::Result<()> {
        Ok(self.writer.write_record(None::<&[u8]>)?)
    }

    /// Takes what has been written so far, to be sent on.
    ///
    /// # Errors
    /// Never: it is written to memory.
    pub fn take(&mut self) -> anyhow::Result<Vec<u8>> {
        Ok(std::mem::replace(&mut self.writer, writer()).into_inner().map_err(|error| error.into_error())?)
    }
}

/// A text that no spreadsheet runs: `'` stands before one that begins like a formula, also in full width.
fn neutralise(text: &str) -> Cow<'_, str> {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']) {
        Cow::Owned(format!("'{text}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// An amount in minor units as a decimal number, with as many places as its currency has (ISO 4217): JPY none,
/// KWD three.
#[must_use]
pub fn decimal(minor: i64, currency: &str) -> String {
    let places = Currency::from_code(currency).and_then(Currency::exponent).unwrap_or(0);
    scaled(minor, places.into())
}

/// `value` with its decimal point moved `places` to the left.
fn scaled(value: i64, places: usize) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let digits = format!("{:0width$}", value.unsigned_abs(), width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    if places == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_rows_as_rfc_4180_says() {
        let mut table = Table::new(&["a", "b"]).unwrap();
        table.text(Some("say \"hi\", twice\r\n")).unwrap();
        table.number(Some(-5)).unwrap();
        table.end_row().unwrap();
        let first = table.take().unwrap();
        table.text(None).unwrap();
        table.number(None::<i64>).unwrap();
        table.end_row().unwrap();
        let whole = [first, table.take().unwrap()].concat();
        assert_eq!(String::from_utf8(whole).unwrap(), "a,b\r\n\"say \"\"hi\"\", twice\r\n\",-5\r\n,\r\n");
    }

    #[test]
    fn runs_no_formula() {
        for text in ["=1+1", "+49 30", "-2", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1"] {
            assert_eq!(neutralise(text), format!("'{text}"));
        }
        for text in ["", "a=1", "1-2", " =1", "'=1", "é"] {
            assert_eq!(neutralise(text), text);
        }
    }

    #[test]
    fn places_follow_the_currency() {
        for (minor, currency, text) in [
            (1_999, "USD", "19.99"),
            (-1_999, "USD", "-19.99"),
            (5, "EUR", "0.05"),
            (-5, "EUR", "-0.05"),
            (0, "EUR", "0.00"),
            (500, "JPY", "500"),
            (-500, "JPY", "-500"),
            (1_234, "KWD", "1.234"),
            (12, "KWD", "0.012"),
            (i64::MIN, "EUR", "-92233720368547758.08"),
        ] {
            assert_eq!(decimal(minor, currency), text, "{minor} {currency}");
        }
    }
}
