//! What a name stands for. The API calls one thing by one name wherever it occurs, so that its form, its bounds and
//! its words stand here once, for bodies, parameters and answers alike. Words come from the enums that read them.
//!
//! Bounds that JSON Schema can't express (bytes instead of characters, a field that needs another) are left to the
//! service, which names them in its faults.

use serde_json::{Map, Value, json};

use analytics::scope::Bots;
use domain::{activity::EntryType, assignments::Warning, explain::Outcome, reports::Compare};
use model::{
    access::{Plan, Role},
    conversion::{EventType, Method, Reason, Status as Attribution},
    page::Order,
    status::Status,
};
use shared::{
    record::ClickTokenMode,
    reward::{AppliesTo, Basis},
};
use store::{
    conversions::ReviewStatus,
    domains::DomainStatus,
    exports::{ExportKind, ExportStatus},
    partners::Relationship,
    programs::ProgramKind,
    sources::{SourceKind, SourceStatus},
    workspaces::InactivePartnerClicks,
};

/// 26 base32 characters, of which the first is at most `7`.
const SUFFIX: &str = "[0-7][0-9a-hjkmnp-tv-z]{25}";
/// The suffix of ids in examples.
const EXAMPLE: &str = "01h455vb4pex5vsknk084sn02q";
/// One line that is not only spaces.
const LINE: &str = r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$";
/// Lines that are not only spaces.
const LINES: &str = r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$";

fn line(max: u32) -> Value {
    json!({"minLength": 1, "maxLength": max, "pattern": LINE})
}

fn lines(max: u32) -> Value {
    json!({"minLength": 1, "maxLength": max, "pattern": LINES})
}

fn integer(least: i64, most: i64) -> Value {
    json!({"minimum": least, "maximum": most})
}

fn id(prefix: &str) -> Value {
    json!({"pattern": format!("^{prefix}_{SUFFIX}$"), "example": format!("{prefix}_{EXAMPLE}")})
}

fn partner() -> Value {
    json!({"pattern": format!("^(prt_{SUFFIX}|key:[^\\u0000]+|ext:[^\\u0000]+)$"), "maxLength": 259, "example": "key:nomura"})
}

fn program() -> Value {
    json!({"pattern": format!("^(prg_{SUFFIX}|key:[^\\u0000]+|ext:[^\\u0000]+)$"), "maxLength": 259, "example": "key:creators"})
}

/// A moment, or a day in a time zone.
fn bound(example: &str) -> Value {
    json!({"anyOf": [{"format": "date"}, {"format": "date-time"}], "example": example})
}

fn utm() -> Value {
    let value = json!({"type": ["string", "null"], "minLength": 1, "maxLength": 255, "pattern": LINES});
    json!({"additionalProperties": false, "properties":
        {"source": value, "medium": value, "campaign": value, "term": value, "content": value}})
}

fn currencies() -> Vec<String> {
    let letters = || b'A'..=b'Z';
    let codes = letters().flat_map(|a| letters().flat_map(move |b| letters().map(move |c| [a, b, c])));
    let texts = codes.filter_map(|code| String::from_utf8(code.to_vec()).ok());
    texts.filter(|code| iso_currency::Currency::from_code(code).is_some()).collect()
}

/// Body fields that must not be `null`: they always have a value.
const NEVER_NULL: [&str; 25] = [
    "applies_to",
    "apply_program_defaults",
    "basis",
    "can_export",
    "click_token",
    "conversion_tracking",
    "destination",
    "display_name",
    "event_id",
    "forward_query",
    "inactive_partner_clicks",
    "kind",
    "name",
    "overlap_hours",
    "partner_conversion_reporting",
    "partner_exports",
    "partner_reporting",
    "partner_setup",
    "plan",
    "relationship",
    "role",
    "status",
    "text",
    "timezone",
    "type",
];

