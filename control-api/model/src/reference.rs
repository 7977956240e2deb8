//! How partners and programs are named wherever they are named: by id, `key:<key>` or `ext:<external id>`.

use std::collections::HashMap;

use shared::{
    click::Named,
    id::{DomainId, Id, Kind},
    name::Hostname,
};

/// One way to name an object of kind `K`.
pub enum Reference<K> {
    /// By its id.
    Id(Id<K>),
    /// By its key.
    Key(String),
    /// By the customer's own id.
    External(String),
}

impl<K: Kind> std::str::FromStr for Reference<K> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Postgres has no text with U+0000, so nothing is called that.
        match text.split_once(':').filter(|_| !text.contains('\0')) {
            Some(("key", key)) if !key.is_empty() => Ok(Self::Key(key.to_owned())),
            Some(("ext", external)) if !external.is_empty() => Ok(Self::External(external.to_owned())),
            _ => text
                .parse()
                .map(Self::Id)
                .map_err(|_| format!("must be an id that starts with `{}_`, or `key:…` or `ext:…`", K::PREFIX)),
        }
    }
}

impl<K> Reference<K> {
    /// The three ways as three values of which one is set, as SQL compares them.
    #[must_use]
    pub fn parts(&self) -> (Option<uuid::Uuid>, Option<&str>, Option<&str>) {
        match self {
            Self::Id(id) => (Some(id.uuid()), None, None),
            Self::Key(key) => (None, Some(key), None),
            Self::External(external) => (None, None, Some(external)),
        }
    }
}

impl<K: Kind> std::fmt::Display for Reference<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Key(key) => write!(f, "key:{key}"),
            Self::External(external) => write!(f, "ext:{external}"),
        }
    }
}

/// References of several requests in one, as SQL compares them: with `any`.
#[derive(Debug, Default)]
pub struct References {
    /// Ids.
    pub ids: Vec<uuid::Uuid>,
    /// Keys.
    pub keys: Vec<String>,
    /// The customer's own ids.
    pub externals: Vec<String>,
}

impl<'a, K: 'a> FromIterator<&'a Reference<K>> for References {
    fn from_iter<I: IntoIterator<Item = &'a Reference<K>>>(references: I) -> Self {
        let mut all = Self::default();
        for reference in references {
            match reference {
                Reference::Id(id) => all.ids.push(id.uuid()),
                Reference::Key(key) => all.keys.push(key.clone()),
                Reference::External(external) => all.externals.push(external.clone()),
            }
        }
        all
    }
}

/// What references were found to name.
pub struct Found<T>(HashMap<String, T>);

impl<T: Clone> Found<T> {
    /// Gathers objects by each way to name them.
    pub fn of<K: Kind>(objects: impl IntoIterator<Item = (Id<K>, String, Option<String>, T)>) -> Self {
        let mut names = HashMap::new();
        for (id, key, external, object) in objects {
            if let Some(external) = external {
                names.insert(Reference::<K>::External(external).to_string(), object.clone());
            }
            names.insert(Reference::<K>::Key(key).to_string(), object.clone());
            names.insert(id.to_string(), object);
        }
        Self(names)
    }

    /// What a reference names, if anything.
    #[must_use]
    pub fn get<K: Kind>(&self, reference: &Reference<K>) -> Option<&T> {
        self.0.get(&reference.to_string())
    }
}

/// A partner or program as other objects show it.
#[derive(utoipa::ToSchema)]
#[allow(dead_code)] // Describes `shared::click::Named`, which knows nothing of documents.
pub struct NamedObject {
    /// Its id.
    id: String,
    /// Its immutable key.
    key: String,
    /// Its name now.
    name: String,
}

/// An object by three columns of an outer join.
#[must_use]
pub fn named<K>(id: Option<Id<K>>, key: Option<String>, name: Option<String>) -> Option<Named<'static, K>> {
    Some(Named { id: id?, key: key?.into(), name: name?.into() })
}

/// A domain wherever one is named: by id or hostname.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum DomainRef {
    /// By its id.
    Id(DomainId),
    /// By its name.
    Hostname(Hostname),
}

impl std::str::FromStr for DomainRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // No hostname holds a `_`, so the two never mix.
        if text.starts_with("dom_") {
            return text.parse().map(Self::Id).map_err(|error: shared::id::IdError| error.to_string());
        }
        hostname(text).map(Self::Hostname)
    }
}

/// Reads a hostname as people write it: any case, international characters (UTS #46).
///
/// # Errors
/// A sentence that names the rule.
pub fn hostname(text: &str) -> Result<Hostname, String> {
    // Bounds the work on a text that can't become one anyway.
    if text.len() > 1_000 {
        return Err("must have 1 to 253 characters".to_owned());
    }
    let ascii = idna::domain_to_ascii(text).map_err(|_| "must be a hostname such as go.example.com".to_owned())?;
    Hostname::parse(&ascii).map_err(str::to_owned)
}

impl DomainRef {
    /// Id or hostname, as a statement takes them.
    #[must_use]
    pub fn parts(&self) -> (Option<uuid::Uuid>, Option<&str>) {
        match self {
            Self::Id(id) => (Some(id.uuid()), None),
            Self::Hostname(hostname) => (None, Some(hostname.as_str())),
        }
    }
}
