use runtime::{MetricSpec, failpoint, metrics};

use crate::cli::Reference;

/// Every setting: key, default, meaning.
#[rustfmt::skip] // A table: one line a setting.
const SETTINGS: &[(&str, &str, &str)] = &[
    ("data", "`./data`", "Folder for the log, the blobs, the views and the mirrors. Flag `--data`."),
    ("listen", "`127.0.0.1:8080`", "Public listener. Off loopback it needs identity. Flag `--listen`."),
    ("admin_listen", "`127.0.0.1:8081`", "Listener for `/metrics`, `/health/*`, `/admin/*`. Flag `--admin-listen`."),
    ("public_url", "`http://` and the public listener", "How users reach this installation."),
    ("rdf.host", "host of `public_url`, else `localhost`", "The host in every IRI made here. A change rebuilds the views."),
    ("gitlab.url", "none: needed by commit-fetcher", "GitLab's address. No other host is ever asked, redirects are not followed."),
    ("gitlab.token", "none", "Secret. The service's token (`read_api`, `read_repository`), used where a project has none."),
    ("hooks.secrets", "none: needed by webhook-service", "Secrets, a list. The first signs hook tokens, all are accepted."),
    ("blobs.url", "`blobs` in the data folder", "Where values are that are too large for a record: `file:///…`, a folder. Roles in several processes need the same one."),
    ("bus.kind", "`embedded`", "`embedded`: the log in the data folder, which belongs to one process. `kafka`: a cluster, for roles in several processes."),
    ("bus.brokers", "none: needed for kafka", "Brokers to ask first: `host:port`, separated by commas."),
    ("bus.registry_url", "none", "A schema registry with Confluent's API, e.g. `http://registry:8080/apis/ccompat/v7`: values have its framing. Without: single-object encoding."),
    ("bus.kafka.prefix", "none", "Put before every topic and group, so that several installations can share a cluster."),
    ("bus.kafka.instance", "none", "This process among its like, the same after a restart. With it a restart within the session keeps its partitions."),
    ("bus.kafka.make_topics", "`true`", "Make missing topics at the start. With `false` they only have to be as declared: see `renkud topics apply`."),
    ("bus.kafka.replication", "0", "Copies of each partition of topics that are made; 0: the cluster's default."),
    ("bus.kafka.deadline_seconds", "15", "When a request, or the sending of a record, is given up, in seconds."),
    ("bus.kafka.session_seconds", "45", "A member that is silent for so long has lost its partitions, in seconds; more than the 20 that handing over may take."),
    ("bus.kafka.tls", "`false`", "Speak TLS; the brokers' names are checked. Needed with a password off loopback."),
    ("bus.kafka.authorities", "the system's", "PEM file with the authorities to trust."),
    ("bus.kafka.certificate", "none", "PEM file with our own certificate, if the brokers want one."),
    ("bus.kafka.key", "none", "PEM file with its key."),
    ("bus.kafka.user", "none", "Log in with SCRAM-SHA-512 as this user. Access rules are for one user a role."),
    ("bus.kafka.password", "none", "Secret. Its password."),
    ("bus.kafka.oauth_token_url", "none", "Log in with OAUTHBEARER instead: tokens by client credentials from this endpoint, `https://…`. The token's subject is the user that access rules name."),
    ("bus.kafka.oauth_client_id", "none", "The client that tokens are asked for as."),
    ("bus.kafka.oauth_client_secret", "none", "Secret. That client's secret."),
    ("bus.kafka.oauth_scope", "none", "Scope to ask for, words separated by spaces."),
    ("fetcher.concurrency", "8", "How many projects are looked at at once, 1 to 256."),
    ("fetcher.retry_first_ms", "500", "The first wait after GitLab failed, in milliseconds; it doubles each time."),
    ("fetcher.retry_most_seconds", "60", "The longest of these waits, in seconds."),
    ("fetcher.refused_first_ms", "15000", "The first wait after GitLab refused the token, in milliseconds; it doubles each time."),
    ("fetcher.refused_most_seconds", "300", "The longest of these waits, in seconds."),
    ("fetcher.give_up_hours", "72", "Push events that could not be answered for this long are parked, in hours; below the 168 that their topic keeps."),
    ("fetcher.cached_sections", "50000", "How many sections of metadata lists are remembered."),
    ("fetcher.grace_seconds", "12", "How long looks may take to end at a stop, in seconds."),
    ("generator.concurrency", "2", "How many graphs are made at once, 1 to 256."),
    ("generator.cache_mib", "256", "How much memory may be kept so that the next push is cheap, in MiB."),
    ("generator.grace_seconds", "12", "How long the work in hand may take to end at a stop, in seconds."),
    ("store.map_size", "1024", "Largest size of the view's file, in GiB. Address space only: the file grows as data comes."),
    ("store.max_readers", "1024", "Reads under way at once, over all processes of the node."),
    ("store.snapshot_age", "120", "How old a read may get, in seconds."),
    ("store.transaction_bytes", "16777216", "Most bytes of triples that change in one transaction; larger changes go in steps."),
    ("limits.query_seconds", "60", "Seconds that a query may take, the sending of its answer included."),
    ("limits.query_rows", "10000000", "Rows or triples of an answer."),
    ("limits.query_quads", "500000000", "Quads that a query may be given."),
    ("limits.query_memory_mib", "512", "MiB of memory that a query may take; all that run take `limits.queries` times that at most."),
    ("limits.queries", "8", "Queries at one time; more wait their turn."),
    ("limits.queue_seconds", "5", "Seconds that a query may wait for its turn."),
    ("limits.position_seconds", "30", "Seconds that a read with `Renku-Position` may wait for the views."),
    ("auth.issuer", "none: no JSON web token is good", "The identity provider, as its tokens' `iss` names it, e.g. `https://renku.example.org/auth/realms/Renku`."),
    ("auth.audiences", "`[\"renku\"]`", "One of them must be in a token's `aud`."),
    ("auth.clients", "`[]`: all", "Clients (`azp`) whose tokens are taken."),
    ("auth.algorithms", "`[\"RS256\"]`", "Signatures that are taken: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA."),
    ("auth.jwks_url", "as the issuer's discovery document says", "Where the provider's keys are."),
    ("auth.user_claim", "`gitlab_user_id`", "The claim with the user's number in GitLab. A token without it is refused."),
    ("auth.external_claim", "`gitlab_external`", "The claim that is `true` if GitLab knows the user as external: such users see internal projects only as members."),
    ("auth.leeway_seconds", "10", "By how much clocks may differ, 0 to 60 seconds."),
    ("auth.keys_min_refresh_seconds", "30", "A token with an unknown key makes the keys be fetched again, once in so many seconds at most."),
    ("auth.keys_max_age_seconds", "300", "Keys are fetched again after so many seconds; while the provider is down, known ones go on."),
    ("auth.gitlab_tokens", "`true`", "Ask GitLab (`gitlab.url`) whose its tokens are."),
    ("auth.token_cache_seconds", "60", "How long its answer holds, 0 to 600 seconds; 60 seconds more while it is down."),
    ("auth.token_cache_entries", "10000", "How many answers are remembered, by a hash of the token."),
    ("auth.service_tokens", "`[]`", "Tokens of programs: `{ name = \"…\", sha256 = \"…\", grant = \"public\" }`; grant: `\"public\"`, `\"internal\"` or `{ projects = [1, 2] }`."),
    ("auth.gateway_keys", "`[]`", "The gateway's public keys: `{ id = \"…\", x = \"…\" }`, Ed25519, 32 bytes in base64url. Two while they are rotated."),
    ("admin.token", "none", "Secret, 16 characters or more. Asked for on the admin listener, where its bearer sees everything; needed off loopback."),
    ("admin.tls.certificate", "none", "PEM file with the certificate chain of the admin listener; needed off loopback."),
    ("admin.tls.key", "none", "PEM file with its private key."),
    ("log.format", "`text`", "`text` for people, `json` for machines. Logs go to standard error."),
    ("log.filter", "`info`", "A level, or `target=level` pairs: `info,bus=debug`."),
    ("traces.endpoint", "none", "A collector of traces that speaks OTLP over HTTP, e.g. `http://127.0.0.1:4318`: spans go to `/v1/traces` below it. Without: none are sent."),
    ("traces.sample", "1", "Which share of the traces that begin here is sent, 0 to 1. One that began elsewhere is sent if its `traceparent` says so."),
];

