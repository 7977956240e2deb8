//! A click, and a batch of them, as JSON, written straight into a text.
//!
//! The same text as the derived `Serialize` gives, which the tests compare; but this one runs for every visitor, and
//! without a serializer's detours it takes a third of the time and of the worker's code.

use super::{Batch, Click, Minted, Named, TokenReason};
use crate::{
    destination::Utm,
    id::Kind,
    json::{Object, list},
};

impl Click<'_> {
    /// Writes this click to the end of `out`, as compact JSON.
    pub fn write_json(&self, out: &mut String) {
        let mut object = Object::open(out);
        object.id("id", self.id);
        object.id("workspace", self.workspace);
        object.id("link", self.link);
        object.text("domain", &self.domain);
        object.text("slug", &self.slug);
        object.text("destination", &self.destination);
        if let Some(assignment) = self.assignment {
            object.id("assignment", assignment);
        }
        named(&mut object, "partner", self.partner.as_ref());
        named(&mut object, "program", self.program.as_ref());
        object.word("trigger", self.trigger.as_str());
        object.some("source", self.source.as_deref());
        if !self.utm.is_unset() {
            utm(&mut object, "utm", &self.utm);
        }
        object.some("experiment", self.experiment.as_deref());
        object.some("variant", self.variant.as_deref());
        object.some("referrer_host", self.referrer_host.as_deref());
        object.some("country", self.country.as_deref());
        object.some("region", self.region.as_deref());
        object.some("city", self.city.as_deref());
        object.word("device", self.device.as_str());
        object.word("browser", self.browser.as_str());
        object.word("os", self.os.as_str());
        if let Some(reason) = self.bot_reason {
            object.word("bot_reason", reason.as_str());
        }
        match &self.token {
            // The rule's name comes from a record, that is from outside.
            TokenReason::QuerySensitive(_) => object.text("token", &self.token.to_string()),
            reason => object.word("token", reason.as_str()),
        }
        object.some("colo", self.colo.as_deref());
        object.number("record_version", self.record_version);
        object.number("classifier", u64::try_from(self.classifier).unwrap_or_default());
        minted(&mut object, self.minted);
        object.close();
    }
}

impl Batch<'_> {
    /// This batch as compact JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        let mut object = Object::open(&mut out);
        list(object.name("clicks"), &self.clicks, |out, click| out.push_str(click.get()));
        if !self.dropped.is_empty() {
            list(object.name("dropped"), &self.dropped, |out, dropped| {
                let mut object = Object::open(out);
                object.id("id", dropped.id);
                if let Some(workspace) = dropped.workspace {
                    object.id("workspace", workspace);
                }
                object.word("reason", dropped.reason.as_str());
                minted(&mut object, dropped.minted);
                object.close();
            });
        }
        object.close();
        out
    }
}

fn named<K: Kind>(object: &mut Object<'_>, name: &str, named: Option<&Named<'_, K>>) {
    if let Some(Named { id, key, name: called }) = named {
        let mut object = Object::open(object.name(name));
        object.id("id", *id);
        object.text("key", key);
        object.text("name", called);
        object.close();
    }
}

fn minted(object: &mut Object<'_>, minted: Option<Minted>) {
    if let Some(Minted { isolate, nth }) = minted {
        let mut minted = Object::open(object.name("minted"));
        minted.number("isolate", isolate);
        minted.number("nth", nth);
        minted.close();
    }
}

fn utm(object: &mut Object<'_>, name: &str, utm: &Utm) {
    let mut object = Object::open(object.name(name));
    object.some("source", utm.source.as_deref());
    object.some("medium", utm.medium.as_deref());
    object.some("campaign", utm.campaign.as_deref());
    object.some("term", utm.term.as_deref());
    object.some("content", utm.content.as_deref());
    object.close();
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        Id, Millis,
        classify::{BotReason, Browser, Device, Os},
        click::{Dropped, Rejected, Trigger},
    };

    #[test]
    fn batches_say_what_serde_says() {
        let click = serde_json::value::RawValue::from_string(r#"{"id": "x"}"#.to_owned()).unwrap();
        let known =
            Dropped { id: Id::mint(Millis(1), [1; 10]), workspace: None, reason: Rejected::Overflow, minted: None };
        let minted = Some(Minted { isolate: 1 << 40, nth: 3 });
        let foreign = Dropped { workspace: Some(Id::mint(Millis(2), [2; 10])), minted, ..known };
        for (clicks, dropped) in [
            (vec![], vec![]),
            (vec![&*click], vec![]),
            (vec![&*click, &*click], vec![known]),
            (vec![], vec![known, foreign]),
        ] {
            let batch = Batch { clicks, dropped };
            assert_eq!(batch.to_json(), serde_json::to_string(&batch).unwrap());
        }
    }

    proptest! {
        /// Read back, it is the click; and what serde writes is read back as the same.
        #[test]
        fn says_what_serde_says(
            texts in proptest::collection::vec(proptest::option::of(".{0,20}"), 13),
            name in ".{0,20}", seed: [u8; 10], version: u64, present: bool, rule in proptest::option::of("[a-z\"]{1,9}"),
        ) {
            let text = |n: usize| texts[n].as_deref().map(Cow::Borrowed);
            let utm = Utm { source: texts[0].clone(), medium: texts[1].clone(), content: texts[2].clone(), ..Utm::default() };
            let click = Click {
                id: Id::mint(Millis(1_790_000_000_000), seed),
                workspace: Id::mint(Millis(1), seed),
                link: Id::mint(Millis(2), seed),
                domain: "go.acme.com".into(),
                slug: Cow::Borrowed(&name),
                destination: Cow::Borrowed(&name),
                assignment: present.then(|| Id::mint(Millis(3), seed)),
                partner: present.then(|| Named { id: Id::mint(Millis(4), seed), key: "k".into(), name: Cow::Borrowed(&name) }),
                program: (!present).then(|| Named { id: Id::mint(Millis(5), seed), key: "k".into(), name: Cow::Borrowed(&name) }),
                trigger: if present { Trigger::Qr } else { Trigger::Link },
                source: text(3),
                utm: Cow::Borrowed(&utm),
                experiment: text(4),
                variant: text(5),
                referrer_host: text(6),
                country: text(7),
                region: text(8),
                city: text(9),
                device: Device::Mobile,
                browser: Browser::InApp,
                os: Os::Ios,
                bot_reason: present.then_some(BotReason::Probe),
                token: rule.map_or(TokenReason::Appended, TokenReason::QuerySensitive),
                colo: text(10),
                record_version: version,
                classifier: i32::from(seed[0]),
                minted: present.then_some(Minted { isolate: version >> 16, nth: 1 }),
            };
            let mut written = String::new();
            click.write_json(&mut written);
            prop_assert_eq!(&serde_json::from_str::<Click<'_>>(&written).unwrap(), &click);
            let theirs: serde_json::Value = serde_json::from_str(&serde_json::to_string(&click).unwrap()).unwrap();
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&written).unwrap(), theirs);
            prop_assert!(!written.contains('\n'));
        }
    }
}
