//! Query parameters, read like bodies: each once, all faults at once, unknown names included.

use std::str::FromStr;

use axum::{extract::FromRequestParts, http::request::Parts};

use crate::problem::ApiError;
use domain::{Error, FieldFault};
use model::{
    page::{DEFAULT_LIMIT, MAX_LIMIT, NO_CURSOR, Order, PageQuery, SortedQuery},
    status::Status,
};
use shared::id::Kind;

/// The query of a request.
pub struct Params {
    given: Vec<(String, String)>,
    known: Vec<&'static str>,
    faults: Vec<FieldFault>,
}

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query = parts.uri.query().unwrap_or_default();
        let given =
            shared::query::pairs(query).map(|pair| (pair.name().into_owned(), pair.value().into_owned())).collect();
        Ok(Self { given, known: vec![], faults: vec![] })
    }
}

impl Params {
    /// Notes a fault of a parameter.
    pub fn fault(&mut self, name: &str, code: &str, detail: impl Into<String>) {
        self.faults.push(FieldFault::new(format!("?{name}"), code, detail));
    }

    /// The text of a parameter. Given twice, or empty, or holding control characters, it is faulted: a filter that came out
    /// empty by mistake must not answer everything.
    pub fn text(&mut self, name: &'static str) -> Option<String> {
        self.known.push(name);
        let values: Vec<String> = self.given.iter().filter(|(n, _)| n == name).map(|(_, v)| v.clone()).collect();
        if values.len() > 1 {
            self.fault(name, "repeated", "may be given once");
        }
        let value = values.into_iter().next()?;
        if value.trim().is_empty() {
            self.fault(name, "value", "must not be empty; leave the parameter out instead");
            return None;
        }
        if value.contains(char::is_control) || value.len() > 2_000 {
            self.fault(name, "characters", "must have at most 2,000 bytes and no control characters");
            return None;
        }
        Some(value)
    }

    /// A parameter through a parser.
    pub fn get<T>(&mut self, name: &'static str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let text = self.text(name)?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(detail) => {
                self.fault(name, "value", detail);
                None
            }
        }
    }

    /// Reads `limit` and `cursor` of a list that is newest first.
    pub fn page<K: Kind>(&mut self) -> PageQuery<K> {
        let limit = self.limit();
        let before = self.cursor(|text| text.parse().map_err(|_| NO_CURSOR.to_owned()));
        PageQuery { limit, before }
    }

    /// Reads `limit`, `sort` and `cursor` of a list that can be sorted. `name` is what the list calls its names, such as
    /// `slug`.
    pub fn sorted<K: Kind>(&mut self, name: &'static str) -> SortedQuery<K> {
        let limit = self.limit();
        let order = self.get("sort", |text| {
            let words = Order::ALL.map(|order| order.word(name));
            let named = words.iter().position(|word| word == text).map(|at| Order::ALL[at]);
            named.ok_or_else(|| format!("must be one of {}", words.join(", ")))
        });
        let first = || SortedQuery::first(limit, order.unwrap_or_default(), name);
        self.cursor(|text| first().after(text)).unwrap_or_else(first)
    }

    fn limit(&mut self) -> i64 {
        let limit = self.get("limit", |text| {
            let number = text.parse().ok().filter(|number| (1..=MAX_LIMIT).contains(number));
            number.ok_or_else(|| format!("must be 1 to {MAX_LIMIT}"))
        });
        limit.unwrap_or(DEFAULT_LIMIT)
    }

    /// Where a page begins. Empty is the first page: so clients ask for it that keep the last answer's cursor in a text.
    pub fn cursor<T>(&mut self, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        self.given.retain(|(name, value)| name != "cursor" || !value.is_empty());
        self.get("cursor", parse)
    }

    /// A parameter that reads itself.
    pub fn word<T: FromStr<Err = String>>(&mut self, name: &'static str) -> Option<T> {
        self.get(name, |text| text.parse())
    }

    /// A parameter that must be there.
    pub fn required<T>(&mut self, name: &'static str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        if !self.given.iter().any(|(n, _)| n == name) {
            self.known.push(name);
            self.fault(name, "required", "is required");
            return None;
        }
        self.get(name, parse)
    }

    /// The states a list shows: those of `shown`, unless `status` names one or `all`.
    pub fn statuses(&mut self, shown: &[Status]) -> Vec<String> {
        let named = self.get("status", |text| match text {
            "all" => Ok(Status::TEXTS.iter().map(|&text| text.to_owned()).collect()),
            _ => {
                text.parse::<Status>().map(|status| vec![status.to_string()]).map_err(|detail| format!("{detail}, all"))
            }
        });
        named.unwrap_or_else(|| shown.iter().map(ToString::to_string).collect())
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// 422 with all faults.
    pub fn finish(mut self) -> Result<(), Error> {
        let unknown: Vec<String> = self
            .given
            .iter()
            .map(|(name, _)| name)
            .filter(|name| !self.known.contains(&name.as_str()))
            .take(50)
            .cloned()
            .collect();
        for name in unknown {
            self.fault(&name, "unknown_parameter", "is not a parameter of this request");
        }
        if self.faults.is_empty() { Ok(()) } else { Err(Error::Validation(self.faults)) }
    }
}
