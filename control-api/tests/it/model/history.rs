//! Random histories: what is done to the service is done to the model too, by what was asked for and never by what the
//! service answers (ids and moments apart, which it alone can know).

use std::collections::HashMap;

use control_api::jobs::late_attribution;
use model::time::Timestamp;
use serde_json::{Value, json};
use shared::{Millis, id::ProgramId, redirect::Visit};
use sqlx::PgPool;

use super::plain::{Click, DAY, Event, Link, Named, Partner, Pay, Program, Terms, Token, Version, World};
use crate::{
    dice::Dice,
    service::{PHONE, Service, Source, Team, Visited, text},
};

const MINUTE: i64 = Millis::MINUTE;
const CUSTOMERS: [&str; 3] = ["ann", "bob", "cy"];
const ORDERS: [&str; 4] = ["o1", "o2", "o3", "o4"];

/// A body that was made and may be sent, with what the model must know of it.
struct Draft {
    source: usize,
    body: Value,
    token: Option<Token>,
}

pub struct History {
    pub world: World,
    pub team: Team,
    service: Service,
    pool: PgPool,
    dice: Dice,
    host: String,
    sources: Vec<Source>,
    visited: Vec<Visited>,
    unsent: Vec<Draft>,
    /// Bodies that were accepted, with their event's place in the world.
    sent: Vec<(Value, usize)>,
    counters: [u64; 2],
    step: usize,
    discard: bool,
}

impl History {
    pub async fn begin(service: &Service, pool: &PgPool, seed: u64) -> Self {
        let team = service.team().await;
        let host = format!("h{:x}.example.com", u64::from_be_bytes(crate::service::random()));
        team.post("/v1/domains", json!({"hostname": host})).await.expect(201);
        let mut this = Self {
            world: World { window_days: 30, ..World::default() },
            sources: vec![team.source().await, team.source().await],
            team,
            service: service.clone(),
            pool: pool.clone(),
            dice: Dice::new(seed),
            host,
            visited: vec![],
            unsent: vec![],
            sent: vec![],
            counters: [0; 2],
            step: 0,
            discard: false,
        };
        for (key, window_days) in [("p0", 30), ("p1", 2), ("p2", 1)] {
            let body = json!({"name": key, "key": key, "kind": "affiliate",
                "attribution_window_days": if window_days == 30 { Value::Null } else { window_days.into() }});
            let made = this.team.post("/v1/programs", body).await.expect(201);
            let now = Named { id: text(&made, "/id"), key: key.into(), name: key.into() };
            this.world.programs.push(Program { now, status: "active", window_days, versions: vec![] });
        }
        for program in 0..2 {
            this.change_terms(program).await;
        }
        for key in ["r0", "r1", "r2"] {
            let made = this.team.post("/v1/partners", json!({"display_name": key, "key": key})).await.expect(201);
            let now = Named { id: text(&made, "/id"), key: key.into(), name: key.into() };
            this.world.partners.push(Partner { now, status: "active", relationship: "approved" });
        }
        for slug in ["l0", "l1", "l2", "untracked"] {
            let (destination, tracked) = (format!("https://shop.example.com/{slug}?a=%2B#b"), slug != "untracked");
            let body =
                json!({"domain": this.host, "slug": slug, "destination": destination, "conversion_tracking": tracked});
            let id = text(&this.team.post("/v1/links", body).await.expect(201), "/id");
            let short_url = format!("https://{}/{slug}", this.host);
            this.world.links.push(Link { id, short_url, slug, destination, tracked, owner: None });
        }
        for link in 0..4 {
            this.assign(link).await;
        }
        this
    }

    /// Goes so many steps on.
    pub async fn go_on(&mut self, steps: usize) {
        for _ in 0..steps {
            self.step += 1;
            match self.dice.roll(100) {
                0..8 => {
                    let link = self.dice.below(4);
                    self.assign(link).await;
                }
                8..11 => self.unassign().await,
                11..16 => self.rename().await,
                16..22 => self.change_state().await,
                22..27 => {
                    let program = self.dice.below(3);
                    self.change_terms(program).await;
                }
                27..45 => self.click().await,
                45..58 => self.deliver().await,
                58..76 => self.draft(),
                76..93 => self.send().await,
                93..97 => self.repeat().await,
                _ => {
                    late_attribution::sweep(&self.service.app).await.unwrap();
                }
            }
        }
    }

