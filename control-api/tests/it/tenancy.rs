//! The schema shards by workspace as it is: what identifies a row of a tenant, what refers to it and what is joined with
//! it names the workspace. Told by the catalog and by the sources of the queries.

use std::{collections::BTreeSet, fs, path::Path};

use sqlx::PgPool;

/// Unique keys without a workspace: directories that map an outside name to one, and tables of no tenant.
const GLOBAL_KEYS: [&str; 11] = [
    // Directories.
    "api_keys_hash_unique",
    "domains_hostname_unique",
    "sources_id_unique",
    "workspaces_pkey",
    "workspaces_slug_unique",
    // A click is refused by its id alone: it may name no workspace.
    "click_rejections_pkey",
    // Counts of the edge, over all workspaces.
    "click_hours_pkey",
    "click_mints_pkey",
    // What instances share: their turns at the edge's store, and the sweep's place.
    "edge_api_pkey",
    "edge_sweep_pkey",
    // sqlx's own.
    "_sqlx_migrations_pkey",
];

/// Tables that hold rows of tenants: they have the column.
async fn tenant_tables(db: &PgPool) -> BTreeSet<String> {
    let tables: Vec<String> = sqlx::query_scalar(
        "select c.relname::text from pg_class c
         join pg_attribute a on a.attrelid = c.oid and a.attname = 'workspace_id' and not a.attisdropped
         where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition",
    )
    .fetch_all(db)
    .await
    .unwrap();
    assert!(tables.len() > 15, "{tables:?}");
    tables.into_iter().collect()
}

#[sqlx::test(migrations = "../migrations")]
async fn unique_keys_begin_with_the_workspace(db: PgPool) {
    let keys: Vec<(String, String)> = sqlx::query_as(
        "select i.relname::text, a.attname::text from pg_index x
         join pg_class i on i.oid = x.indexrelid
         join pg_class t on t.oid = x.indrelid
         join pg_attribute a on a.attrelid = t.oid and a.attnum = x.indkey[0]
         where t.relnamespace = 'public'::regnamespace and x.indisunique and not t.relispartition",
    )
    .fetch_all(&db)
    .await
    .unwrap();
    let without: BTreeSet<&str> =
        keys.iter().filter(|(_, first)| first != "workspace_id").map(|(key, _)| key.as_str()).collect();
    assert_eq!(without, GLOBAL_KEYS.into_iter().collect(), "unique keys that don't begin with workspace_id");
}

#[sqlx::test(migrations = "../migrations")]
async fn references_between_rows_of_tenants_carry_the_workspace(db: PgPool) {
    let references: Vec<(String, Vec<String>, Vec<String>)> = sqlx::query_as(
        "select k.conname::text,
           array(select a.attname::text from unnest(k.conkey) with ordinality c (n, place)
                 join pg_attribute a on a.attrelid = k.conrelid and a.attnum = c.n order by c.place),
           array(select a.attname::text from unnest(k.confkey) with ordinality c (n, place)
                 join pg_attribute a on a.attrelid = k.confrelid and a.attnum = c.n order by c.place)
         from pg_constraint k where k.contype = 'f' and k.confrelid <> 'workspaces'::regclass",
    )
    .fetch_all(&db)
    .await
    .unwrap();
    assert!(references.len() > 5);
    for (name, ours, theirs) in references {
        assert_eq!((&*ours[0], &*theirs[0]), ("workspace_id", "workspace_id"), "{name}");
    }
}

#[sqlx::test(migrations = "../migrations")]
async fn joins_of_rows_of_tenants_carry_the_workspace(db: PgPool) {
    let tables = tenant_tables(&db).await;
    let (mut joins, mut without) = (0, vec![]);
    for (file, text) in sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/store/src"))) {
        // Words, so that line breaks and indentation say nothing.
        let words: Vec<&str> =
            text.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|w| !w.is_empty()).collect();
        for (place, pair) in words.windows(2).enumerate() {
            if pair[0] != "join" || !tables.contains(pair[1]) {
                continue;
            }
            joins += 1;
            const ENDS: [&str; 8] = ["join", "where", "group", "order", "returning", "union", "limit", "fn"];
            let mut condition = words[place + 2..].iter().take_while(|word| !ENDS.contains(word));
            if !condition.any(|&word| word == "workspace_id") {
                without.push(format!("{file}: join {}", pair[1]));
            }
        }
    }
    assert!(joins > 30, "the sources of the queries are elsewhere: {joins}");
    assert_eq!(without, Vec::<String>::new(), "joins without workspace_id");
}

/// The texts of a folder's files, at any depth.
fn sources(folder: &Path) -> Vec<(String, String)> {
    let mut found = vec![];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else {
            found.push((path.display().to_string(), fs::read_to_string(&path).unwrap()));
        }
    }
    found
}
