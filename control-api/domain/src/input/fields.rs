//! Reads a JSON object field by field, gathering every fault, unknown fields included.
//!
//! One reader serves `POST` and `PATCH` (JSON merge patch, RFC 7396): it changes a draft in place. A create
//! starts from an empty draft and requires some fields; a patch starts from the stored one, where an absent
//! field is left and `null` clears.

mod values;

use serde::Serialize;
use serde_json::{Map, Value};
use shared::destination::Utm;

pub use values::*;

use crate::error::{Error, FieldFault};

/// What a parser makes of one value: the thing, or its faults.
pub type Parsed<T> = Result<T, Vec<Fault>>;

/// A fault inside one value.
#[derive(Debug)]
pub struct Fault {
    /// Pointer below the field; empty for the field itself.
    pub at: String,
    /// Stable code.
    pub code: std::borrow::Cow<'static, str>,
    /// What is wrong and what to do.
    pub detail: String,
}

/// One fault of a value as a whole.
pub fn fault<T>(code: &'static str, detail: impl Into<String>) -> Parsed<T> {
    Err(vec![Fault { at: String::new(), code: code.into(), detail: detail.into() }])
}

/// An object being read.
pub struct Fields<'a> {
    object: &'a Map<String, Value>,
    prefix: String,
    known: Vec<&'static str>,
    faults: Vec<FieldFault>,
}

impl<'a> Fields<'a> {
    /// Begins to read a body.
    ///
    /// # Errors
    /// 422 where it is no object: nothing more can be said of it.
    pub fn of(value: &'a Value) -> Result<Self, Error> {
        match value {
            Value::Object(object) => Ok(Self { object, prefix: String::new(), known: vec![], faults: vec![] }),
            _ => Err(Error::field("", "type", "must be a JSON object")),
        }
    }

    fn take(&mut self, name: &'static str) -> Option<&'a Value> {
        self.known.push(name);
        self.object.get(name)
    }

    /// Notes a fault of a field.
    pub fn fault(&mut self, name: &str, code: &str, detail: impl Into<String>) {
        self.faults.push(FieldFault::new(format!("{}/{name}", self.prefix), code, detail));
    }

    fn note(&mut self, name: &str, faults: Vec<Fault>) {
        for Fault { at, code, detail } in faults {
            self.faults.push(FieldFault::new(format!("{}/{name}{at}", self.prefix), &code, detail));
        }
    }

    /// Whether the field is present and not `null`.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.object.get(name).is_some_and(|value| !value.is_null())
    }

    /// Whether the field is present, `null` or not.
    #[must_use]
    pub fn mentions(&self, name: &str) -> bool {
        self.object.contains_key(name)
    }