    async fn assign(&mut self, link: usize) {
        let partner = self.dice.below(self.world.partners.len());
        let program = (self.dice.roll(4) > 0).then(|| self.dice.below(self.world.programs.len()));
        let key = |program: usize| format!("key:{}", self.world.programs[program].now.key);
        let body = json!({"partner": self.world.partners[partner].now.id, "program": program.map(key)});
        let answer = self.team.put(&format!("/v1/links/{}/assignment", self.world.links[link].id), body).await;
        if self.world.links[link].owner == Some((partner, program)) {
            answer.expect(200);
        } else if self.world.partners[partner].status != "active" {
            answer.expect_problem(422, "partner_not_active");
        } else if program.is_some_and(|program| self.world.programs[program].status != "active") {
            answer.expect_problem(422, "program_not_active");
        } else {
            answer.expect(200);
            self.world.links[link].owner = Some((partner, program));
        }
    }

    async fn unassign(&mut self) {
        let link = self.dice.below(self.world.links.len());
        self.team.delete(&format!("/v1/links/{}/assignment", self.world.links[link].id)).await.expect(200);
        self.world.links[link].owner = None;
    }

    async fn rename(&mut self) {
        let name = format!("Name {}, \"{}\"", self.step, self.dice.roll(1_000));
        if self.dice.roll(2) == 0 {
            let partner = self.dice.one_of_mut(&mut self.world.partners);
            partner.now.name.clone_from(&name);
            let path = format!("/v1/partners/{}", partner.now.id);
            self.team.patch(&path, json!({"display_name": name})).await.expect(200);
        } else {
            let program = self.dice.one_of_mut(&mut self.world.programs);
            program.now.name.clone_from(&name);
            let path = format!("/v1/programs/{}", program.now.id);
            self.team.patch(&path, json!({"name": name})).await.expect(200);
        }
    }

    async fn change_state(&mut self) {
        let status = self.dice.one_of(&["active", "active", "paused", "archived"]);
        match self.dice.roll(4) {
            0 => {
                self.discard = !self.discard;
                let setting = if self.discard { "discard_context" } else { "keep" };
                self.team.patch("/v1/workspace", json!({"inactive_partner_clicks": setting})).await.expect(200);
            }
            1 => {
                let program = self.dice.one_of_mut(&mut self.world.programs);
                program.status = status;
                let path = format!("/v1/programs/{}", program.now.id);
                self.team.patch(&path, json!({"status": status})).await.expect(200);
            }
            _ => {
                let relationship = self.dice.one_of(&["approved", "approved", "banned"]);
                let partner = self.dice.one_of_mut(&mut self.world.partners);
                (partner.status, partner.relationship) = (status, relationship);
                let path = format!("/v1/partners/{}", partner.now.id);
                let body = json!({"status": status, "relationship": relationship});
                self.team.patch(&path, body).await.expect(200);
            }
        }
    }