/// Form and bounds of a body's field.
fn bounds(owner: &str, name: &str) -> Option<Value> {
    Some(match (owner, name) {
        ("Variant", "key") => line(64),
        ("NewLink", "slug") => {
            json!({"minLength": 1, "maxLength": 190, "pattern": "^[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*$"})
        }
        (_, "key" | "slug") => json!({"pattern": "^[a-z0-9][a-z0-9_-]{0,62}$"}),
        (_, "name" | "display_name" | "title" | "contact_name" | "public_label") => line(200),
        (_, "event_name" | "channel" | "experiment_key") => line(100),
        (_, "external_id" | "event_id" | "customer_id" | "order_id" | "original_event_id") => line(255),
        (_, "text") => lines(10_000),
        (_, "message") => lines(5_000),
        (_, "note") => lines(2_000),
        (_, "contact_email" | "support_email") => json!({"format": "email", "maxLength": 254}),
        (_, "hostname") => json!({"format": "idn-hostname", "minLength": 1, "maxLength": 253}),
        (_, "domain") => json!({
            "anyOf": [{"format": "idn-hostname", "maxLength": 253}, {"pattern": format!("^dom_{SUFFIX}$")}],
            "example": "go.acme.com",
        }),
        (_, "destination") => json!({"format": "uri", "maxLength": 2_000}),
        (_, name) if name.ends_with("_url") => json!({"format": "uri", "maxLength": 2_000}),
        (_, name) if name.ends_with("_at") => json!({"format": "date-time"}),
        (_, "from") => bound("2026-03-01"),
        (_, "to") => bound("2026-04-01"),
        (_, "timezone") => json!({"maxLength": 64, "pattern": LINE, "example": "Europe/Berlin"}),
        (_, "partner") => partner(),
        (_, "program" | "primary_program") => program(),
        (_, "currency") => json!({"$ref": "#/components/schemas/Currency"}),
        (_, "amount_minor") => integer(0, i64::MAX),
        (_, "quantity") => integer(1, 1_000_000),
        (_, "rate_bps") => integer(0, 10_000),
        (_, "hold_days") => integer(0, 3_650),
        (_, "overlap_hours") => integer(0, 168),
        (_, "attribution_window_days") => integer(1, 365),
        (_, "click_retention_days") => integer(380, 3_650),
        (_, "weight") => integer(1, 1_000),
        (_, "tags") => {
            json!({"maxItems": 50, "items": {"type": "string", "minLength": 1, "maxLength": 64, "pattern": LINE}})
        }
        (_, "variants") => json!({"maxItems": 20}),
        (_, "events") => json!({"minItems": 1, "maxItems": 1_000}),
        (_, "types" | "applies_to") => json!({"minItems": 1}),
        (_, "utm") => utm(),
        (_, "custom_query") => json!({
            "maxProperties": 20, "propertyNames": {"minLength": 1, "maxLength": 100, "pattern": r"^[^\u0000-\u001f\u007f-\u009f]+$"},
            "additionalProperties": {"type": "string", "maxLength": 500, "pattern": r"^[^\u0000-\u001f\u007f-\u009f]*$"},
        }),
        _ => return None,
    })
}

/// The words of a closed set. `owner` is a schema, or the path of a query parameter.
fn words(owner: &str, name: &str) -> Option<&'static [&'static str]> {
    let subject = owner.trim_start_matches("New").trim_end_matches("Change");
    Some(match (subject, name) {
        (_, "role") => Role::TEXTS,
        (_, "plan") => Plan::TEXTS,
        (_, "inactive_partner_clicks") => InactivePartnerClicks::TEXTS,
        (_, "relationship") => Relationship::TEXTS,
        (_, "click_token") => ClickTokenMode::TEXTS,
        (_, "basis") => Basis::TEXTS,
        (_, "applies_to") => AppliesTo::TEXTS,
        (_, "warnings") => Warning::TEXTS,
        (_, "bots") => Bots::TEXTS,
        (_, "types") | ("Event" | "Conversion" | "/v1/conversions", "type") => EventType::TEXTS,
        (_, "review_status") | ("ConversionReview", "status") => ReviewStatus::TEXTS,
        ("Attribution" | "ConversionAttribution", "status") => Attribution::TEXTS,
        ("Attribution" | "ConversionAttribution", "method") => Method::TEXTS,
        ("Attribution" | "ConversionAttribution", "reason") => Reason::TEXTS,
        ("EventResult", "status") => &["accepted", "duplicate", "rejected"],
        ("Program" | "/v1/programs", "kind") => ProgramKind::TEXTS,
        ("Export" | "/v1/exports", "kind") => ExportKind::TEXTS,
        ("/v1/reports/traffic" | "/v1/reports/conversions", "compare") => Compare::TEXTS,
        ("Source", "kind") => SourceKind::TEXTS,
        ("Partner" | "Program" | "Link" | "LinkSettings" | "StoredLink", "status") => Status::TEXTS,
        ("Domain", "status") => DomainStatus::TEXTS,
        ("Source", "status") => SourceStatus::TEXTS,
        ("Export", "status") => ExportStatus::TEXTS,
        ("Timeline", "hidden") => EntryType::TEXTS,
        ("Check", "result") => Outcome::TEXTS,
        ("/v1/reports/traffic", "group_by") => analytics::group::ClickGroup::TEXTS,
        ("/v1/reports/conversions", "group_by") => analytics::group::ConversionGroup::TEXTS,
        _ => return None,
    })
}

