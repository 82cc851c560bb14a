//! A project as `GET /knowledge-graph/projects/:slug` shows it: GitLab's facts, and what the project's graph says of itself
//! (`renku-graph`, `knowledge-graph/…/projects/details/` for the shape). Fields that we do not have are left out.

use events::ProjectState;
use model::{ProjectId, Timestamp, Visibility};
use serde::Serialize;

/// What the project's own graph says of its node.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct OwnWords {
    pub description: Option<String>,
    pub keywords: Vec<String>,
    pub schema_version: Option<String>,
    pub date_created: Option<Timestamp>,
    /// `schema:contentUrl`s, by position.
    pub images: Vec<String>,
}

/// The project that this one was forked from, if the caller may see it.
pub(crate) struct Parent<'a> {
    pub state: &'a ProjectState,
}

/// The answer.
#[derive(Debug, Serialize)]
pub(crate) struct Details {
    identifier: ProjectId,
    path: String,
    slug: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    visibility: Visibility,
    created: Created,
    #[serde(rename = "dateModified")]
    date_modified: String,
    urls: Urls,
    forking: Forking,
    keywords: Vec<String>,
    #[serde(rename = "starsCount")]
    stars_count: i32,
    images: Vec<Image>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(rename = "_links")]
    links: Vec<Link>,
}

#[derive(Debug, Serialize)]
struct Created {
    #[serde(rename = "dateCreated")]
    date_created: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    creator: Option<Creator>,
}

#[derive(Debug, Serialize)]
struct Creator {
    name: String,
}

#[derive(Debug, Serialize)]
struct Urls {
    ssh: String,
    http: String,
    web: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    readme: Option<String>,
}

#[derive(Debug, Serialize)]
struct Forking {
    #[serde(rename = "forksCount")]
    forks_count: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<ParentDetails>,
}

#[derive(Debug, Serialize)]
struct ParentDetails {
    path: String,
    slug: String,
    name: String,
    created: Created,
}

#[derive(Debug, Serialize)]
struct Image {
    location: String,
    #[serde(rename = "_links")]
    links: Vec<Link>,
}

#[derive(Debug, Serialize)]
struct Link {
    rel: &'static str,
    href: String,
}

impl Details {
    /// `public_url`: where our reads are, without a slash at its end.
    pub(crate) fn of(
        project: ProjectId,
        state: &ProjectState,
        own: OwnWords,
        parent: Option<Parent<'_>>,
        public_url: &str,
    ) -> Self {
        let mut keywords = if own.keywords.is_empty() {
            state.topics.clone()
        } else {
            own.keywords
        };
        keywords.sort();
        keywords.dedup();
        let images = if own.images.is_empty() {
            state.images.clone()
        } else {
            own.images
        };
        let self_link = format!("{public_url}/knowledge-graph/projects/{}", state.slug);
        let modified = state.updated_at.unwrap_or(state.created_at).max(state.created_at);
        Self {
            identifier: project,
            path: state.slug.to_string(),
            slug: state.slug.to_string(),
            name: state.name.clone(),
            description: own
                .description
                .or_else(|| state.description.clone().filter(|text| !text.is_empty())),
            visibility: state.visibility,
            created: created(state, own.date_created),
            date_modified: instant(modified),
            urls: Urls {
                ssh: state.ssh_url.clone(),
                http: state.http_url.clone(),
                web: state.web_url.clone(),
                readme: state.readme_url.clone(),
            },
            forking: Forking {
                forks_count: state.forks_count,
                parent: parent.map(|Parent { state }| ParentDetails {
                    path: state.slug.to_string(),
                    slug: state.slug.to_string(),
                    name: state.name.clone(),
                    created: created(state, None),
                }),
            },
            keywords,
            stars_count: state.stars_count,
            images: images
                .into_iter()
                .map(|location| image(location, state))
                .collect(),
            version: own.schema_version,
            links: vec![
                Link {
                    rel: "self",
                    href: self_link.clone(),
                },
                Link {
                    rel: "datasets",
                    href: format!("{self_link}/datasets"),
                },
            ],
        }
    }
}

fn created(state: &ProjectState, own: Option<Timestamp>) -> Created {
    let creator = state
        .creator_id
        .and_then(|id| state.members.iter().find(|member| member.user_id == id));
    Created {
        date_created: instant(own.map_or(state.created_at, |own| own.min(state.created_at))),
        creator: creator.map(|member| Creator {
            name: member.name.clone(),
        }),
    }
}

