//! Attribution written a second time, as plainly as it can be said: not as steps that follow each other, but as what
//! holds at the end, looked up anew for every event among everything that ever happened. Slow, and without a database.

use std::cmp::Reverse;

pub const DAY: i64 = 86_400_000;
const TOLERANCE: i64 = 5 * 60_000;

#[derive(Debug, Clone, PartialEq)]
pub struct Named {
    pub id: String,
    pub key: String,
    pub name: String,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Pay {
    Share(i64),
    Fixed(i64, String),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Terms {
    pub pay: Pay,
    pub applies_to: Vec<&'static str>,
    pub hold_days: i64,
}

#[derive(Debug)]
pub struct Version {
    pub number: i64,
    pub started_micros: i64,
    /// Step at which they were made: where the service's clock runs ahead, they began earlier than they were known.
    pub step: usize,
    pub terms: Option<Terms>,
}

#[derive(Debug)]
pub struct Program {
    pub now: Named,
    pub status: &'static str,
    pub window_days: i64,
    pub versions: Vec<Version>,
}

#[derive(Debug)]
pub struct Partner {
    pub now: Named,
    pub status: &'static str,
    pub relationship: &'static str,
}

#[derive(Debug)]
pub struct Link {
    pub id: String,
    pub short_url: String,
    pub slug: &'static str,
    pub destination: String,
    pub tracked: bool,
    /// Indices of a partner and a program.
    pub owner: Option<(usize, Option<usize>)>,
}

/// A click, with the names of its time.
#[derive(Debug)]
pub struct Click {
    pub id: String,
    pub at: i64,
    pub link: usize,
    pub partner: Option<Named>,
    pub program: Option<(usize, Named)>,
    pub bot: bool,
    pub qr: bool,
    /// Step at which the store got it.
    pub delivered: Option<usize>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Token {
    Garbage,
    Of(usize),
}

/// An accepted event, in the order of receipt.
#[derive(Debug)]
pub struct Event {
    /// Step of the request that brought it.
    pub step: usize,
    pub source: usize,
    pub event_id: String,
    pub kind: &'static str,
    pub token: Option<Token>,
    pub customer: Option<String>,
    pub order: Option<String>,
    pub original: Option<String>,
    pub amount: Option<i64>,
    pub currency: Option<String>,
    pub occurred: i64,
    pub conversion: String,
}

impl Event {
    fn leads(&self) -> bool {
        matches!(self.kind, "lead" | "sale")
    }
}

/// What becomes of an event.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Row {
    pub status: &'static str,
    pub method: Option<&'static str>,
    pub reason: Option<&'static str>,
    pub click: Option<usize>,
    /// Whether the click was looked at: its link and window are known.
    pub judged: bool,
    pub original: Option<usize>,
    pub currency: Option<String>,
    pub version: Option<i64>,
    pub pay: Option<Pay>,
    pub reward_currency: Option<String>,
    pub hold_until: Option<i64>,
    pub commission: Option<i64>,
    pub reversed: Option<i64>,
    pub clawback: Option<i64>,
    pub flags: Vec<&'static str>,
    /// When it was settled: step, and within that tokens before customers before new follow-ons.
    settled: (usize, u8),
}

/// Everything that happened.
#[derive(Debug, Default)]
pub struct World {
    pub programs: Vec<Program>,
    pub partners: Vec<Partner>,
    pub links: Vec<Link>,
    pub clicks: Vec<Click>,
    pub events: Vec<Event>,
    pub window_days: i64,
}

impl World {
    pub fn window(&self, click: &Click) -> i64 {
        click.program.as_ref().map_or(self.window_days, |(program, _)| self.programs[*program].window_days)
    }

    /// What becomes of every event.
    pub fn rows(&self) -> Vec<Row> {
        let events = &self.events;
        let mut rows: Vec<Row> =
            events.iter().map(|e| Row { currency: e.currency.clone(), ..Row::default() }).collect();
        for (n, event) in events.iter().enumerate() {
            let same =
                |other: &&Event| other.kind == "sale" && other.source == event.source && other.order == event.order;
            if event.kind == "sale" && event.order.is_some() && events[..n].iter().any(|other| same(&other)) {
                rows[n].flags.push("duplicate_order");
            }
        }
        for (n, event) in events.iter().enumerate().filter(|(_, event)| event.leads()) {
            match event.token {
                Some(Token::Garbage) => self.refuse(&mut rows[n], "token_invalid", (event.step, 0)),
                Some(Token::Of(click)) => match self.clicks[click].delivered {
                    None => self.wait(&mut rows[n], "pending_click", Some(click)),
                    Some(step) => self.judge(&mut rows[n], event, click, "token", (step.max(event.step), 0)),
                },
                None => {}
            }
        }
        for (n, event) in events.iter().enumerate().filter(|(_, event)| event.leads() && event.token.is_none()) {
            let row = self.by_customer(&rows, event);
            rows[n] = Row { flags: rows[n].flags.clone(), currency: event.currency.clone(), ..row };
        }
        self.follow_ons(&mut rows);
        rows
    }

    fn refuse(&self, row: &mut Row, reason: &'static str, settled: (usize, u8)) {
        (row.status, row.reason, row.settled) = ("unattributed", Some(reason), settled);
    }

    fn wait(&self, row: &mut Row, status: &'static str, click: Option<usize>) {
        (row.status, row.click) = (status, click);
    }

    fn judge(&self, row: &mut Row, event: &Event, number: usize, method: &'static str, settled: (usize, u8)) {
        let click = &self.clicks[number];
        (row.click, row.judged) = (Some(number), true);
        let verdict = if event.occurred < click.at - TOLERANCE {
            Some("before_click")
        } else if event.occurred > click.at + self.window(click) * DAY {
            Some("outside_window")
        } else if !self.links[click.link].tracked {
            Some("tracking_disabled")
        } else if click.partner.is_none() {
            Some("no_partner_assignment")
        } else {
            None
        };
        if let Some(reason) = verdict {
            return self.refuse(row, reason, settled);
        }
        (row.status, row.method, row.settled) = ("attributed", Some(method), settled);
        let Some((program, _)) = &click.program else { return };
        let moment = event.occurred.max(click.at);
        let known = |one: &&Version| one.step <= settled.0 && one.started_micros <= moment * 1_000;
        let in_force = self.programs[*program].versions.iter().rfind(known);
        let Some(Version { number, terms: Some(terms), .. }) = in_force else { return };
        row.version = Some(*number);
        if !terms.applies_to.contains(&event.kind) {
            return;
        }
        row.pay = Some(terms.pay.clone());
        row.hold_until = Some(moment + terms.hold_days * DAY);
        (row.commission, row.reward_currency) = match &terms.pay {
            Pay::Share(bps) => (Some(portion(event.amount.unwrap_or(0), *bps, 10_000)), event.currency.clone()),
            Pay::Fixed(amount, currency) => (Some(*amount), Some(currency.clone())),
        };
    }

    /// The latest click of the touches that the customer had made when the event came.
    fn by_customer(&self, rows: &[Row], event: &Event) -> Row {
        let mut row = Row::default();
        let mut settled = (event.step, 1);
        let mut touches: Vec<(i64, &str, &Row)> = vec![];
        for (other, touch) in self.events.iter().zip(rows) {
            let Some(Token::Of(click)) = other.token else { continue };
            let clicked = self.clicks[click].at;
            let before = other.step <= event.step && clicked <= event.occurred && other.leads();
            if before && event.customer.is_some() && other.customer == event.customer {
                touches.push((clicked, &self.clicks[click].id, touch));
            }
        }
        touches.sort_by_key(|(at, id, touch)| Reverse((*at, *id, touch.status == "attributed")));
        for (_, _, touch) in touches {
            if touch.status == "pending_click" {
                self.wait(&mut row, "pending_click", touch.click);
                return row;
            }
            settled = settled.max((touch.settled.0, 1));
            if let ("attributed", Some(click)) = (touch.status, touch.click) {
                self.judge(&mut row, event, click, "customer", settled);
                return row;
            }
        }
        self.refuse(&mut row, "no_token", settled);
        row
    }

    fn follow_ons(&self, rows: &mut [Row]) {
        let mut turns: Vec<((usize, u8), usize, usize)> = vec![];
        for (n, event) in self.events.iter().enumerate().filter(|(_, event)| !event.leads()) {
            let Some(best) = self.candidates(event) else {
                self.wait(&mut rows[n], "pending_original", None);
                continue;
            };
            let owner = |o: usize| {
                let click = rows[o].click.filter(|_| rows[o].status == "attributed").map(|click| &self.clicks[click]);
                click.map(|click| (click.partner.as_ref().map(|p| &p.id), click.program.as_ref().map(|(_, p)| &p.id)))
            };
            let settled = best.iter().map(|&o| rows[o].settled).max().unwrap_or_default().max((event.step, 2));
            if best.iter().any(|&o| rows[o].status.starts_with("pending")) {
                self.wait(&mut rows[n], "pending_original", None);
            } else if best.iter().any(|&o| owner(o) != owner(best[0])) {
                self.refuse(&mut rows[n], "original_ambiguous", settled);
            } else {
                turns.push((settled, n, best[0]));
            }
        }
        turns.sort_unstable();
        for (number, &(settled, n, o)) in turns.iter().enumerate() {
            let before: Vec<&Row> =
                turns[..number].iter().filter(|turn| turn.2 == o).map(|turn| &rows[turn.1]).collect();
            rows[n] = self.reverse(&self.events[n], (o, &rows[o]), &before, settled);
        }
    }

    /// Those that a follow-on chooses from, if they agree.
    fn candidates(&self, event: &Event) -> Option<Vec<usize>> {
        let fits = |other: &Event| {
            other.leads()
                && match &event.original {
                    Some(original) => other.event_id == *original,
                    None => other.order == event.order,
                }
        };
        let all: Vec<usize> = (0..self.events.len()).filter(|&o| fits(&self.events[o])).collect();
        let step = |o: usize| self.events[o].step;
        let before: Vec<usize> = all.iter().copied().filter(|&o| step(o) <= event.step).collect();
        let first = all.iter().copied().map(step).min()?;
        let known = if before.is_empty() { all.into_iter().filter(|&o| step(o) == first).collect() } else { before };
        let rank = |o: usize| {
            let other = &self.events[o];
            (other.source != event.source, event.original.is_none() && other.kind == "lead")
        };
        let best = known.iter().copied().map(rank).min()?;
        Some(known.into_iter().filter(|&o| rank(o) == best).collect())
    }

    fn reverse(&self, event: &Event, (o, original): (usize, &Row), before: &[&Row], settled: (usize, u8)) -> Row {
        let whole = self.events[o].amount;
        let mut row = Row {
            method: (original.status == "attributed").then_some("original"),
            original: Some(o),
            currency: event.currency.clone().or(original.currency.clone()),
            commission: None,
            flags: vec![],
            settled,
            ..original.clone()
        };
        if event.currency.is_some() && original.currency.is_some() && event.currency != original.currency {
            row.flags.push("currency_mismatch");
            row.reversed = event.amount;
            row.clawback = original.commission.map(|_| 0);
            return row;
        }
        let counting = before.iter().filter(|other| other.currency == original.currency);
        let reversed: i64 = counting.filter_map(|other| other.reversed).sum();
        let taken: i64 = before.iter().filter_map(|other| other.clawback).sum();
        let left = whole.map(|whole| (whole - reversed).max(0));
        row.reversed = event.amount.or(left);
        if event.amount.zip(left).is_some_and(|(amount, left)| amount > left) {
            row.flags.push("exceeds_original");
        }
        row.clawback = original.commission.map(|commission| {
            let all = (reversed + row.reversed.unwrap_or(0)).min(whole.unwrap_or(i64::MAX));
            let due = match (&original.pay, whole) {
                (Some(Pay::Share(bps)), _) => portion(all, *bps, 10_000),
                (_, Some(whole)) if whole > 0 => portion(commission, all, whole),
                _ => commission,
            };
            due.min(commission) - taken
        });
        row
    }

    /// Why finance should look at a row.
    pub fn review(&self, rows: &[Row], n: usize) -> Vec<String> {
        let row = &rows[n];
        let click = &self.clicks[row.click.expect("attributed")];
        let id = &click.partner.as_ref().expect("attributed").id;
        let partner = self.partners.iter().find(|partner| partner.now.id == *id).expect("a partner");
        let mut reasons = vec![];
        if partner.relationship != "approved" {
            reasons.push(format!("relationship_{}", partner.relationship));
        }
        if partner.status != "active" {
            reasons.push(format!("partner_{}", partner.status));
        }
        let found = [
            (click.bot, "bot_click"),
            (row.version.is_none(), "no_reward_terms"),
            (rows.iter().any(|other| other.original == Some(n) && other.status == "attributed"), "refunded"),
        ];
        reasons.extend(found.iter().filter(|(is, _)| *is).map(|(_, reason)| (*reason).to_owned()));
        reasons.extend(row.flags.iter().map(|flag| (*flag).to_owned()));
        reasons
    }
}

/// `value · numerator / denominator`; halves go to the even neighbour.
fn portion(value: i64, numerator: i64, denominator: i64) -> i64 {
    let product = i128::from(value) * i128::from(numerator);
    let whole = product / i128::from(denominator);
    let twice_the_rest = 2 * (product - whole * i128::from(denominator));
    let up = twice_the_rest > i128::from(denominator) || twice_the_rest == i128::from(denominator) && whole % 2 == 1;
    i64::try_from(whole + i128::from(up)).unwrap()
}