    async fn change_terms(&mut self, number: usize) {
        let dice = &mut self.dice;
        let applies_to = dice.one_of::<&[&'static str]>(&[&["sale"], &["lead"], &["lead", "sale"]]).to_vec();
        let (pay, mut body) = if dice.roll(2) == 0 {
            let bps = i64::from(dice.one_of(&[0, 1, 250, 1_250, 10_000]));
            (Pay::Share(bps), json!({"basis": "percentage", "rate_bps": bps}))
        } else {
            let (amount, currency) = (dice.one_of(&[0, 1, 333, 5_000]), dice.one_of(&["USD", "JPY", "KWD"]));
            let body = json!({"basis": "fixed", "amount_minor": amount, "currency": currency});
            (Pay::Fixed(amount, currency.into()), body)
        };
        let hold_days = i64::from(dice.one_of(&[0, 14]));
        body["applies_to"] = json!(applies_to);
        body["hold_days"] = hold_days.into();
        let terms = (dice.roll(5) > 0).then_some(Terms { pay, applies_to, hold_days });
        let program = &mut self.world.programs[number];
        if program.versions.last().and_then(|last| last.terms.as_ref()) == terms.as_ref() {
            return;
        }
        let body = json!({"reward_terms": terms.as_ref().map(|_| body)});
        self.team.patch(&format!("/v1/programs/{}", program.now.id), body).await.expect(200);
        let started = "select (extract(epoch from max(started_at)) * 1000000)::bigint from program_reward_terms where program_id = $1";
        let id: ProgramId = program.now.id.parse().unwrap();
        let started_micros: i64 = sqlx::query_scalar(started).bind(id.uuid()).fetch_one(&self.pool).await.unwrap();
        let number = program.versions.last().map_or(0, |last| last.number) + 1;
        program.versions.push(Version { number, started_micros, step: self.step, terms });
    }

    async fn click(&mut self) {
        let number = self.dice.below(self.world.links.len());
        let link = &self.world.links[number];
        let (bot, qr) = (self.dice.roll(6) == 0, self.dice.roll(4) == 0);
        let ago = i64::from(self.dice.one_of(&[0, 50, 1_000])) + i64::from(self.dice.one_of(&[0, 0, 1, 3])) * DAY;
        let visit = Visit {
            host: &self.host,
            slug: link.slug,
            agent: if bot { "curl/8.5.0" } else { PHONE },
            query: if qr { "qr=1" } else { "" },
            ..Visit::default()
        };
        let at = self.service.now().plus(-ago);
        let visited = self.service.visit_as(&visit, at).await;
        let owner = link.owner.filter(|(partner, _)| !self.discard || self.world.partners[*partner].status == "active");
        let program = owner.and_then(|(_, program)| program);
        self.world.clicks.push(Click {
            id: visited.id.clone(),
            at: at.0,
            link: number,
            partner: owner.map(|(partner, _)| self.world.partners[partner].now.clone()),
            program: program.map(|program| (program, self.world.programs[program].now.clone())),
            bot,
            qr,
            delivered: None,
        });
        self.visited.push(visited);
    }

    /// Delivers some clicks, of which some may have been delivered before.
    async fn deliver(&mut self) {
        if self.visited.is_empty() {
            return;
        }
        let chosen: Vec<usize> = (0..1 + self.dice.roll(5)).map(|_| self.dice.below(self.visited.len())).collect();
        let clicks: Vec<&Visited> = chosen.iter().map(|&number| &self.visited[number]).collect();
        let receipt = self.service.deliver(&clicks).await;
        let mut new = 0;
        for number in chosen {
            let click = &mut self.world.clicks[number];
            new += u64::from(click.delivered.is_none());
            click.delivered.get_or_insert(self.step);
        }
        assert_eq!(receipt["stored"], new, "{receipt}");
    }

    /// Makes an event, to be sent at some time.
    fn draft(&mut self) {
        let dice = &mut self.dice;
        let source = dice.below(2);
        self.counters[source] += 1;
        let kind = dice.one_of(&["lead", "sale", "sale", "sale", "refund", "refund", "cancellation", "reversal"]);
        let mut body = json!({"event_id": format!("e{}", self.counters[source]), "type": kind});
        if dice.roll(5) > 0 {
            let amount = dice.one_of(&[0, 1, 25, 999, 1_000, 10_000]) + i64::try_from(dice.roll(100)).unwrap();
            body["amount_minor"] = amount.into();
            body["currency"] = dice.one_of(&["USD", "USD", "USD", "JPY", "KWD"]).into();
        }
        if dice.roll(3) > 0 {
            body["customer_id"] = dice.one_of(&CUSTOMERS).into();
        }
        let mut token = None;
        if matches!(kind, "lead" | "sale") {
            if dice.roll(2) == 0 {
                body["order_id"] = dice.one_of(&ORDERS).into();
            }
            let clicks = &self.world.clicks;
            let about = (!clicks.is_empty()).then(|| dice.below(clicks.len()));
            match (dice.roll(10), about) {
                (0, _) => {
                    body["nim_ct"] = "garbage".into();
                    token = Some(Token::Garbage);
                }
                (1..7, Some(click)) => {
                    body["nim_ct"] = self.visited[click].token.clone().into();
                    token = Some(Token::Of(click));
                }
                _ => {}
            }
            if let (Some(click), 0..3) = (about, dice.roll(4)) {
                let apart = dice.one_of(&[-6 * MINUTE, -4 * MINUTE, -1, 0, 1, DAY, DAY + 1, 2 * DAY, 2 * DAY + 1]);
                let at = Millis(clicks[click].at).plus(apart).min(self.service.now());
                body["occurred_at"] = Timestamp::from_millis(at).to_string().into();
            }
        } else if dice.roll(2) > 0 {
            body["original_event_id"] = format!("e{}", 1 + dice.roll(self.counters[source] + 3)).into();
        } else {
            body["order_id"] = dice.one_of(&ORDERS).into();
        }
        self.unsent.push(Draft { source, body, token });
    }

    /// Sends some of the events that were made, in any order, alone or together.
    async fn send(&mut self) {
        let source = self.dice.below(2);
        let mut drafts = vec![];
        for _ in 0..1 + self.dice.roll(6) {
            let mine: Vec<usize> = (0..self.unsent.len()).filter(|&n| self.unsent[n].source == source).collect();
            if !mine.is_empty() {
                drafts.push(self.unsent.remove(mine[self.dice.below(mine.len())]));
            }
        }
        let from = self.service.now();
        let results = match drafts.as_slice() {
            [] => return,
            [one] => vec![self.sources[source].send(&one.body).await.expect(200)],
            many => {
                let bodies: Vec<&Value> = many.iter().map(|draft| &draft.body).collect();
                let answer = self.sources[source].send(&json!({"events": bodies})).await.expect(200);
                answer["results"].as_array().unwrap().clone()
            }
        };
        let to = self.service.now();
        for (Draft { body, token, .. }, result) in drafts.into_iter().zip(results) {
            assert_eq!(result["status"], "accepted", "{result}");
            let conversion = text(&result, "/conversion_id");
            let occurred = match body["occurred_at"].as_str() {
                Some(said) => Timestamp::parse(said).unwrap().millis(),
                None => {
                    let read = self.team.get(&format!("/v1/conversions/{conversion}")).await.expect(200);
                    let receipt = Timestamp::parse(&text(&read, "/occurred_at")).unwrap().millis();
                    assert!((from..=to).contains(&receipt), "{read}");
                    receipt
                }
            };
            let part = |name: &str| body[name].as_str().map(str::to_owned);
            self.sent.push((body.clone(), self.world.events.len()));
            self.world.events.push(Event {
                step: self.step,
                source,
                event_id: text(&body, "/event_id"),
                kind: ["lead", "sale", "refund", "cancellation", "reversal"]
                    .into_iter()
                    .find(|kind| body["type"] == *kind)
                    .unwrap(),
                token,
                customer: part("customer_id"),
                order: part("order_id"),
                original: part("original_event_id"),
                amount: body["amount_minor"].as_i64(),
                currency: part("currency"),
                occurred: occurred.0,
                conversion,
            });
        }
    }

    /// Sends something again, as it was or otherwise.
    async fn repeat(&mut self) {
        if self.sent.is_empty() {
            return;
        }
        let number = self.dice.below(self.sent.len());
        let (mut body, event) = self.sent[number].clone();
        let event = &self.world.events[event];
        let source = &self.sources[event.source];
        if self.dice.roll(3) == 0 {
            body["metadata"] = json!({"other": true});
            source.send(&body).await.expect_problem(409, "event_id_conflict");
        } else {
            let again = source.send(&body).await.expect(200);
            assert_eq!((&again["status"], &again["conversion_id"]), (&json!("duplicate"), &json!(event.conversion)));
        }
    }

    /// The conversion list, whole, by conversion.
    pub async fn listed(&self) -> HashMap<String, Value> {
        let mut found = HashMap::new();
        let mut cursor = String::new();
        loop {
            let page = self.team.get(&format!("/v1/conversions?limit=100{cursor}")).await.expect(200);
            for row in page["data"].as_array().unwrap() {
                found.insert(text(row, "/id"), row.clone());
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return found,
            }
        }
    }

    pub fn source_id(&self, source: usize) -> &str {
        &self.sources[source].id
    }
}
