//! Query parameters, read like bodies: each once, all faults at once, unknown names included.

use std::str::FromStr;

use axum::{extract::FromRequestParts, http::request::Parts};

use crate::{
    db::programs::Status,
    error::{ApiError, FieldFault},
};

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
    pub fn finish(mut self) -> Result<(), ApiError> {
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
        if self.faults.is_empty() { Ok(()) } else { Err(ApiError::Validation(self.faults)) }
    }
}
