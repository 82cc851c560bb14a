//! A view with a public, an internal and a private project, and somebody who asks.

use std::sync::Arc;

use auth::{Identities, Person, Unreachable, WhoIs};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use events::ProjectState;
use gitlab::TokenHeader;
use model::{Digest, Generation, ProjectId, Secret, Timestamp, UserId, Visibility};
use query_service::{Config, QueryService};
use runtime::Edges;
use store::{
    Difference, Facts, FactsMember, GraphState, LiveFacts, Piece, PieceKey, ProjectNotes, Reader,
    StoreOptions, Writer,
};
use tower::ServiceExt;

pub const HOST: &str = "renku.example.org";
pub const TOKEN: &str = "0123456789abcdef";

pub fn project(id: i64) -> ProjectId {
    ProjectId::new(id).unwrap()
}

pub fn state(slug: &str, visibility: Visibility) -> ProjectState {
    ProjectState {
        slug: slug.parse().unwrap(),
        name: slug.rsplit('/').next().unwrap().to_owned(),
        description: Some("of GitLab".into()),
        visibility,
        members: Vec::new(),
        default_branch: Some("main".into()),
        created_at: Timestamp::parse_rfc3339("2024-01-02T00:00:00Z").unwrap(),
        updated_at: None,
        creator_id: None,
        topics: vec!["topic".into()],
        images: Vec::new(),
        fork_parent: None,
        empty_repository: false,
        archived: false,
        http_url: format!("https://gitlab.example.org/{slug}.git"),
        ssh_url: format!("git@gitlab.example.org:{slug}.git"),
        web_url: format!("https://gitlab.example.org/{slug}"),
        readme_url: None,
        forks_count: 0,
        stars_count: 1,
    }
}

/// GitLab as far as it tells whose a token is.
struct Accounts;

#[async_trait::async_trait]
impl WhoIs for Accounts {
    async fn who_is(&self, token: &Secret, _: TokenHeader) -> Result<Option<Person>, Unreachable> {
        match token.expose().strip_prefix("token-of-") {
            Some("nobody-who-can-be-asked") => Err(Unreachable),
            Some(text) => {
                let number = text.strip_prefix("external-");
                let user = number.unwrap_or(text).parse().ok();
                let external = number.is_some();
                Ok(user.map(|user| Person { user, external }))
            }
            None => Ok(None),
        }
    }
}

/// Tokens `token-of-7` are user 7's; `a-service-token` is a service's that sees what is internal.
pub fn identities(edges: &Edges) -> Arc<Identities> {
    let config = auth::Config {
        service_tokens: vec![auth::ServiceToken {
            name: "indexer".into(),
            sha256: "8bf90bbf51da4d0715eb2fb6fd4f4a791fc0fbe74e13f123d34701a76842e3c0".into(),
            grant: auth::GrantOf::Internal,
        }],
        ..auth::Config::default()
    };
    Arc::new(Identities::with(&config, None, Some(Arc::new(Accounts)), edges))
}

pub struct Rig {
    _folder: tempfile::TempDir,
    pub writer: Writer,
    pub reader: Reader,
    pub edges: Edges,
    pub service: QueryService,
}

impl Rig {
    /// Projects 1 (`g/public`), 2 (`g/internal`), 3 (`g/sub/private`), each with a few triples.
    pub fn new() -> Self {
        Self::with(Config::default())
    }

