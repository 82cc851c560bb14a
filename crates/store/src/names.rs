//! Names that depend on the platform's host, and which subjects a project may not speak about in the default graph.

use model::{ProjectId, Slug};

/// The node of the project itself in pieces.
pub const PLACEHOLDER: &str = "urn:renku:project";
/// The predicate of the canary's triple. It is no reserved name: what repositories say with it does no harm, since only the
/// canary's own triple has the canary's word.
pub(crate) const CANARY: &str = "https://canary.invalid/says";
const RESERVED: &str = "urn:renku:";

/// Namespaces of vocabularies: what a repository says about their terms is a claim.
const VOCABULARIES: [&str; 9] = [
    "http://schema.org/",
    "https://schema.org/",
    "http://www.w3.org/ns/prov#",
    "https://swissdatasciencecenter.github.io/renku-ontology#",
    "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "http://www.w3.org/2000/01/rdf-schema#",
    "http://www.w3.org/2002/07/owl#",
    "http://www.w3.org/2001/XMLSchema#",
    "http://www.w3.org/ns/oa#",
];
const DCTERMS: &str = "http://purl.org/dc/terms/";

/// How a piece's IRI is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Said<'a> {
    /// The project's own node.
    Own,
    /// What follows the project's own node, with its first character, e.g. `/images/0`.
    Derived(&'a str),
    /// Under `<host>/projects/`.
    Foreign,
    /// Any other.
    Plain,
    /// `urn:renku:` is ours.
    Reserved,
}

/// The names of one platform.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    projects: String,
    persons: String,
    /// Off for data that no repository said.
    claims: bool,
}

impl Names {
    pub(crate) fn new(host: &str, claims: bool) -> Self {
        Self {
            projects: format!("https://{host}/projects/"),
            persons: format!("https://{host}/persons/"),
            claims,
        }
    }

    pub(crate) fn sort<'a>(&self, iri: &'a str) -> Said<'a> {
        if let Some(rest) = iri.strip_prefix(RESERVED) {
            return match rest.strip_prefix("project") {
                Some("") => Said::Own,
                Some(suffix) if suffix.starts_with('/') => Said::Derived(suffix),
                _ => Said::Reserved,
            };
        }
        if iri.len() > self.projects.len() && iri.starts_with(&self.projects) {
            Said::Foreign
        } else {
            Said::Plain
        }
    }

    /// Whether triples with this subject are claims: another project, a platform person, a vocabulary term.
    pub(crate) fn is_claim(&self, subject: &str) -> bool {
        if !self.claims {
            return false;
        }
        let person = |rest: &str| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit());
        subject.starts_with(&self.projects)
            || subject.strip_prefix(&self.persons).is_some_and(person)
            || subject.starts_with(DCTERMS)
            || VOCABULARIES.iter().any(|space| subject.starts_with(space))
    }

    pub(crate) fn project_iri(&self, slug: &str) -> String {
        format!("{}{slug}", self.projects)
    }

    /// The part of an IRI behind `<host>/projects/`.
    pub(crate) fn below_projects<'a>(&self, iri: &'a str) -> Option<&'a str> {
        iri.strip_prefix(&self.projects).filter(|rest| !rest.is_empty())
    }

    /// The ways to read a text as a slug and what follows it, the longest slug first. The rest is empty or begins with
    /// a slash.
    pub(crate) fn slug_readings(below: &str) -> impl Iterator<Item = (&str, &str)> {
        let mut end = Some(below.len());
        std::iter::from_fn(move || {
            let at = end?;
            end = below[..at].rfind('/');
            Some((&below[..at], &below[at..]))
        })
        .filter(|(slug, _)| slug.parse::<Slug>().is_ok())
    }
}

/// The dictionary bytes of a derived node.
pub(crate) fn derived_bytes(project: ProjectId, suffix: &str) -> Vec<u8> {
    let mut bytes = project.get().to_be_bytes().to_vec();
    bytes.extend_from_slice(suffix.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts() {
        let names = Names::new("h.org", true);
        assert_eq!(names.sort("urn:renku:project"), Said::Own);
        assert_eq!(
            names.sort("urn:renku:project/images/0"),
            Said::Derived("/images/0")
        );
        assert_eq!(names.sort("urn:renku:projects"), Said::Reserved);
        assert_eq!(names.sort("urn:renku:x"), Said::Reserved);
        assert_eq!(names.sort("https://h.org/projects/a/b"), Said::Foreign);
        assert_eq!(names.sort("https://h.org/projects/"), Said::Plain);
        assert!(names.is_claim("https://h.org/persons/12"));
        assert!(!names.is_claim("https://h.org/persons/orcid/12"));
        assert!(!names.is_claim("https://h.org/activities/1"));
        assert!(names.is_claim("http://schema.org/Person"));
        assert!(!Names::new("h.org", false).is_claim("http://schema.org/Person"));
    }

    #[test]
    fn the_longest_slug_first() {
        let readings: Vec<_> = Names::slug_readings("a/b/images/0").collect();
        assert_eq!(
            readings,
            [("a/b/images/0", ""), ("a/b/images", "/0"), ("a/b", "/images/0")]
        );
        assert_eq!(Names::slug_readings("x").count(), 0);
    }
}
