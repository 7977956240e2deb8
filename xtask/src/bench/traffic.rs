//! Clicks as the edge writes them, and the same clicks as Postgres' binary COPY takes them.
//!
//! Made before a clock starts: what they cost falls on no measurement.

use std::{borrow::Cow, collections::BTreeMap};

use anyhow::ensure;
use bytes::{BufMut as _, Bytes, BytesMut};
use chrono::Utc;
use shared::{
    Millis,
    classify::{BotReason, Browser, Device, Os},
    click::{Click, Minted, Named, TokenReason, Trigger},
    destination::Utm,
    id::{AssignmentId, ClickId, LinkId, Partner, Program, WorkspaceId},
};
use tokio_postgres::Client;

/// The columns that [`Clicks::rows`] fills, in its order.
pub(super) const COLUMNS: &str = "workspace_id, click_id, link_id, domain, slug, destination, assignment_id, partner_id, \
    partner_key, partner_name, program_id, program_key, program_name, trigger, source, utm_source, utm_medium, \
    utm_campaign, referrer_host, country, region, city, device, browser, os, bot_reason, token_reason, colo, \
    record_version";

/// A link as the edge knows it.
struct Link {
    id: LinkId,
    domain: String,
    slug: String,
    destination: String,
    assignment: Option<AssignmentId>,
    partner: Option<Named<'static, Partner>>,
    program: Option<Named<'static, Program>>,
    utm: Utm,
}

/// A source of new clicks on the links of a workspace.
pub(super) struct Traffic {
    workspace: WorkspaceId,
    links: Vec<Link>,
    random: Random,
    minted: BTreeMap<u64, u64>,
}

/// Some clicks, the older ones first.
pub(super) struct Clicks<'a>(Vec<Click<'a>>);

impl Traffic {
    /// Reads the links of a workspace.
    pub(super) async fn of(sql: &Client, workspace: WorkspaceId) -> anyhow::Result<Self> {
        let rows = sql
            .query(
                "select l.id::text, d.hostname, l.slug, l.destination, a.id::text, p.id::text, p.key, p.display_name,
                   g.id::text, g.key, g.name
                 from links l
                 join domains d on d.workspace_id = l.workspace_id and d.id = l.domain_id
                 left join assignments a on a.workspace_id = l.workspace_id and a.link_id = l.id and a.ended_at is null
                 left join partners p on p.workspace_id = l.workspace_id and p.id = a.partner_id
                 left join programs g on g.workspace_id = l.workspace_id and g.id = a.program_id
                 where l.workspace_id::text = $1 order by l.id",
                &[&workspace.uuid().to_string()],
            )
            .await?;
        let mut links = vec![];
        for (n, row) in rows.iter().enumerate() {
            let id = |at: usize| -> Option<&str> { row.get(at) };
            let name = |at: usize| row.get::<_, Option<String>>(at).unwrap_or_default();
            let partner = id(5).map(str::parse).transpose()?.map(|partner| Named {
                id: shared::Id::from_uuid(partner),
                key: Cow::Owned(name(6)),
                name: Cow::Owned(name(7)),
            });
            let program = id(8).map(str::parse).transpose()?.map(|program| Named {
                id: shared::Id::from_uuid(program),
                key: Cow::Owned(name(9)),
                name: Cow::Owned(name(10)),
            });
            links.push(Link {
                id: LinkId::from_uuid(row.get::<_, String>(0).parse()?),
                domain: row.get(1),
                slug: row.get(2),
                destination: row.get(3),
                assignment: id(4).map(str::parse).transpose()?.map(AssignmentId::from_uuid),
                partner,
                program,
                utm: Utm {
                    source: Some("partner".to_owned()),
                    medium: Some("referral".to_owned()),
                    campaign: Some(format!("season-{}", 1 + n % 8)),
                    ..Utm::default()
                },
            });
        }
        ensure!(!links.is_empty(), "the workspace has no links");
        Ok(Self { workspace, links, random: Random::seeded()?, minted: BTreeMap::new() })
    }