/// The keys of all settings.
pub fn setting_keys() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().map(|(key, ..)| *key)
}

/// The catalogues of all roles, and of what they stand on.
fn catalogues() -> Vec<(&'static str, &'static [MetricSpec])> {
    vec![
        ("every process", runtime::process::METRICS),
        ("disks of the data", runtime::disk::METRICS),
        ("traces", runtime::traces::METRICS),
        (
            "consumer groups of commit-fetcher and triple-generator",
            groups::METRICS,
        ),
        ("webhook-service", webhook_service::METRICS),
        ("commit-fetcher", commit_fetcher::METRICS),
        ("triple-generator", triple_generator::METRICS),
        ("graph-writer", graph_writer::METRICS),
        ("query-service", query_service::METRICS),
    ]
}

/// A reference document in Markdown (or, for failpoints, plain lines).
pub fn document(what: Reference) -> String {
    match what {
        Reference::Metrics => metrics_document(),
        Reference::Configuration => configuration_document(),
        Reference::Failpoints => failpoint::names()
            .into_iter()
            .map(|name| format!("{name}\n"))
            .collect(),
    }
}

fn metrics_document() -> String {
    let mut out = String::from(
        "# Metrics\n\nWritten by `cargo run -p xtask -- metrics` from the catalogues; do not edit.\n\n\
         `/metrics` on the admin listener gives those of the roles that run in the process. Durations are in seconds, sizes in\n\
         bytes. No label holds a project, a name or a token.\n",
    );
    for (role, specs) in catalogues() {
        out.push_str(&format!("\n## {role}\n\n{}", metrics::markdown(specs)));
    }
    out
}

