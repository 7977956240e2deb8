//! Many at once: whatever runs beside whatever, the end is that of one after the other.
//!
//! The requests of a test share one thread; their transactions overlap in the database, on ten connections.

use std::collections::{BTreeMap, HashMap};

use axum::http::StatusCode;
use control_api::jobs::late_attribution;
use model::time::Timestamp;
use serde_json::{Value, json};
use shared::Millis;
use sqlx::PgPool;
use tokio::task::JoinSet;

use super::{
    dice::Dice,
    service::{Answer, Service, Source, Team, Visited, text},
};

/// Runs all at once, and answers their answers in the order of the tasks.
async fn at_once<T: Send + 'static>(tasks: Vec<impl Future<Output = T> + Send + 'static>) -> Vec<T> {
    let mut running = JoinSet::new();
    for (number, task) in tasks.into_iter().enumerate() {
        running.spawn(async move { (number, task.await) });
    }
    let mut answers = running.join_all().await;
    answers.sort_by_key(|(number, _)| *number);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

#[sqlx::test(migrations = "../migrations")]
async fn fifty_assignments_of_one_link_leave_one_and_a_gapless_history(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let (_, link) = team.campaign().await;
    let path = format!("/v1/links/{}/assignment", text(&link, "/id"));
    for number in 0..50 {
        let partner = json!({"display_name": format!("p{number}"), "key": format!("p{number}")});
        team.post("/v1/partners", partner).await.expect(201);
    }
    let assign = |number: usize| {
        let (team, path) = (team.clone(), path.clone());
        async move { team.put(&path, json!({"partner": format!("key:p{number}")})).await }
    };
    for answer in at_once((0..50).map(assign).collect()).await {
        answer.expect(200);
    }

    let history = team.get(&format!("{path}s?limit=100")).await.expect(200);
    let mut history = history["data"].as_array().unwrap().clone();
    history.reverse();
    assert_eq!(history.len(), 51, "the first, and fifty");
    for pair in history.windows(2) {
        assert_eq!(pair[0]["ended_at"], pair[1]["started_at"], "{pair:?}");
        assert!(pair[0]["started_at"].as_str() <= pair[0]["ended_at"].as_str(), "{pair:?}");
    }
    assert_eq!(history[50]["ended_at"], Value::Null);
    let current = team.get(&format!("/v1/links/{}", text(&link, "/id"))).await.expect(200);
    assert_eq!(current["assignment"]["id"], history[50]["id"]);
}

/// Sends one body so often at once: one is accepted, and all others are told the same as duplicates.
async fn one_of_fifty(source: &Source, event: &Value) {
    let send = |_| {
        let (source, event) = (source.clone(), event.clone());
        async move { source.send(&event).await }
    };
    let mut statuses: BTreeMap<String, usize> = BTreeMap::new();
    let mut rest: Vec<Value> = vec![];
    for answer in at_once((0..50).map(send).collect()).await {
        let mut answer = answer.expect(200);
        let status = answer.as_object_mut().unwrap().remove("status").unwrap();
        *statuses.entry(status.as_str().unwrap().to_owned()).or_default() += 1;
        rest.push(answer);
    }
    assert_eq!(statuses, BTreeMap::from([("accepted".to_owned(), 1), ("duplicate".to_owned(), 49)]));
    rest.dedup();
    assert_eq!(rest.len(), 1, "{rest:?}");
}

#[sqlx::test(migrations = "../migrations")]
async fn fifty_identical_events_are_one(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let (host, _) = team.campaign().await;
    let source = team.source().await;
    let click = service.visit(&host, "nomura", service.now()).await;
    service.deliver(&[&click]).await;
    let sale = json!({"event_id": "s", "type": "sale", "nim_ct": click.token, "customer_id": "c", "order_id": "o",
        "amount_minor": 1_000, "currency": "EUR"});
    let refund = json!({"event_id": "r", "type": "refund", "order_id": "o", "amount_minor": 400, "currency": "EUR"});
    let early = json!({"event_id": "e", "type": "reversal", "original_event_id": "to come"});
    let again = json!({"event_id": "a", "type": "sale", "customer_id": "c", "amount_minor": 1, "currency": "EUR"});
    for event in [&sale, &refund, &early, &again] {
        one_of_fifty(&source, event).await;
    }
    let listed = team.get("/v1/conversions").await.expect(200);
    let listed = listed["data"].as_array().unwrap();
    assert_eq!(listed.len(), 4);
    let taken: Vec<&Value> =
        listed.iter().map(|row| &row["reward"]["clawback_minor"]).filter(|n| !n.is_null()).collect();
    assert_eq!(taken, [&json!(40)], "refunded once");
    assert!(
        listed
            .iter()
            .all(|row| row["review"]["reasons"].as_array().is_none_or(|r| !r.contains(&json!("duplicate_order"))))
    );
}

/// Events that come one by one at the same moment are stored by few transactions; each is answered as if it had come
/// alone.
#[sqlx::test(migrations = "../migrations")]
async fn single_events_at_one_moment_are_each_answered_for_themselves(pool: PgPool) {
    let service = Service::start(&pool).await;
    let source = service.team().await.source().await;
    let event = |n: usize| match n % 4 {
        // Of each four the last repeats the first, the third contradicts it, the second can't be read.
        0 => (200, json!({"event_id": format!("e{n}"), "type": "lead", "customer_id": format!("c{n}")})),
        1 => (422, json!({"event_id": format!("e{n}"), "type": "gift"})),
        2 => (409, json!({"event_id": format!("e{}", n - 2), "type": "sale"})),
        _ => (200, json!({"event_id": format!("e{}", n - 3), "type": "lead", "customer_id": format!("c{}", n - 3)})),
    };
    let send = |event: &Value| {
        let (source, event) = (source.clone(), event.clone());
        async move { source.send(&event).await }
    };
    let sent: Vec<(u16, Value)> = (0..40).map(event).collect();
    // The first of each four is there before the others come, so that each outcome is certain.
    for answer in at_once(sent.iter().step_by(4).map(|(_, event)| send(event)).collect()).await {
        assert_eq!(answer.expect(200)["status"], "accepted");
    }
    let answers = at_once(sent.iter().map(|(_, event)| send(event)).collect()).await;
    for ((status, event), answer) in sent.iter().zip(answers) {
        let body = answer.expect(*status);
        assert_eq!(body["event_id"], event["event_id"], "{body}");
        if *status == 200 {
            assert_eq!(body["status"], "duplicate", "{body}");
        }
    }
    let stored: Vec<(i64, i64)> =
        sqlx::query_as("select count(*), count(distinct event_id) from conversions").fetch_all(&pool).await.unwrap();
    assert_eq!(stored, [(10, 10)]);
}

/// The same events, enough of them to be stored as if they were new, in batches of every order at once. None is told that the service is busy.
#[sqlx::test(migrations = "../migrations")]
async fn batches_that_overlap_in_any_order_store_everything_once(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let source = team.source().await;
    let mut events: Vec<Value> = vec![];
    for n in 0..65 {
        events.push(json!({"event_id": format!("s{n}"), "type": "sale", "order_id": format!("o{n}"), "amount_minor": 100, "currency": "EUR"}));
        events.push(json!({"event_id": format!("r{n}"), "type": "refund", "order_id": format!("o{n}"), "amount_minor": 10, "currency": "EUR"}));
        events.push(json!({"event_id": format!("x{n}"), "type": "refund", "original_event_id": format!("never {n}")}));
        events.push(json!({"event_id": format!("y{n}"), "type": "reversal", "original_event_id": format!("s{n}")}));
    }
    let mut dice = Dice::new(1);
    let mut batches = vec![];
    for _ in 0..12 {
        dice.shuffle(&mut events);
        batches.push(json!({"events": events}));
    }
    let send = |batch: Value| {
        let source = source.clone();
        async move { source.send(&batch).await }
    };
    let mut accepted = 0;
    for answer in at_once(batches.into_iter().map(send).collect()).await {
        let answer = answer.expect(200);
        let results = answer["results"].as_array().unwrap();
        assert!(results.iter().all(|result| matches!(result["status"].as_str(), Some("accepted" | "duplicate"))));
        accepted += results.iter().filter(|result| result["status"] == "accepted").count();
    }
    assert_eq!(accepted, events.len());
    let (stored, flagged, settled): (i64, i64, i64) = sqlx::query_as(
        "select count(*), count(*) filter (where 'duplicate_order' = any(flags)), count(*) filter (where original_id is not null) from conversions",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!((stored, flagged, settled), (260, 0, 130));
}

/// What a large batch stores as if all of it were new is what small ones store, column by column.
#[sqlx::test(migrations = "../migrations")]
async fn a_large_batch_stores_the_rows_of_small_ones(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let (host, _) = team.campaign().await;
    let (large, small) = (team.source().await, team.source().await);
    let click = service.visit(&host, "nomura", service.now()).await;
    service.deliver(&[&click]).await;
    let occurred_at = Timestamp::from_millis(service.now()).to_string();
    let events = |source: &str| -> Vec<Value> {
        let mut events = vec![];
        for n in 0..60 {
            let id = |what: &str| format!("{source} {what}{n}");
            events.push(
                json!({"event_id": id("l"), "type": "lead", "nim_ct": click.token, "event_name": "Größe \u{1f600}",
                "customer_id": id("c"), "occurred_at": occurred_at, "metadata": {"a": [1, "\"\\\n", null], "ü": {}}}),
            );
            events.push(json!({"event_id": id("s"), "type": "sale", "customer_id": id("c"), "order_id": id("o"),
                "amount_minor": 1_000 + n, "currency": "EUR", "quantity": n + 1, "occurred_at": occurred_at}));
            events.push(json!({"event_id": id("t"), "type": "sale", "order_id": id("o"), "nim_ct": "no token",
                "occurred_at": occurred_at}));
            events
                .push(json!({"event_id": id("r"), "type": "refund", "original_event_id": id("s"), "amount_minor": 10,
                "currency": "USD", "occurred_at": occurred_at}));
            events.push(json!({"event_id": id("w"), "type": "cancellation", "order_id": id("never"),
                "occurred_at": occurred_at}));
        }
        events
    };
    large.send(&json!({"events": events("x")})).await.expect(200);
    for part in events("x").chunks(100) {
        small.send(&json!({"events": part})).await.expect(200);
    }
    // The follow-ons of the small ones find their own source's originals first, as those of the large one do.
    let rows = async |source: &Source| -> Vec<Value> {
        let rows = "select to_jsonb(c) - array['id', 'source_id', 'recorded_at', 'attributed_at', 'original_id']
              || jsonb_build_object('at_once', attributed_at = recorded_at, 'original', original_id is not null)
            from conversions c join sources s on s.id = c.source_id
            where s.id = $1 order by event_id";
        let id: shared::id::SourceId = source.id.parse().unwrap();
        sqlx::query_scalar(rows).bind(id.uuid()).fetch_all(&pool).await.unwrap()
    };
    let (copied, inserted) = (rows(&large).await, rows(&small).await);
    assert_eq!(copied.len(), 300);
    assert_eq!(copied, inserted);
    assert!(copied.iter().any(|row| row["flags"] == json!(["duplicate_order"])));
    assert!(copied.iter().any(|row| row["hold_until"].is_string()));
}

/// Different events that sell the same orders at one moment, by token and by customer in either order: each order has one
/// first sale, and none is told that the service is busy.
#[sqlx::test(migrations = "../migrations")]
async fn an_order_that_many_sell_at_once_has_one_first_sale(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let (host, _) = team.campaign().await;
    let source = team.source().await;
    let click = service.visit(&host, "nomura", service.now()).await;
    service.deliver(&[&click]).await;
    let mut dice = Dice::new(3);
    let mut sent = 0;
    let mut batches = vec![];
    for batch in 0..10 {
        // So many are stored as new, so few as those that are.
        let orders = if batch % 2 == 0 { 260 } else { 12 };
        let mut events: Vec<Value> = vec![];
        for n in 0..orders {
            let (event, order) = (format!("s{batch} {n}"), format!("o{n}"));
            let mut sale = json!({"event_id": event, "type": "sale", "order_id": order});
            if (batch + n) % 3 == 0 {
                sale["nim_ct"] = json!(click.token);
            }
            events.push(sale);
        }
        dice.shuffle(&mut events);
        sent += orders;
        batches.push(json!({"events": events}));
    }
    let send = |batch: Value| {
        let source = source.clone();
        async move { source.send(&batch).await }
    };
    for answer in at_once(batches.into_iter().map(send).collect()).await {
        let answer = answer.expect(200);
        let results = answer["results"].as_array().unwrap();
        assert!(results.iter().all(|result| result["status"] == "accepted"), "{results:?}");
    }
    let (stored, orders, firsts): (i64, i64, i64) = sqlx::query_as(
        "select count(*), count(distinct order_id), count(*) filter (where flags = '{}') from conversions",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!((stored, orders, firsts), (sent, 260, 260));
}

/// Sales that lock each other's originals in opposite orders.
#[sqlx::test(migrations = "../migrations")]
async fn refunds_of_many_sales_at_once_add_up(pool: PgPool) {
    let service = Service::start(&pool).await;
    let team = service.team().await;
    let (host, _) = team.campaign().await;
    let source = team.source().await;
    let click = service.visit(&host, "nomura", service.now()).await;
    service.deliver(&[&click]).await;
    let sale = |n| json!({"event_id": format!("s{n}"), "type": "sale", "nim_ct": click.token, "amount_minor": 333, "currency": "EUR"});
    let sales: Vec<Value> = (0..6).map(sale).collect();
    source.send(&json!({"events": sales})).await.expect(200);
    let mut dice = Dice::new(2);
    let mut batches = vec![];
    for batch in 0..30 {
        let refund = |n: usize| json!({"event_id": format!("r{batch} {n}"), "type": "refund", "original_event_id": format!("s{n}"), "amount_minor": 11, "currency": "EUR"});
        let mut refunds: Vec<Value> = (0..6).map(refund).collect();
        dice.shuffle(&mut refunds);
        batches.push(json!({"events": refunds}));
    }
    let send = |batch: Value| {
        let source = source.clone();
        async move { source.send(&batch).await }
    };
    for answer in at_once(batches.into_iter().map(send).collect()).await {
        answer.expect(200);
    }
    // 30 × 11 of 333 at 10 %: 33 of the commission of 33, the last of it a rounded one.
    let taken: Vec<(i64, i64, i64)> = sqlx::query_as(
        "select sum(reversed_minor)::bigint, sum(clawback_minor)::bigint, count(*) filter (where flags <> '{}') \
         from conversions where original_id is not null group by original_id",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert_eq!(taken, vec![(330, 33, 0); 6]);
}

/// A team on which a story is told, and the clicks of it.
struct Told {
    service: Service,
    team: Team,
    source: Source,
    host: String,
    link: Value,
    clicks: Vec<Visited>,
}

const CHAINS: usize = 5;

impl Told {
    async fn begin(service: &Service, at: Millis) -> Self {
        let team = service.team().await;
        let (host, link) = team.campaign().await;
        let source = team.source().await;
        let mut clicks = vec![];
        for n in 0..2 * CHAINS {
            clicks.push(service.visit(&host, "nomura", at.plus(-1_000 * i64::try_from(n).unwrap())).await);
        }
        Self { service: service.clone(), team, source, host, link, clicks }
    }

    /// What each customer did first: these are received before everything else.
    fn leads(&self, at: Millis) -> Vec<Value> {
        let lead = |n: usize| {
            json!({"event_id": format!("lead {n}"), "type": "lead", "nim_ct": self.clicks[2 * n].token,
            "customer_id": format!("c{n}"), "occurred_at": Timestamp::from_millis(at).to_string()})
        };
        (0..CHAINS).map(lead).collect()
    }

    fn events(&self, at: Millis) -> Vec<Value> {
        let mut events = vec![];
        for n in 0..CHAINS {
            let event = |name: &str, rest: Value| {
                let mut event =
                    json!({"event_id": format!("{name} {n}"), "occurred_at": Timestamp::from_millis(at).to_string()});
                event.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
                event
            };
            let (sale, order) = (format!("sale {n}"), format!("o{n}"));
            let token = &self.clicks[2 * n + 1].token;
            events.extend([
                event("sale", json!({"type": "sale", "nim_ct": token, "order_id": order, "amount_minor": 1_000, "currency": "EUR"})),
                event("part", json!({"type": "refund", "order_id": order, "amount_minor": 300, "currency": "EUR"})),
                event("rest", json!({"type": "cancellation", "original_event_id": sale, "amount_minor": 200, "currency": "EUR"})),
                event("odd", json!({"type": "reversal", "original_event_id": sale, "amount_minor": 5, "currency": "KWD"})),
                event("known", json!({"type": "sale", "customer_id": format!("c{n}"), "amount_minor": 70, "currency": "JPY"})),
                event("undone", json!({"type": "reversal", "original_event_id": format!("known {n}")})),
                event("lost", json!({"type": "refund", "original_event_id": format!("lead {n}"), "amount_minor": 5, "currency": "EUR"})),
            ]);
        }
        events
    }

    /// Every row, whole, under names that are the same for every team.
    async fn end(&self) -> BTreeMap<String, Value> {
        let listed = self.team.get("/v1/conversions?limit=100").await.expect(200);
        let rows = listed["data"].as_array().unwrap();
        let mut names: HashMap<String, String> = HashMap::from([
            (self.source.id.clone(), "source".to_owned()),
            (self.host.clone(), "host".to_owned()),
            (text(&self.link, "/id"), "link".to_owned()),
            (text(&self.link, "/assignment/partner/id"), "partner".to_owned()),
            (text(&self.link, "/assignment/program/id"), "program".to_owned()),
        ]);
        names.extend(self.clicks.iter().enumerate().map(|(n, click)| (click.id.clone(), format!("click {n}"))));
        names.extend(rows.iter().map(|row| (text(row, "/id"), text(row, "/event_id"))));
        rows.iter()
            .map(|row| {
                let mut row = row.clone();
                row.as_object_mut().unwrap().remove("received_at");
                let plain = names.iter().fold(row.to_string(), |text, (id, name)| text.replace(id, name));
                (text(&row, "/event_id"), serde_json::from_str(&plain).unwrap())
            })
            .collect()
    }
}

/// One request of a storm.
async fn request(service: Service, source: Source, clicks: Vec<Visited>, events: Vec<Value>) -> Option<Answer> {
    if events.is_empty() {
        service.deliver(&clicks.iter().collect::<Vec<_>>()).await;
        return None;
    }
    Some(match <[Value; 1]>::try_from(events) {
        Ok([event]) => source.send(&event).await,
        Err(events) => source.send(&json!({"events": events})).await,
    })
}

#[sqlx::test(migrations = "../migrations")]
async fn any_interleaving_ends_like_one_after_the_other(pool: PgPool) {
    let service = Service::start(&pool).await;
    service.advance(Millis::DAY);
    let (clicked, occurred) = (service.now().plus(-Millis::MINUTE), service.now());
    let calm = Told::begin(&service, clicked).await;
    service.deliver(&calm.clicks.iter().collect::<Vec<_>>()).await;
    for event in calm.leads(occurred).into_iter().chain(calm.events(occurred)) {
        calm.source.accepted(event).await;
    }
    let expected = calm.end().await;
    assert_eq!(expected.len(), CHAINS * 8);
    assert!(expected.values().all(|row| row["attribution"]["status"] == "attributed"));

    for seed in 0..6 {
        eprintln!("seed {seed}");
        let mut dice = Dice::new(seed);
        let told = Told::begin(&service, clicked).await;
        told.source.send(&json!({"events": told.leads(occurred)})).await.expect(200);
        // Everything twice: clicks alone or by two, events alone or by up to four.
        let mut storm: Vec<(Vec<Visited>, Vec<Value>)> = vec![];
        for _ in 0..2 {
            let (mut clicks, mut events) = (told.clicks.clone(), told.events(occurred));
            dice.shuffle(&mut clicks);
            dice.shuffle(&mut events);
            while !clicks.is_empty() {
                let size = (1 + dice.below(2)).min(clicks.len());
                storm.push((clicks.split_off(clicks.len() - size), vec![]));
            }
            while !events.is_empty() {
                let size = (1 + dice.below(4)).min(events.len());
                storm.push((vec![], events.split_off(events.len() - size)));
            }
        }
        dice.shuffle(&mut storm);
        let sweeper = tokio::spawn({
            let app = told.service.app.clone();
            async move {
                for _ in 0..3 {
                    late_attribution::sweep(&app).await.unwrap();
                    tokio::task::yield_now().await;
                }
            }
        });
        let requests = storm
            .into_iter()
            .map(|(clicks, events)| request(told.service.clone(), told.source.clone(), clicks, events));
        let answers = at_once(requests.collect()).await;
        sweeper.await.unwrap();
        assert!(answers.iter().flatten().all(|answer| answer.status == StatusCode::OK), "{answers:?}");
        late_attribution::sweep(&told.service.app).await.unwrap();
        let found = told.end().await;
        for (name, row) in &expected {
            assert_eq!(found.get(name), Some(row), "{name}");
        }
        assert_eq!(found.len(), expected.len());
    }
}