    /// New clicks from now on, as many in each second as `per_second` says.
    pub(super) fn clicks(&mut self, many: usize, per_second: usize) -> Clicks<'_> {
        let Self { workspace, links, random, minted } = self;
        let now = Utc::now().timestamp_millis();
        let clicks = (0..many).map(|n| {
            let link = &links[random.zipf(links.len())];
            let at = Millis(now + i64::try_from(n * 1_000 / per_second).unwrap_or_default());
            // As many isolates as serve such traffic.
            let isolate = random.below(64) as u64;
            let nth = minted.entry(isolate).or_default();
            *nth += 1;
            let bot = random.below(5) == 0;
            let device = [Device::Mobile, Device::Mobile, Device::Desktop, Device::Tablet][random.below(4)];
            let mobile = device == Device::Mobile;
            Click {
                id: ClickId::mint(at, random.bytes()),
                workspace: *workspace,
                link: link.id,
                domain: Cow::Borrowed(&link.domain),
                slug: Cow::Borrowed(&link.slug),
                destination: Cow::Borrowed(&link.destination),
                assignment: link.assignment,
                partner: link.partner.as_ref().map(Named::borrowed),
                program: link.program.as_ref().map(Named::borrowed),
                trigger: if random.below(10) == 0 { Trigger::Qr } else { Trigger::Link },
                source: Some(Cow::Borrowed(SOURCES[random.zipf(SOURCES.len())])),
                utm: Cow::Borrowed(&link.utm),
                experiment: None,
                variant: None,
                referrer_host: (random.below(10) < 6)
                    .then(|| Cow::Owned(format!("site-{}.example.org", random.zipf(3_000)))),
                country: Some(Cow::Borrowed(COUNTRIES[random.zipf(COUNTRIES.len())])),
                region: Some(Cow::Owned(format!("R{}", random.zipf(12)))),
                city: Some(Cow::Owned(format!("City {}", random.zipf(400)))),
                device,
                browser: if mobile { [Browser::Safari, Browser::Chrome] } else { [Browser::Chrome, Browser::Edge] }
                    [random.below(2)],
                os: if mobile { [Os::Ios, Os::Android] } else { [Os::Windows, Os::Macos] }[random.below(2)],
                bot_reason: bot.then_some(BotReason::Crawler),
                token: if bot { TokenReason::Bot } else { TokenReason::Appended },
                colo: Some(Cow::Borrowed("FRA")),
                record_version: 1,
                classifier: 3,
                minted: Some(Minted { isolate: isolate + 1, nth: *nth }),
            }
        });
        Clicks(clicks.collect())
    }
}

const SOURCES: [&str; 8] = ["newsletter", "instagram", "youtube", "tiktok", "blog", "podcast", "reddit", "forum"];
const COUNTRIES: [&str; 16] =
    ["US", "DE", "GB", "JP", "FR", "IN", "BR", "CA", "AU", "NL", "ES", "IT", "SE", "PL", "MX", "KR"];

