//! Files of rows (CSV, RFC 4180): each row becomes the JSON object that a request for one object would hold, so that
//! the same readers read both. Faults go the other way: from a pointer into the object to a line and a column.

use csv::{ByteRecord, ReaderBuilder};
use serde_json::{Map, Value};

use super::json;
use crate::{Error, FieldFault};

/// The most rows of a file, below its header: what one transaction makes well within its time.
pub const MAX_ROWS: usize = 1_000;

/// What the cells of a column hold. An empty cell is always an absent field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell {
    /// The text as it is.
    Text,
    /// `true` or `false`.
    Boolean,
    /// Texts with `;` between them.
    List,
    /// JSON, for what has no simpler form.
    Json,
}

/// The columns that a kind of file may have.
pub struct Columns {
    /// By name; `a.b` is the field `b` of the object `a`.
    pub fixed: &'static [(&'static str, Cell)],
    /// Objects whose names are the customer's own: any `metadata.…` is a text in `metadata`.
    pub open: &'static [&'static str],
}

impl Columns {
    fn cell(&self, name: &str) -> Option<Cell> {
        let fixed = self.fixed.iter().find(|(known, _)| *known == name).map(|(_, cell)| *cell);
        let in_open = || {
            let (object, inner) = name.split_once('.')?;
            (self.open.contains(&object) && !inner.is_empty()).then_some(Cell::Text)
        };
        fixed.or_else(in_open)
    }
}

/// A file that was read.
#[derive(Debug, Default)]
pub struct Table {
    /// Its rows in their order, blank ones left out.
    pub rows: Vec<Row>,
    /// What is wrong with its header: with such a fault no row means what its author meant.
    pub faults: Vec<FieldFault>,
}

/// One row.
#[derive(Debug)]
pub struct Row {
    /// The line it begins in, counted from 1.
    pub line: u64,
    /// The object it stands for.
    pub object: Value,
    /// What made it unreadable.
    pub faults: Vec<FieldFault>,
}

impl Row {
    /// A fault of the row's object, by line and column.
    #[must_use]
    pub fn locate(&self, fault: FieldFault) -> FieldFault {
        let mut names = fault.pointer.split('/').skip(1).map(|name| name.replace("~1", "/").replace("~0", "~"));
        let outer = names.next();
        let nested = |outer: &String| matches!(outer.as_str(), "utm" | "invite" | "custom_query" | "metadata");
        let column = match outer {
            Some(outer) if nested(&outer) => names.next().map_or(outer.clone(), |inner| format!("{outer}.{inner}")),
            Some(outer) => outer,
            None => return FieldFault { line: Some(self.line), ..fault },
        };
        FieldFault { line: Some(self.line), column: Some(column), ..fault }
    }
}

fn at(line: u64, column: Option<&str>, code: &str, detail: impl Into<String>) -> FieldFault {
    FieldFault { line: Some(line), column: column.map(str::to_owned), ..FieldFault::new("", code, detail) }
}

/// Reads a file. A byte order mark before the header is passed over.
///
/// # Errors
/// 422 where there is no header, or there are more than [`MAX_ROWS`] rows.
pub fn read(file: &[u8], columns: &Columns) -> Result<Table, Error> {
    let file = file.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(file);
    // Rows of another length are named one by one rather than ending the reading.
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(file);
    let mut records = reader.byte_records();
    let refused = |error: csv::Error| Error::Validation(vec![at(1, None, "format", error.to_string())]);
    let mut lines = Lines { file, at: 0, line: 1 };
    let Some(header) = records.next().transpose().map_err(refused)? else {
        return Err(Error::Validation(vec![at(1, None, "required", "the first line must name the columns")]));
    };
    let mut table = Table::default();
    let header = read_header(&header, columns, &mut table.faults);
    for record in records {
        let record = record.map_err(refused)?;
        let line = lines.of(&record);
        if record.iter().all(<[u8]>::is_empty) {
            continue;
        }
        if table.rows.len() == MAX_ROWS {
            let detail = format!("a file may have {MAX_ROWS} rows; send the rest as another");
            return Err(Error::Validation(vec![at(line, None, "length", detail)]));
        }
        table.rows.push(read_row(&record, line, &header));
    }
    Ok(table)
}

/// Counts lines up to records. The reader's own count is of where it stopped before a record, which is not yet the
/// record's line after a line end of two bytes or a blank line.
struct Lines<'a> {
    file: &'a [u8],
    at: usize,
    line: u64,
}

impl Lines<'_> {
    /// The line in which a record begins; records are asked for in their order.
    fn of(&mut self, record: &ByteRecord) -> u64 {
        let begin = record.position().and_then(|position| usize::try_from(position.byte()).ok()).unwrap_or(self.at);
        while let Some(byte) = self.file.get(self.at) {
            let next = self.file.get(self.at + 1);
            if self.at >= begin && !matches!(byte, b'\r' | b'\n') {
                break;
            }
            if *byte == b'\n' || *byte == b'\r' && next != Some(&b'\n') {
                self.line += 1;
            }
            self.at += 1;
        }
        self.line
    }
}

fn read_header(record: &ByteRecord, columns: &Columns, faults: &mut Vec<FieldFault>) -> Vec<Option<(String, Cell)>> {
    let mut seen: Vec<String> = vec![];
    let mut one = |name: &[u8]| {
        let name = String::from_utf8_lossy(name).trim().to_owned();
        let Some(cell) = columns.cell(&name) else {
            let known: Vec<&str> = columns.fixed.iter().map(|(known, _)| *known).collect();
            let open: Vec<String> = columns.open.iter().map(|object| format!("{object}.…")).collect();
            let detail = format!("is no column of this file; known are {}, {}", known.join(", "), open.join(", "));
            faults.push(at(1, Some(&name), "unknown_field", detail));
            return None;
        };
        if seen.contains(&name) {
            faults.push(at(1, Some(&name), "repeated", "stands in the header twice"));
            return None;
        }
        seen.push(name.clone());
        Some((name, cell))
    };
    record.iter().map(&mut one).collect()
}

