//! A partner's timeline: what was done with it and what came of it, newest first. Kinds of entries are read each by
//! itself and merged; a page ends at a place that all of them know.

use chrono::{DateTime, NaiveDate};
use serde::Serialize;
use serde_json::{Map, Value};
use shared::{
    click::Named,
    id::{ApiKeyId, AssignmentId, ConversionId, LinkId, NoteId, PartnerId, Program},
};
use store::PgConnection;
use uuid::Uuid;

use analytics::scope::Scope;
use model::{
    conversion::{EventType, Method},
    reference::{NamedObject, named},
    time::Timestamp,
};
use store::activity::{Change, Credit, Day, End, Note, Span, Turn};

shared::text_enum! {
    /// Kinds of entries. Of the same moment, the later ones of this list are newer: a day's clicks stand below all that
    /// happened in it.
    pub enum EntryType {
        /// The clicks of a day.
        Clicks = "clicks",
        /// The partner was made.
        Created = "created",
        /// The partner was changed.
        Changed = "changed",
        /// Its personal data was erased.
        Erased = "erased",
        /// A note was written.
        Note = "note",
        /// A link began to be its own.
        AssignmentStarted = "assignment_started",
        /// A link ceased to be its own.
        AssignmentEnded = "assignment_ended",
        /// A conversion was credited to it.
        Conversion = "conversion",
    }
}

/// One entry of a partner's timeline.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ActivityEntry)]
pub struct Entry {
    /// When. Of `clicks`, the beginning of the day; of `conversion`, when it occurred.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What it is.
    #[serde(flatten)]
    pub what: What,
    #[serde(skip)]
    place: Place,
}

/// What an entry is, told by its `type`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schema(as = Activity)]
pub enum What {
    /// The clicks of a day, in the workspace's time zone.
    Clicks {
        /// The day.
        #[schema(value_type = String, format = Date)]
        day: NaiveDate,
        /// Clicks of humans and bots.
        total: i64,
        /// Clicks of humans.
        human: i64,
        /// Clicks of bots.
        bot: i64,
    },
    /// The partner was made.
    Created {
        /// Who did it; `null`: the operator.
        #[schema(value_type = Option<String>)]
        actor: Option<ApiKeyId>,
    },
    /// The partner was changed.
    Changed {
        /// Who did it; `null`: the operator.
        #[schema(value_type = Option<String>)]
        actor: Option<ApiKeyId>,
        /// Each field, before and after.
        changes: Vec<FieldChange>,
    },
    /// Its personal data was erased.
    Erased {
        /// Who did it; `null`: the operator.
        #[schema(value_type = Option<String>)]
        actor: Option<ApiKeyId>,
    },
    /// A note was written.
    Note {
        /// The note.
        #[schema(value_type = String)]
        id: NoteId,
        /// Who wrote it.
        #[schema(value_type = String)]
        actor: ApiKeyId,
        /// What it says.
        text: String,
    },
    /// A link began to be its own.
    AssignmentStarted(Assigned),
    /// A link ceased to be its own.
    AssignmentEnded(Assigned),
    /// A conversion was credited to it.
    Conversion {
        /// The conversion.
        #[schema(value_type = String)]
        id: ConversionId,
        /// `lead`, `sale`, `refund`, `cancellation` or `reversal`.
        #[schema(value_type = String, example = "sale")]
        event_type: EventType,
        /// The customer's own id of the event.
        event_id: String,
        /// The customer's own id of the order.
        order_id: Option<String>,
        /// As received: 0 or more, in minor units.
        amount_minor: Option<i64>,
        /// ISO 4217.
        currency: Option<String>,
        /// `token`, `customer` or `original`.
        #[schema(value_type = Option<String>)]
        method: Option<Method>,
        /// The link clicked.
        link: Option<ActivityLink>,
    },
}

/// A field that was changed.
#[derive(Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FieldChange {
    /// Its name.
    #[schema(example = "status")]
    pub field: String,
    /// What it was.
    pub before: Value,
    /// What it became.
    pub after: Value,
}