impl Clicks<'_> {
    /// Those that are human and of a partner: a conversion can name them.
    pub(super) fn worth_a_token(&self) -> Vec<ClickId> {
        let human = self.0.iter().filter(|click| click.bot_reason.is_none() && click.partner.is_some());
        human.map(|click| click.id).collect()
    }

    /// Bodies of `POST /internal/v1/clicks`, and how many clicks each has.
    pub(super) fn batches(&self, size: usize) -> Vec<(Vec<u8>, u64)> {
        let batch = |clicks: &[Click<'_>]| {
            let mut body = String::from(r#"{"clicks":["#);
            for (n, click) in clicks.iter().enumerate() {
                if n > 0 {
                    body.push(',');
                }
                click.write_json(&mut body);
            }
            body.push_str("]}");
            (body.into_bytes(), clicks.len() as u64)
        };
        self.0.chunks(size).map(batch).collect()
    }

    /// What `COPY … (format binary)` reads of the same clicks, in pieces.
    pub(super) fn rows(&self) -> Vec<Bytes> {
        let mut pieces = vec![Bytes::from_static(b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0")];
        for clicks in self.0.chunks(200) {
            let mut piece = BytesMut::new();
            for click in clicks {
                row(click, &mut piece);
            }
            pieces.push(piece.freeze());
        }
        pieces.push(Bytes::from_static(b"\xff\xff"));
        pieces
    }
}

fn row(click: &Click<'_>, out: &mut BytesMut) {
    let (partner, program) = (click.partner.as_ref(), click.program.as_ref());
    let token = click.token.to_string();
    out.put_i16(29);
    for id in [click.workspace.uuid(), click.id.uuid(), click.link.uuid()] {
        field(out, Some(id.as_bytes()));
    }
    for text in [&click.domain, &click.slug, &click.destination] {
        field(out, Some(text.as_bytes()));
    }
    field(out, click.assignment.map(|one| one.uuid().into_bytes()).as_ref().map(<[u8; 16]>::as_slice));
    field(out, partner.map(|one| one.id.uuid().into_bytes()).as_ref().map(<[u8; 16]>::as_slice));
    field(out, partner.map(|one| one.key.as_bytes()));
    field(out, partner.map(|one| one.name.as_bytes()));
    field(out, program.map(|one| one.id.uuid().into_bytes()).as_ref().map(<[u8; 16]>::as_slice));
    field(out, program.map(|one| one.key.as_bytes()));
    field(out, program.map(|one| one.name.as_bytes()));
    let text = |text: &Option<Cow<'_, str>>| text.as_deref().map(str::as_bytes).map(<[u8]>::to_vec);
    let own = |text: &Option<String>| text.as_deref().map(str::as_bytes).map(<[u8]>::to_vec);
    for value in [
        Some(click.trigger.as_str().into()),
        text(&click.source),
        own(&click.utm.source),
        own(&click.utm.medium),
        own(&click.utm.campaign),
        text(&click.referrer_host),
        text(&click.country),
        text(&click.region),
        text(&click.city),
        Some(click.device.as_str().into()),
        Some(click.browser.as_str().into()),
        Some(click.os.as_str().into()),
        click.bot_reason.map(|reason| reason.as_str().into()),
        Some(token.into_bytes()),
        text(&click.colo),
    ] {
        field(out, value.as_deref());
    }
    field(out, Some(&click.record_version.to_be_bytes()));
}

fn field(out: &mut BytesMut, value: Option<&[u8]>) {
    match value {
        Some(bytes) => {
            out.put_i32(i32::try_from(bytes.len()).unwrap_or_default());
            out.put_slice(bytes);
        }
        None => out.put_i32(-1),
    }
}

/// Numbers that look random (`SplitMix64`).
pub(super) struct Random(u64);

impl Random {
    /// Other ones in every run: ids must not repeat.
    pub(super) fn seeded() -> anyhow::Result<Self> {
        let mut seed = [0; 8];
        getrandom::fill(&mut seed)?;
        Ok(Self(u64::from_ne_bytes(seed)))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    #[allow(clippy::cast_possible_truncation, reason = "below a usize")]
    pub(super) fn below(&mut self, many: usize) -> usize {
        (self.next() % many.max(1) as u64) as usize
    }

    /// One of `0..many` by Zipf's law.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "between 1 and many"
    )]
    fn zipf(&mut self, many: usize) -> usize {
        let even = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        (((many + 1) as f64).powf(even) as usize).clamp(1, many) - 1
    }

    fn bytes(&mut self) -> [u8; 10] {
        let mut bytes = [0; 10];
        bytes[..8].copy_from_slice(&self.next().to_ne_bytes());
        bytes[8..].copy_from_slice(&self.next().to_ne_bytes()[..2]);
        bytes
    }
}
