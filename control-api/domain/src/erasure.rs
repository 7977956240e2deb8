//! Erasing a partner's personal data from copies: audit entries and stored answers hold whole resources as the API
//! showed them, alone or among others (the results of a bulk request), so they are searched through and through.

use serde_json::{Value, json};

use store::partner_notes::ERASED;

/// Erases, in place, what a JSON value tells of the partner with this id beyond ids and its display name. Answers
/// how many fields there were.
pub fn erase_partner(value: &mut Value, partner: &str) -> usize {
    match value {
        Value::Array(items) => items.iter_mut().map(|item| erase_partner(item, partner)).sum(),
        Value::Object(fields) => {
            let is = |name: &str| fields.get(name).and_then(Value::as_str) == Some(partner);
            let (itself, of_it) = (is("id"), is("partner_id"));
            let mut found = 0;
            for (name, value) in fields.iter_mut() {
                let erased = match name.as_str() {
                    "contact_name" | "contact_email" | "invite" if itself => Value::Null,
                    "metadata" if itself => json!({}),
                    "text" if of_it => json!(ERASED),
                    _ => {
                        found += erase_partner(value, partner);
                        continue;
                    }
                };
                found += usize::from(*value != erased);
                *value = erased;
            }
            found
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_partners_own_data_goes() {
        let ours = json!({"id": "prt_1", "display_name": "N", "contact_email": "a@b.c", "contact_name": "A",
            "invite": {"message": "hi"}, "metadata": {"phone": "1"}, "external_id": "7"});
        let other = json!({"id": "prt_2", "contact_email": "x@y.z", "metadata": {"id": "prt_9"}});
        let mut answer = json!({"results": [{"status": "created", "partner": ours}, {"partner": &other}]});
        assert_eq!(erase_partner(&mut answer, "prt_1"), 4);
        let erased = json!({"id": "prt_1", "display_name": "N", "contact_email": null, "contact_name": null,
            "invite": null, "metadata": {}, "external_id": "7"});
        assert_eq!(answer, json!({"results": [{"status": "created", "partner": erased}, {"partner": other}]}));
        assert_eq!(erase_partner(&mut answer, "prt_1"), 0, "a second time finds nothing");

        let mut note = json!({"id": "note_1", "partner_id": "prt_1", "text": "calls at night"});
        assert_eq!(erase_partner(&mut note, "prt_1"), 1);
        assert_eq!(note["text"], ERASED);
    }
}