/// An assignment that began or ended.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Assigned {
    /// The assignment.
    #[schema(value_type = String)]
    pub id: AssignmentId,
    /// Who did it.
    #[schema(value_type = Option<String>)]
    pub actor: Option<ApiKeyId>,
    /// The link.
    pub link: ActivityLink,
    /// The program, as it is called now, if any.
    #[schema(value_type = Option<NamedObject>)]
    pub program: Option<Named<'static, Program>>,
}

/// A link of an entry.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ActivityLink {
    /// Its id.
    #[schema(value_type = String)]
    pub id: LinkId,
    /// What visitors open.
    pub short_url: String,
}

/// Where an entry stands, so that a page can go on below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    micros: i64,
    kind: EntryType,
    id: Uuid,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.micros, self.kind, self.id.simple())
    }
}

impl std::str::FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('.').collect();
        let read = || {
            let [micros, kind, id] = parts.as_slice() else { return None };
            let micros = micros.parse().ok().filter(|micros| DateTime::from_timestamp_micros(*micros).is_some())?;
            // Later than all that a store of times can hold; nothing is there.
            let fits = (0..253_402_300_800_000_000).contains(&micros);
            Some(Self { micros, kind: kind.parse().ok()?, id: id.parse().ok()? }).filter(|_| fits)
        };
        read().ok_or_else(|| "must be a next_cursor of this list".to_owned())
    }
}

impl Place {
    /// What entries of a kind must be older than, to stand below this place.
    fn below(self, kind: EntryType) -> (Timestamp, Uuid) {
        let at = Timestamp(DateTime::from_timestamp_micros(self.micros).unwrap_or_default());
        let id = match kind.cmp(&self.kind) {
            std::cmp::Ordering::Less => Uuid::max(),
            std::cmp::Ordering::Equal => self.id,
            std::cmp::Ordering::Greater => Uuid::nil(),
        };
        (at, id)
    }
}

/// A page of entries of some kinds, newest first, and the place where the next one begins.
///
/// # Errors
/// The database's.
pub async fn page(
    db: &mut PgConnection,
    scope: &Scope,
    partner: PartnerId,
    types: &[EntryType],
    below: Option<Place>,
    limit: i64,
) -> store::Result<(Vec<Entry>, Option<Place>)> {
    let mut entries = vec![];
    let audited = [EntryType::Created, EntryType::Changed, EntryType::Erased];
    for &kind in types {
        let span = Span {
            workspace: scope.workspace,
            partner,
            from: scope.from,
            to: scope.to,
            below: below.map_or((scope.to, Uuid::nil()), |place| place.below(kind)),
            fetch: limit.saturating_add(1),
            tz: scope.tz.name(),
        };
        match kind {
            EntryType::Clicks => entries.extend(store::activity::days(db, &span).await?.into_iter().map(Entry::from)),
            kind if audited.contains(&kind) => {
                let rows = store::activity::changes(db, &span, action(kind)).await?;
                entries.extend(rows.iter().map(|row| Entry::change(kind, row)));
            }
            EntryType::Note => entries.extend(store::activity::notes(db, &span).await?.into_iter().map(Entry::from)),
            EntryType::AssignmentStarted => {
                let rows = store::activity::turns(db, &span, End::First).await?;
                entries.extend(rows.into_iter().map(|row| Entry::turn(kind, row)));
            }
            EntryType::AssignmentEnded => {
                let rows = store::activity::turns(db, &span, End::Last).await?;
                entries.extend(rows.into_iter().map(|row| Entry::turn(kind, row)));
            }
            _ => entries.extend(store::activity::credits(db, &span).await?.into_iter().map(Entry::from)),
        }
    }
    entries.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.place));
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = entries.len() > limit;
    entries.truncate(limit);
    let next = entries.last().filter(|_| more).map(|entry| entry.place);
    Ok((entries, next))
}

/// The audit trail's word for a kind.
const fn action(kind: EntryType) -> &'static str {
    match kind {
        EntryType::Created => "partner.create",
        EntryType::Erased => "partner.erase",
        _ => "partner.update",
    }
}

impl Entry {
    fn new(at: Timestamp, kind: EntryType, id: Uuid, what: What) -> Self {
        Self { at, what, place: Place { micros: at.0.timestamp_micros(), kind, id } }
    }