/// Relative locations are files of the repository, on its default branch.
fn image(location: String, state: &ProjectState) -> Image {
    let absolute = location.starts_with("https://") || location.starts_with("http://");
    let href = if absolute {
        location.clone()
    } else {
        let branch = state.default_branch.as_deref().unwrap_or("HEAD");
        format!(
            "{}/raw/{branch}/{}",
            state.web_url,
            location.trim_start_matches('/')
        )
    };
    Image {
        location,
        links: vec![Link { rel: "view", href }],
    }
}

/// ISO 8601 in UTC, with milliseconds.
fn instant(at: Timestamp) -> String {
    let text = at.to_string();
    // "….123456Z": the model writes microseconds.
    match text
        .strip_suffix("Z")
        .and_then(|text| text.get(..text.len().saturating_sub(3)))
    {
        Some(text) => format!("{text}Z"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> ProjectState {
        ProjectState {
            slug: "ns/sub/p".parse().unwrap(),
            name: "P".into(),
            description: Some("from GitLab".into()),
            visibility: Visibility::Public,
            members: vec![events::Member {
                user_id: model::UserId::new(7).unwrap(),
                username: "a".into(),
                name: "A".into(),
                access_level: model::AccessLevel(50),
                expires_at: None,
            }],
            default_branch: Some("main".into()),
            created_at: Timestamp::parse_rfc3339("2024-01-02T00:00:00Z").unwrap(),
            updated_at: Some(Timestamp::parse_rfc3339("2024-01-03T00:00:00Z").unwrap()),
            creator_id: Some(model::UserId::new(7).unwrap()),
            topics: vec!["t".into()],
            images: vec!["avatar.png".into()],
            fork_parent: None,
            empty_repository: false,
            archived: false,
            http_url: "https://gitlab/ns/sub/p.git".into(),
            ssh_url: "git@gitlab:ns/sub/p.git".into(),
            web_url: "https://gitlab/ns/sub/p".into(),
            readme_url: None,
            forks_count: 2,
            stars_count: 3,
        }
    }

    fn told(own: OwnWords, parent: Option<Parent<'_>>) -> serde_json::Value {
        let details = Details::of(ProjectId::new(9).unwrap(), &state(), own, parent, "https://renku");
        serde_json::to_value(details).unwrap()
    }

    #[test]
    fn facts_alone() {
        let wanted = serde_json::json!({
            "identifier": 9, "path": "ns/sub/p", "slug": "ns/sub/p", "name": "P", "description": "from GitLab",
            "visibility": "public",
            "created": { "dateCreated": "2024-01-02T00:00:00.000Z", "creator": { "name": "A" } },
            "dateModified": "2024-01-03T00:00:00.000Z",
            "urls": { "ssh": "git@gitlab:ns/sub/p.git", "http": "https://gitlab/ns/sub/p.git", "web": "https://gitlab/ns/sub/p" },
            "forking": { "forksCount": 2 }, "keywords": ["t"], "starsCount": 3,
            "images": [{ "location": "avatar.png",
                         "_links": [{ "rel": "view", "href": "https://gitlab/ns/sub/p/raw/main/avatar.png" }] }],
            "_links": [
                { "rel": "self", "href": "https://renku/knowledge-graph/projects/ns/sub/p" },
                { "rel": "datasets", "href": "https://renku/knowledge-graph/projects/ns/sub/p/datasets" }
            ]
        });
        assert_eq!(told(OwnWords::default(), None), wanted);
    }

    #[test]
    fn the_projects_own_words_come_first() {
        let own = OwnWords {
            description: Some("own".into()),
            keywords: vec!["z".into(), "a".into()],
            schema_version: Some("10".into()),
            date_created: Some(Timestamp::parse_rfc3339("2023-12-31T00:00:00Z").unwrap()),
            images: vec!["https://pictures/1.png".into()],
        };
        let parent = state();
        let told = told(own, Some(Parent { state: &parent }));
        assert_eq!(told["description"], "own");
        assert_eq!(told["keywords"], serde_json::json!(["a", "z"]));
        assert_eq!(told["version"], "10");
        assert_eq!(told["created"]["dateCreated"], "2023-12-31T00:00:00.000Z");
        assert_eq!(told["images"][0]["_links"][0]["href"], "https://pictures/1.png");
        assert_eq!(told["forking"]["parent"]["slug"], "ns/sub/p");
    }
}
