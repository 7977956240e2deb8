//! Parsers of single values: each checks one kind of value and says what is wrong with it.

use std::collections::BTreeMap;

use serde_json::Value;
use shared::{
    destination::{self, CustomQuery, Destination},
    name::Key,
};

use super::{Fault, Parsed, fault};
use model::time::Timestamp;

fn string(value: &Value) -> Parsed<&str> {
    value.as_str().map_or_else(|| fault("type", "must be a string"), Ok)
}

/// A text of 1 to `max` characters, without control characters but tabs and line ends.
pub fn text(max: usize) -> impl Fn(&Value) -> Parsed<String> {
    move |value| {
        let text = string(value)?;
        if text.trim().is_empty() || text.chars().count() > max {
            return fault("length", format!("must have 1 to {max} characters, not only spaces"));
        }
        if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            return fault("characters", "must not hold control characters");
        }
        Ok(text.to_owned())
    }
}

/// A text of one line, 1 to `max` characters: names, ids of the customer's own.
pub fn line(max: usize) -> impl Fn(&Value) -> Parsed<String> {
    move |value| {
        let line = text(max)(value)?;
        if line.chars().any(char::is_control) {
            return fault("characters", "must be one line without control characters");
        }
        Ok(line)
    }
}

/// A value of a closed set, or anything else that reads itself from a text.
pub fn word<T: std::str::FromStr<Err = String>>(value: &Value) -> Parsed<T> {
    string(value)?.parse().or_else(|detail: String| fault("value", detail))
}

/// A text of a known form, such as a time, that reads itself.
pub fn form<T: std::str::FromStr<Err = String>>(value: &Value) -> Parsed<T> {
    string(value)?.parse().or_else(|detail: String| fault("format", detail))
}

/// An id of a known kind.
pub fn id<K: shared::id::Kind>(value: &Value) -> Parsed<shared::Id<K>> {
    string(value)?.parse().or_else(|error: shared::id::IdError| fault("format", error.to_string()))
}

/// The key of a partner or program.
pub fn key(value: &Value) -> Parsed<Key> {
    Key::parse(string(value)?).or_else(|detail| fault("format", detail))
}

/// `true` or `false`.
pub fn boolean(value: &Value) -> Parsed<bool> {
    value.as_bool().map_or_else(|| fault("type", "must be true or false"), Ok)
}

/// A whole number within bounds. `1.0` is no whole number; one that is too long for 64 bits is out of bounds.
pub fn integer(bounds: std::ops::RangeInclusive<i64>) -> impl Fn(&Value) -> Parsed<i64> {
    move |value| match value.as_i64() {
        Some(number) if bounds.contains(&number) => Ok(number),
        Some(_) => fault("range", format!("must be {} to {}", bounds.start(), bounds.end())),
        // JSON's reader makes a float of what no integer holds.
        None if value.is_u64() || value.as_f64().is_some_and(|number| number.abs() >= WIDEST) => {
            fault("range", format!("must be {} to {}", bounds.start(), bounds.end()))
        }
        None => fault("type", "must be a whole number"),
    }
}

/// 2⁶³.
const WIDEST: f64 = 9_223_372_036_854_775_808.0;

/// A whole number within the bounds of a 32-bit column.
pub fn small(bounds: std::ops::RangeInclusive<i32>) -> impl Fn(&Value) -> Parsed<i32> {
    move |value| {
        let wide = integer(i64::from(*bounds.start())..=i64::from(*bounds.end()))(value)?;
        i32::try_from(wide).or_else(|_| fault("range", "is too large"))
    }
}

/// An RFC 3339 time.
pub fn time(value: &Value) -> Parsed<Timestamp> {
    Timestamp::parse(string(value)?).or_else(|detail| fault("format", detail))
}