    fn change(kind: EntryType, row: &Change) -> Self {
        let actor = row.actor;
        let what = match kind {
            EntryType::Created => What::Created { actor },
            EntryType::Erased => What::Erased { actor },
            _ => What::Changed { actor, changes: changes(row.before.as_ref(), row.after.as_ref()) },
        };
        Self::new(row.at, kind, row.id, what)
    }

    fn turn(kind: EntryType, row: Turn) -> Self {
        let assigned = Assigned {
            id: row.id,
            actor: row.actor,
            link: ActivityLink { id: row.link_id, short_url: row.short_url },
            program: named(row.program_id, row.program_key, row.program_name),
        };
        let what = match kind {
            EntryType::AssignmentEnded => What::AssignmentEnded(assigned),
            _ => What::AssignmentStarted(assigned),
        };
        Self::new(row.at, kind, row.id.uuid(), what)
    }
}

impl From<Day> for Entry {
    fn from(row: Day) -> Self {
        let Day { at, day, human, bot } = row;
        let what = What::Clicks { day, total: human.saturating_add(bot), human, bot };
        Self::new(at, EntryType::Clicks, Uuid::nil(), what)
    }
}

impl From<Note> for Entry {
    fn from(row: Note) -> Self {
        let what = What::Note { id: row.id, actor: row.author, text: row.text };
        Self::new(row.at, EntryType::Note, row.id.uuid(), what)
    }
}

impl From<Credit> for Entry {
    fn from(row: Credit) -> Self {
        let link = row.link_id.zip(row.short_url).map(|(id, short_url)| ActivityLink { id, short_url });
        let what = What::Conversion {
            id: row.id,
            event_type: row.kind,
            event_id: row.event_id,
            order_id: row.order_id,
            amount_minor: row.amount_minor,
            currency: row.currency,
            method: row.method,
            link,
        };
        Self::new(row.at, EntryType::Conversion, row.id.uuid(), what)
    }
}

/// The fields in which two states of a partner differ, but for what every change or other objects change.
fn changes(before: Option<&Value>, after: Option<&Value>) -> Vec<FieldChange> {
    const BESIDE: [&str; 3] = ["version", "updated_at", "active_links"];
    let empty = Map::new();
    let object = |value: Option<&'_ Value>| value.and_then(Value::as_object).cloned().unwrap_or_else(|| empty.clone());
    let (before, after) = (object(before), object(after));
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort_unstable();
    names.dedup();
    names
        .into_iter()
        .filter(|name| !BESIDE.contains(&name.as_str()) && before.get(*name) != after.get(*name))
        .map(|name| FieldChange {
            field: name.clone(),
            before: before.get(name).cloned().unwrap_or_default(),
            after: after.get(name).cloned().unwrap_or_default(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn places_are_read_as_written_and_nothing_else_is_one() {
        let place = Place { micros: 1_790_000_000_000_001, kind: EntryType::Note, id: Uuid::from_u128(7) };
        assert_eq!(place.to_string().parse(), Ok(place));
        for text in [
            "",
            "1",
            "1.note",
            "1.note.x",
            "x.note.0",
            "-1.note.0",
            "9223372036854775807.note.00000000000000000000000000000000",
            "1.other.00000000000000000000000000000000",
        ] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_place_divides_kinds_of_one_moment() {
        let place = Place { micros: 5, kind: EntryType::Note, id: Uuid::from_u128(7) };
        assert_eq!(place.below(EntryType::Clicks).1, Uuid::max(), "older kinds of the moment are below");
        assert_eq!(place.below(EntryType::Note).1, Uuid::from_u128(7));
        assert_eq!(place.below(EntryType::Conversion).1, Uuid::nil(), "newer kinds of the moment are above");
    }

    #[test]
    fn changes_name_each_field_that_differs() {
        let before = json!({"status": "active", "tags": [], "version": 1, "contact_name": null});
        let after = json!({"status": "paused", "tags": [], "version": 2, "contact_name": null});
        let expected = FieldChange { field: "status".into(), before: json!("active"), after: json!("paused") };
        assert_eq!(changes(Some(&before), Some(&after)), [expected]);
        assert_eq!(changes(None, None), []);
    }
}