/// Describes a field of a request's body.
pub(super) fn field(owner: &str, name: &str, property: &mut Value) {
    let never = NEVER_NULL.contains(&name) || (owner, name) == ("WorkspaceChange", "attribution_window_days");
    let kind = property["type"].as_array().and_then(|kinds| kinds.iter().find(|kind| *kind != "null")).cloned();
    if never && let Some(kind) = kind {
        property["type"] = kind;
    }
    if let Some(bounds) = bounds(owner, name) {
        merge(property, bounds);
    }
}

/// Describes a parameter.
pub(super) fn parameter(path: &str, parameter: &mut Value) {
    let name = parameter["name"].as_str().unwrap_or_default().to_owned();
    let in_path = parameter["in"] == "path";
    let mut schema = parameter["schema"].take();
    // Absent or given: a query has no `null`.
    let kind = schema["type"].as_array().and_then(|kinds| kinds.iter().find(|kind| *kind != "null")).cloned();
    if let Some(kind) = kind {
        schema["type"] = kind;
    }
    let report = path.starts_with("/v1/reports/");
    // Where the order can be chosen, a cursor carries it.
    let sorted = ["/v1/programs", "/v1/partners", "/v1/links", "/v1/domains"].contains(&path);
    let bounds = match name.as_str() {
        "id" | "source_id" if in_path => prefix(path.split("/{").next().unwrap_or_default()).map(id),
        "limit" if report => Some(json!({"minimum": 1, "maximum": 10_000, "default": 1_000})),
        "limit" => Some(json!({"minimum": 1, "maximum": 100, "default": 50})),
        "cursor" if sorted => Some(json!({"maxLength": 2_000, "pattern": "^[A-Za-z0-9_-]*$"})),
        "cursor" => prefix(path).map(
            |prefix| json!({"pattern": format!("^({prefix}_{SUFFIX})?$"), "example": format!("{prefix}_{EXAMPLE}")}),
        ),
        "from" | "to" if path == "/v1/audit" => Some(json!({"format": "date-time"})),
        "link" => Some(id("lnk")),
        "as_of" => Some(json!({"format": "date-time"})),
        "tz" => Some(json!({"minLength": 1, "example": "Europe/Berlin"})),
        "country" => Some(json!({"pattern": "^[A-Za-z0-9]{2}$", "example": "DE"})),
        "object" => Some(json!({
            "pattern": format!("^(ws|key|prg|prt|note|dom|lnk|asg|src|exp)_{SUFFIX}$"),
            "example": format!("prt_{EXAMPLE}"),
        })),
        "actor" => Some(json!({"pattern": format!("^(operator|key_{SUFFIX})$"), "example": "operator"})),
        "q" | "tag" | "object_type" | "action" => {
            Some(json!({"minLength": 1, "maxLength": 2_000, "pattern": "^[^\\u0000]+$"}))
        }
        "status" => Some(json!({"enum": statuses(path)})),
        "attribution" => {
            let mut words = Attribution::TEXTS.to_vec();
            words.push("pending");
            Some(json!({"enum": words}))
        }
        "sort" => Some(json!({"enum": orders(path)})),
        "webhook-id" => Some(json!({"minLength": 1, "example": "msg_2b7f"})),
        "webhook-timestamp" => Some(json!({"minimum": 0, "example": 1_767_225_600})),
        name => words(path, name).map(|words| json!({"enum": words})).or_else(|| bounds("", name)),
    };
    if let Some(bounds) = bounds {
        merge(&mut schema, bounds);
    }
    parameter["schema"] = schema;
}