    /// Faults each field that is absent or `null`.
    pub fn require(&mut self, names: &[&'static str]) {
        for name in names {
            if !self.has(name) {
                self.fault(name, "required", "is required");
            }
        }
    }

    /// Faults a field that only a create may set.
    pub fn immutable(&mut self, names: &[&'static str]) {
        for name in names {
            if self.take(name).is_some() {
                self.fault(name, "immutable", "can't be changed after creation");
            }
        }
    }

    /// Reads a field that always has a value. `null` is a fault (a missing required field is faulted once).
    pub fn set<T>(&mut self, name: &'static str, slot: &mut T, parse: impl FnOnce(&Value) -> Parsed<T>) {
        match self.take(name) {
            None => {}
            Some(Value::Null) if self.faults.iter().any(|f| f.pointer == format!("{}/{name}", self.prefix)) => {}
            Some(Value::Null) => self.fault(name, "type", "must not be null"),
            Some(value) => match parse(value) {
                Ok(parsed) => *slot = parsed,
                Err(faults) => self.note(name, faults),
            },
        }
    }

    /// Reads a field that may be empty; `null` clears it.
    pub fn set_option<T>(&mut self, name: &'static str, slot: &mut Option<T>, parse: impl FnOnce(&Value) -> Parsed<T>) {
        match self.take(name) {
            None => {}
            Some(Value::Null) => *slot = None,
            Some(value) => match parse(value) {
                Ok(parsed) => *slot = Some(parsed),
                Err(faults) => self.note(name, faults),
            },
        }
    }

    /// Reads a field that is never absent but may be empty, such as a list; `null` empties it.
    pub fn set_or_empty<T: Default>(
        &mut self,
        name: &'static str,
        slot: &mut T,
        parse: impl FnOnce(&Value) -> Parsed<T>,
    ) {
        let mut read = None;
        let emptied = self.mentions(name) && !self.has(name);
        self.set_option(name, &mut read, parse);
        match read {
            Some(value) => *slot = value,
            None if emptied => *slot = T::default(),
            None => {}
        }
    }

    /// Reads an object whose names are the customer's own. A patch is merged into what is there, then the
    /// whole is read, so that its bounds hold for the whole.
    pub fn merge<T: Default + Serialize>(
        &mut self,
        name: &'static str,
        slot: &mut T,
        parse: impl FnOnce(&Value) -> Parsed<T>,
    ) {
        let mut whole = serde_json::to_value(&*slot).unwrap_or_default();
        self.set_or_empty(name, slot, |patch| {
            merge_patch(&mut whole, patch);
            parse(&whole)
        });
    }

    /// Reads a field that exists only in this request.
    pub fn get<T>(&mut self, name: &'static str, parse: impl FnOnce(&Value) -> Parsed<T>) -> Option<T> {
        let mut slot = None;
        self.set_option(name, &mut slot, parse);
        slot
    }

    /// Reads a nested object into a draft of its own; `null` resets it.
    pub fn nested<T: Default>(&mut self, name: &'static str, slot: &mut T, read: impl FnOnce(&mut Fields<'_>, &mut T)) {
        match self.take(name) {
            None => {}
            Some(Value::Null) => *slot = T::default(),
            Some(Value::Object(object)) => {
                let prefix = format!("{}/{name}", self.prefix);
                let mut inner = Fields { object, prefix, known: vec![], faults: vec![] };
                read(&mut inner, slot);
                inner.note_unknown();
                self.faults.append(&mut inner.faults);
            }
            Some(_) => self.fault(name, "type", "must be an object"),
        }
    }

    fn note_unknown(&mut self) {
        let unknown: Vec<String> =
            self.object.keys().filter(|name| !self.known.contains(&name.as_str())).take(50).cloned().collect();
        for name in unknown {
            let escaped = name.replace('~', "~0").replace('/', "~1");
            self.fault(&escaped, "unknown_field", "is not a field of this object");
        }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// 422 with all faults.
    pub fn finish(mut self) -> Result<(), Error> {
        self.note_unknown();
        if self.faults.is_empty() { Ok(()) } else { Err(Error::Validation(self.faults)) }
    }

    /// Reads the five UTM values.
    pub fn utm(&mut self, utm: &mut Utm) {
        self.nested("utm", utm, |fields, utm| {
            fields.set_option("source", &mut utm.source, text(255));
            fields.set_option("medium", &mut utm.medium, text(255));
            fields.set_option("campaign", &mut utm.campaign, text(255));
            fields.set_option("term", &mut utm.term, text(255));
            fields.set_option("content", &mut utm.content, text(255));
        });
    }
}

/// RFC 7396, section 2.
pub fn merge_patch(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else { return target.clone_from(patch) };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    if let Value::Object(target) = target {
        for (name, value) in patch {
            if value.is_null() {
                target.remove(name);
            } else {
                merge_patch(target.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
    }
}

/// The faults of an object that was read on its own, for the field that holds it.
#[must_use]
pub fn inner_faults(error: Error) -> Vec<Fault> {
    match error {
        Error::Validation(faults) => faults
            .into_iter()
            .map(|FieldFault { pointer, code, detail, .. }| Fault { at: pointer, code: code.into(), detail })
            .collect(),
        other => vec![Fault { at: String::new(), code: "value".into(), detail: other.to_string() }],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use shared::destination::CustomQuery;

    use super::*;

    #[test]
    fn gathers_every_fault() {
        let body = json!({"name": 1, "tags": ["a", 2], "utm": {"source": "", "sauce": "x"}, "odd/one": 1, "when": "x", "gone": null});
        let mut fields = Fields::of(&body).unwrap();
        let (mut name, mut list, mut utm, mut when, mut gone) =
            (String::new(), vec![], Utm::default(), None, String::new());
        fields.require(&["name", "missing", "gone"]);
        fields.set("name", &mut name, text(5));
        fields.set("tags", &mut list, tags);
        fields.utm(&mut utm);
        fields.set_option("when", &mut when, time);
        fields.set("gone", &mut gone, text(5));
        let Err(Error::Validation(faults)) = fields.finish() else { panic!("no faults") };
        let found: Vec<_> = faults.iter().map(|f| (f.pointer.as_str(), f.code.as_str())).collect();
        assert_eq!(
            found,
            [
                ("/missing", "required"),
                ("/gone", "required"),
                ("/name", "type"),
                ("/tags/1", "type"),
                ("/utm/source", "length"),
                ("/utm/sauce", "unknown_field"),
                ("/when", "format"),
                ("/odd~1one", "unknown_field"),
            ]
        );
    }

    #[test]
    fn patches_leave_clear_and_set() {
        let body = json!({"a": null, "b": "new", "utm": {"source": null, "term": "t"}});
        let mut fields = Fields::of(&body).unwrap();
        let (mut a, mut b, mut c) = (Some("old".to_owned()), Some("old".to_owned()), Some("old".to_owned()));
        let mut utm = Utm { source: Some("s".into()), medium: Some("m".into()), ..Utm::default() };
        fields.set_option("a", &mut a, text(9));
        fields.set_option("b", &mut b, text(9));
        fields.set_option("c", &mut c, text(9));
        fields.utm(&mut utm);
        fields.finish().unwrap();
        assert_eq!((a, b.as_deref(), c.as_deref()), (None, Some("new"), Some("old")));
        assert_eq!(utm, Utm { medium: Some("m".into()), term: Some("t".into()), ..Utm::default() });
    }

    #[test]
    fn patches_merge_objects_of_free_names() {
        let body = json!({"query": {"a": null, "b": "2"}, "gone": null, "bad": {"d": 1}});
        let mut fields = Fields::of(&body).unwrap();
        let stored = || CustomQuery::from([("a".to_owned(), "1".to_owned()), ("c".to_owned(), "3".to_owned())]);
        let (mut query, mut gone, mut bad) = (stored(), stored(), stored());
        fields.merge("query", &mut query, custom_query);
        fields.merge("gone", &mut gone, custom_query);
        fields.merge("bad", &mut bad, custom_query);
        let Err(Error::Validation(faults)) = fields.finish() else { panic!("no faults") };
        assert_eq!((faults.len(), faults[0].pointer.as_str()), (1, "/bad/d"));
        assert_eq!(query, CustomQuery::from([("b".to_owned(), "2".to_owned()), ("c".to_owned(), "3".to_owned())]));
        assert_eq!((gone, bad), (CustomQuery::new(), stored()));
    }
}