/// A destination of a link.
pub fn destination(value: &Value) -> Parsed<Destination> {
    let text = string(value)?;
    let parsed = Destination::parse(text).or_else(|found| fault(found.as_str(), found.remedy()))?;
    // What a browser would refuse to open is refused too; the text itself is kept as it is.
    if url::Url::parse(text).is_err() {
        return fault("format", "must be a URL that browsers can open");
    }
    Ok(parsed)
}

/// A web address, kept as text.
pub fn web_url(value: &Value) -> Parsed<String> {
    destination(value).map(|url| url.as_str().to_owned())
}

/// An e-mail address, as far as a form can tell (RFC 5321 bounds): one `@`, something on both sides.
pub fn email(value: &Value) -> Parsed<String> {
    let text = line(254)(value)?;
    let fits = text.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty()
            && local.len() <= 64
            && domain.contains('.')
            && !domain.contains('@')
            && !domain.starts_with('.')
    });
    if !fits || text.contains(char::is_whitespace) {
        return fault("format", "must be an e-mail address");
    }
    Ok(text)
}

/// Up to 50 tags of up to 64 characters, in the order given, each once.
pub fn tags(value: &Value) -> Parsed<Vec<String>> {
    let Value::Array(items) = value else { return fault("type", "must be a list of strings") };
    let mut faults = vec![];
    let mut tags: Vec<String> = vec![];
    for (index, item) in items.iter().enumerate() {
        match line(64)(item) {
            Ok(tag) if tags.iter().any(|known| known == tag.trim()) => {}
            Ok(tag) => tags.push(tag.trim().to_owned()),
            Err(inner) => faults.extend(inner.into_iter().map(|f| Fault { at: format!("/{index}"), ..f })),
        }
    }
    if items.len() > 50 {
        faults.push(Fault { at: String::new(), code: "length".into(), detail: "must have at most 50 tags".to_owned() });
    }
    if faults.is_empty() { Ok(tags) } else { Err(faults) }
}

/// Up to 20 query parameters of a link's own.
pub fn custom_query(value: &Value) -> Parsed<CustomQuery> {
    let Value::Object(object) = value else { return fault("type", "must be an object of strings") };
    let mut faults = vec![];
    let mut parameters = BTreeMap::new();
    if object.len() > 20 {
        faults.push(Fault {
            at: String::new(),
            code: "length".into(),
            detail: "must have at most 20 parameters".to_owned(),
        });
    }
    for (name, value) in object {
        let at = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        if destination::is_reserved(&shared::query::decode(name)) {
            let detail = "nim_ct is added to each click by the edge; take another name".to_owned();
            faults.push(Fault { at, code: "reserved_parameter".into(), detail });
        } else if name.is_empty() || name.len() > 100 || name.chars().any(char::is_control) {
            faults.push(Fault { at, code: "length".into(), detail: "names must have 1 to 100 bytes".to_owned() });
        } else {
            match value.as_str() {
                Some(text) if text.len() <= 500 && !text.chars().any(char::is_control) => {
                    parameters.insert(name.clone(), text.to_owned());
                }
                Some(_) => faults.push(Fault {
                    at,
                    code: "length".into(),
                    detail: "must have at most 500 bytes and no control characters".to_owned(),
                }),
                None => faults.push(Fault { at, code: "type".into(), detail: "must be a string".to_owned() }),
            }
        }
    }
    if faults.is_empty() { Ok(parameters) } else { Err(faults) }
}

/// An object of the customer's own, at most `max` bytes as JSON.
pub fn metadata(max: usize) -> impl Fn(&Value) -> Parsed<Value> {
    move |value| {
        if !value.is_object() {
            return fault("type", "must be an object");
        }
        if value.to_string().len() > max {
            return fault("length", format!("must have at most {max} bytes as JSON"));
        }
        Ok(value.clone())
    }
}

/// A currency by its ISO 4217 code.
pub fn currency(value: &Value) -> Parsed<String> {
    let code = string(value)?;
    match iso_currency::Currency::from_code(code) {
        Some(_) => Ok(code.to_owned()),
        None => fault("value", "must be an ISO 4217 code such as USD, in upper case"),
    }
}