fn configuration_document() -> String {
    let mut out = String::from(
        "# Configuration\n\nWritten by `cargo run -p xtask -- config`; do not edit.\n\n\
         Later over earlier: defaults, the TOML file (`--config FILE`), `RENKU__SECTION__KEY` variables (`RENKU__GITLAB__URL`;\n\
         lists as in TOML: `RENKU__HOOKS__SECRETS='[\"…\"]'`), flags. An unknown key, a wrong type or a refused value stops the\n\
         start with an error that names the key and where it came from. `renkud config check` tries, `renkud config show` prints\n\
         all settings with their sources and no secret.\n\n\
         | key | default | meaning |\n|---|---|---|\n",
    );
    for (key, default, meaning) in SETTINGS {
        out.push_str(&format!("| `{key}` | {default} | {meaning} |\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use model::Secret;
    use runtime::http::TlsFiles;

    use super::*;
    use crate::settings::Settings;

    /// Settings in which every optional key is there.
    fn full() -> Settings {
        let mut settings = Settings::default();
        settings.gitlab.token = Some(Secret::new("x"));
        settings.admin.token = Some(Secret::new("x"));
        settings.bus.kafka.password = Some(Secret::new("x"));
        settings.bus.kafka.oauth_client_secret = Some(Secret::new("x"));
        settings.admin.tls = Some(TlsFiles {
            certificate: "c".into(),
            key: "k".into(),
        });
        settings
    }

    fn keys(prefix: &str, table: &toml::Table, out: &mut BTreeSet<String>) {
        for (name, value) in table {
            let key = if prefix.is_empty() {
                name.clone()
            } else {
                format!("{prefix}.{name}")
            };
            match value.as_table() {
                Some(inner) => keys(&key, inner, out),
                None => {
                    out.insert(key);
                }
            }
        }
    }

    #[test]
    fn every_setting_is_described() {
        let mut there = BTreeSet::new();
        keys("", &toml::Table::try_from(full()).unwrap(), &mut there);
        let described: BTreeSet<String> = SETTINGS.iter().map(|(key, ..)| (*key).to_owned()).collect();
        assert_eq!(there, described);
    }

    #[test]
    fn catalogues_keep_the_rules_together() {
        let all: Vec<MetricSpec> = catalogues()
            .into_iter()
            .flat_map(|(_, specs)| specs.to_vec())
            .collect();
        assert_eq!(metrics::catalogue_faults(&all), Vec::<String>::new());
    }

    #[test]
    fn documents_are_up_to_date() {
        for (what, file) in [
            (Reference::Metrics, "metrics.md"),
            (Reference::Configuration, "configuration.md"),
        ] {
            let path = format!("{}/../../docs/{file}", env!("CARGO_MANIFEST_DIR"));
            assert!(
                document(what) == std::fs::read_to_string(path).unwrap_or_default(),
                "run: cargo run -p xtask -- metrics; cargo run -p xtask -- config"
            );
        }
    }
}