fn read_row(record: &ByteRecord, line: u64, header: &[Option<(String, Cell)>]) -> Row {
    let mut row = Row { line, object: Value::Null, faults: vec![] };
    if record.len() != header.len() {
        let detail = format!("has {} cells where the header has {}", record.len(), header.len());
        row.faults.push(at(row.line, None, "length", detail));
        return row;
    }
    let mut object = Map::new();
    for (cell, column) in record.iter().zip(header) {
        let Some((name, kind)) = column else { continue };
        if cell.is_empty() {
            continue;
        }
        let value = match std::str::from_utf8(cell) {
            Ok(text) if !text.contains('\0') => value(text, *kind),
            _ => Err(("characters", "must be UTF-8 without U+0000".to_owned())),
        };
        match value {
            Ok(value) => match name.split_once('.') {
                Some((outer, inner)) => {
                    let outer = object.entry(outer).or_insert_with(|| Value::Object(Map::new()));
                    if let Value::Object(outer) = outer {
                        outer.insert(inner.to_owned(), value);
                    }
                }
                None => {
                    object.insert(name.clone(), value);
                }
            },
            Err((code, detail)) => {
                let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1").replacen('.', "/", 1));
                row.faults.push(FieldFault { pointer, ..at(line, Some(name), code, detail) });
            }
        }
    }
    row.object = Value::Object(object);
    row
}

fn value(text: &str, kind: Cell) -> Result<Value, (&'static str, String)> {
    Ok(match kind {
        Cell::Text => Value::String(text.to_owned()),
        Cell::Boolean => match text.to_ascii_lowercase().as_str() {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            // Its reader says what is wrong with it.
            _ => Value::String(text.to_owned()),
        },
        Cell::List => {
            let items = text.split(';').map(str::trim).filter(|item| !item.is_empty());
            Value::Array(items.map(|item| Value::String(item.to_owned())).collect())
        }
        Cell::Json => {
            let parsed = json::parse(text.as_bytes()).map_err(|_| "must be JSON, without U+0000 in its texts");
            parsed.map_err(|detail| ("format", detail.to_owned()))?
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const COLUMNS: Columns = Columns {
        fixed: &[
            ("name", Cell::Text),
            ("on", Cell::Boolean),
            ("tags", Cell::List),
            ("utm.source", Cell::Text),
            ("variants", Cell::Json),
        ],
        open: &["metadata"],
    };

    #[test]
    fn rows_become_objects() {
        let file = "\u{feff}name,on,tags,utm.source,metadata.a.b,variants\r\n\r\n\
                    \"A, \"\"B\"\"\nC\",TRUE, x ;;y,,1,\"[{\"\"key\"\":\"\"a\"\"}]\"\r\n\
                    ,,,,,\r\n\
                    D,maybe,,s,,\n";
        let table = read(file.as_bytes(), &COLUMNS).unwrap();
        assert!(table.faults.is_empty(), "{:?}", table.faults);
        let rows: Vec<_> = table.rows.iter().map(|row| (row.line, row.object.clone())).collect();
        let first = json!({"name": "A, \"B\"\nC", "on": true, "tags": ["x", "y"], "metadata": {"a.b": "1"}, "variants": [{"key": "a"}]});
        assert_eq!(rows, [(3, first), (6, json!({"name": "D", "on": "maybe", "utm": {"source": "s"}}))]);
    }

    #[test]
    fn faults_name_line_and_column() {
        let file = b"name,nmae,name,metadata.\nA,b,c,d\nB,\"\nC\xff,x,y,z\n".to_vec();
        let table = read(&file, &COLUMNS).unwrap();
        let found: Vec<_> = table.faults.iter().map(|f| (f.line, f.column.as_deref(), f.code.as_str())).collect();
        let header = |column, code| (Some(1), Some(column), code);
        assert_eq!(
            found,
            [header("nmae", "unknown_field"), header("name", "repeated"), header("metadata.", "unknown_field")]
        );
        let broken = &table.rows[1].faults[0];
        assert_eq!((broken.line, broken.code.as_str()), (Some(3), "length"), "{broken:?}");
        let table = read(b"name,variants\nA\xff,1\nB,{\n", &COLUMNS).unwrap();
        let found: Vec<_> = table
            .rows
            .iter()
            .flat_map(|row| &row.faults)
            .map(|f| (f.line, f.column.as_deref(), f.code.as_str()))
            .collect();
        assert_eq!(found, [(Some(2), Some("name"), "characters"), (Some(3), Some("variants"), "format")]);
        assert!(read(b"", &COLUMNS).is_err());
    }

    #[test]
    fn pointers_lead_back_to_columns() {
        let row = Row { line: 7, object: Value::Null, faults: vec![] };
        for (pointer, column) in [
            ("/name", Some("name")),
            ("/tags/1", Some("tags")),
            ("/utm/source", Some("utm.source")),
            ("/custom_query/a~1b", Some("custom_query.a/b")),
            ("/metadata", Some("metadata")),
            ("/variants/0/key", Some("variants")),
            ("", None),
        ] {
            let fault = row.locate(FieldFault::new(pointer, "x", "y"));
            assert_eq!((fault.line, fault.column.as_deref()), (Some(7), column), "{pointer}");
        }
    }
}