fn statuses(path: &str) -> Vec<&'static str> {
    let words = match path {
        // A list of all of them unless one is named.
        "/v1/exports" => return ExportStatus::TEXTS.to_vec(),
        "/v1/domains" => DomainStatus::TEXTS,
        "/v1/sources" => SourceStatus::TEXTS,
        _ => Status::TEXTS,
    };
    words.iter().copied().chain(["all"]).collect()
}

fn orders(path: &str) -> [String; 4] {
    let name = match path {
        "/v1/links" => "slug",
        "/v1/domains" => "hostname",
        _ => "name",
    };
    Order::ALL.map(|order| order.word(name))
}

/// The prefix of the ids that a collection holds.
fn prefix(collection: &str) -> Option<&'static str> {
    Some(match collection.rsplit('/').next()? {
        "workspaces" => "ws",
        "api-keys" => "key",
        "domains" => "dom",
        "programs" => "prg",
        "partners" => "prt",
        "links" => "lnk",
        "assignments" => "asg",
        "sources" => "src",
        "conversions" => "cnv",
        "exports" => "exp",
        "notes" => "note",
        "audit" => "aud",
        _ => return None,
    })
}

/// Says of every schema which words and ids its fields hold, and adds those that others refer to.
pub(super) fn describe(schemas: &mut Value) {
    for (name, schema) in schemas.as_object_mut().into_iter().flatten() {
        properties(name, schema);
    }
    schemas["Currency"] = json!({"type": "string", "description": "ISO 4217", "enum": currencies(), "example": "EUR"});
}

fn properties(owner: &str, schema: &mut Value) {
    for choice in schema.get_mut("oneOf").and_then(Value::as_array_mut).into_iter().flatten() {
        properties(owner, choice);
    }
    let inner = schema.get_mut("properties").and_then(Value::as_object_mut);
    for (name, property) in inner.into_iter().flatten() {
        if let Some(words) = words(owner, name) {
            let target = if property["items"].is_object() { &mut property["items"] } else { &mut *property };
            merge(target, json!({"enum": words}));
        }
        // An example that is an id says which.
        let prefix = property["example"].as_str().and_then(|example| example.strip_suffix(EXAMPLE)?.strip_suffix('_'));
        if let Some(prefix) = prefix.filter(|_| name != "key" && name != "actor" && name != "object") {
            merge(property, json!({"pattern": format!("^{prefix}_{SUFFIX}$")}));
        }
        properties(owner, property);
        if property["items"].is_object() {
            properties(owner, &mut property["items"]);
        }
    }
}

/// Narrows a schema. What the route says itself stands, `null` stays allowed where it was.
fn merge(schema: &mut Value, facets: Value) {
    let nullable = schema["type"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "null"));
    let Value::Object(mut facets) = facets else { return };
    if let Some(reference) = facets.remove("$ref") {
        let kept: Map<String, Value> =
            ["description"].iter().filter_map(|key| Some(((*key).to_owned(), schema.get(*key)?.clone()))).collect();
        *schema = if nullable {
            json!({"oneOf": [{"$ref": reference}, {"type": "null"}]})
        } else {
            json!({"$ref": reference})
        };
        schema.as_object_mut().into_iter().for_each(|schema| schema.extend(kept.clone()));
        return;
    }
    if nullable && let Some(words) = facets.get_mut("enum").and_then(Value::as_array_mut) {
        words.push(Value::Null);
    }
    if let (Some(choices), Some(kind)) = (facets.get_mut("anyOf").and_then(Value::as_array_mut), schema.get("type")) {
        // Said by each choice as well: generators look there.
        for choice in choices {
            choice["type"] = kind.clone();
        }
    }
    if let Some(schema) = schema.as_object_mut() {
        for (key, value) in facets {
            if key != "example" || !schema.contains_key("example") {
                schema.insert(key, value);
            }
        }
    }
}