    pub fn with(config: Config) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = StoreOptions {
            map_size: 1 << 30,
            ..StoreOptions::new(HOST)
        };
        let (writer, reader) = store::open(folder.path(), options).unwrap();
        let edges = Edges::system();
        let admin = Some(Secret::new(TOKEN));
        let service = QueryService::build(
            &config,
            reader.clone(),
            "https://renku.example.org/",
            admin,
            identities(&edges),
            &edges,
        )
        .unwrap();
        let mut rig = Self {
            _folder: folder,
            writer,
            reader,
            edges,
            service,
        };
        for (id, slug, visibility) in [
            (1, "g/public", Visibility::Public),
            (2, "g/internal", Visibility::Internal),
            (3, "g/sub/private", Visibility::Private),
        ] {
            rig.put(id, state(slug, visibility), &rig.words(id, slug));
        }
        rig
    }

    fn words(&self, id: i64, slug: &str) -> String {
        format!(
            "<urn:renku:project> <http://schema.org/description> \"own {slug}\" .\n\
             <urn:renku:project> <http://schema.org/keywords> \"z\" .\n\
             <urn:renku:project> <http://schema.org/keywords> \"a\" .\n\
             <urn:renku:project> <http://schema.org/schemaVersion> \"10\" .\n\
             <https://{HOST}/plans/{id}> <http://schema.org/name> \"plan of {slug}, \\\"quoted\\\"\" .\n"
        )
    }

    /// A user's membership, and facts that say so.
    pub fn set_members(&mut self, id: i64, version: u64, members: &[i64]) {
        let mut txn = self.writer.begin().unwrap();
        let mut facts = txn.facts(project(id)).unwrap().unwrap();
        facts.state_version = Generation::new(version);
        facts.live.as_mut().unwrap().members = members
            .iter()
            .map(|user| FactsMember {
                user: UserId::new(*user).unwrap(),
                until: None,
            })
            .collect();
        txn.apply_facts(project(id), &facts).unwrap();
        txn.commit().unwrap();
    }

    /// Facts and a graph of one piece.
    pub fn put(&mut self, id: i64, state: ProjectState, text: &str) {
        let mut txn = self.writer.begin().unwrap();
        let facts = Facts {
            state_version: Generation::new(1),
            generation: Generation::new(1),
            live: Some(LiveFacts {
                slug: state.slug.clone(),
                visibility: state.visibility,
                members: Vec::new(),
            }),
            payload: serde_json::to_vec(&state).unwrap(),
        };
        txn.apply_facts(project(id), &facts).unwrap();
        let graph = GraphState {
            generation: Generation::new(5),
            digest: Digest::new([1; 32]),
            state_version: Generation::new(1),
            bits: 0,
            sections: vec![Digest::new([1; 32])],
            payload: Vec::new(),
        };
        let mut lines: Vec<_> = text.lines().collect();
        lines.sort_unstable();
        let text = lines.iter().map(|line| format!("{line}\n")).collect();
        let piece = Piece {
            key: PieceKey::of("/x"),
            digest: Digest::new([2; 32]),
            text,
        };
        txn.apply_graph(
            project(id),
            &graph,
            &Difference {
                removed: Vec::new(),
                put: vec![piece],
            },
        )
        .unwrap();
        txn.commit().unwrap();
    }

    pub fn note(&mut self, id: i64, notes: &ProjectNotes) {
        let mut txn = self.writer.begin().unwrap();
        txn.put_note(project(id), &notes.write().unwrap()).unwrap();
        txn.commit().unwrap();
    }

    /// A public project of so many triples.
    pub fn fill(&mut self, id: i64, triples: usize) {
        let text: String = (0..triples)
            .map(|n| {
                format!(
                    "<https://{HOST}/things/{n:07}> <http://schema.org/value> \"{n} {}\" .\n",
                    "x".repeat(40)
                )
            })
            .collect();
        self.put(id, state(&format!("g/filled-{id}"), Visibility::Public), &text);
    }

    pub async fn ask(&self, request: Request<Body>) -> Told {
        ask(self.service.router(), request).await
    }

    pub async fn ask_admin(&self, mut request: Request<Body>, token: &str) -> Told {
        let value = format!("Bearer {token}").parse().unwrap();
        request.headers_mut().insert(header::AUTHORIZATION, value);
        ask(self.service.admin_router(), request).await
    }

    pub async fn get(&self, path: &str) -> Told {
        self.ask(get(path)).await
    }

    pub async fn query(&self, query: &str) -> Told {
        self.ask(query_request(query, "text/csv")).await
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Told {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// `Err`: broken off.
    pub body: Result<String, String>,
}

impl Told {
    pub fn text(&self) -> &str {
        self.body.as_ref().unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(self.text()).unwrap()
    }

    pub fn content_type(&self) -> &str {
        self.headers
            .get(header::CONTENT_TYPE)
            .map_or("", |value| value.to_str().unwrap())
    }
}

pub async fn ask(router: Router, request: Request<Body>) -> Told {
    let response = router.oneshot(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let body = to_bytes(response.into_body(), usize::MAX).await;
    let body = body
        .map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
        .map_err(|error| error.to_string());
    Told {
        status,
        headers,
        body,
    }
}

pub fn get(path: &str) -> Request<Body> {
    Request::builder().uri(path).body(Body::empty()).unwrap()
}

pub fn query_request(query: &str, accept: &str) -> Request<Body> {
    post("application/sparql-query", query.to_owned(), "/sparql", accept)
}

pub fn post(content_type: &str, body: String, path: &str, accept: &str) -> Request<Body> {
    Request::builder()
        .method("POST")
        .uri(path)
        .header(header::CONTENT_TYPE, content_type)
        .header(header::ACCEPT, accept)
        .body(Body::from(body))
        .unwrap()
}
