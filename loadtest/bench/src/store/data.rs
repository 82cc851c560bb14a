//! A platform's worth of project graphs, made of thin air.
//!
//! Projects share persons and software agents, as real ones do, so that one triple stands in many graphs.
//! Activities form a chain: each uses the file that the one before made.

use std::fmt::Write as _;

use crate::seeded::Seeded;

/// Host of all IRIs.
pub const HOST: &str = "renku.example.org";
/// What a project's own node is called inside its pieces.
pub const OWN_NODE: &str = "<urn:renku:project>";

const SCHEMA: &str = "http://schema.org/";
const PROV: &str = "http://www.w3.org/ns/prov#";
const RENKU: &str = "https://swissdatasciencecenter.github.io/renku-ontology#";
const TYPE: &str = "<http://www.w3.org/1999/02/22-rdf-syntax-ns#type>";
const DATE_TIME: &str = "^^<http://www.w3.org/2001/XMLSchema#dateTime>";
const INTEGER: &str = "^^<http://www.w3.org/2001/XMLSchema#integer>";

/// How many projects, and how large each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Platform {
    pub seed: u64,
    pub projects: usize,
    /// Activities of each project; 25 give about 510 quads.
    pub activities: usize,
}

/// A project's graph in pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// Its number; GitLab's id is one more.
    pub number: usize,
    pub slug: String,
    pub pieces: Vec<Piece>,
}

/// The triples of one top-level object: sorted canonical N-Triples lines, the project's own node under
/// [`OWN_NODE`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    pub id: String,
    pub text: String,
}

/// Which projects a caller of the benchmark may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visible {
    All,
    /// Every second project.
    Half,
    /// Twenty projects, spread evenly.
    Twenty,
}

impl Visible {
    pub const EVERY: [Self; 3] = [Self::All, Self::Half, Self::Twenty];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Half => "half",
            Self::Twenty => "twenty",
        }
    }

    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::EVERY.into_iter().find(|visible| visible.name() == name)
    }

    /// Whether he sees the project of this number.
    #[must_use]
    pub fn sees(self, platform: Platform, number: usize) -> bool {
        match self {
            Self::All => true,
            Self::Half => number.is_multiple_of(2),
            Self::Twenty => {
                number.is_multiple_of(2 * (platform.projects / 40).max(1))
                    && number / 2 < 20 * (platform.projects / 40).max(1)
            }
        }
    }
}

impl Platform {
    /// The IRI of a project's graph, in brackets.
    #[must_use]
    pub fn graph(slug: &str) -> String {
        format!("<https://{HOST}/projects/{slug}>")
    }

    fn word(self, rank: usize) -> String {
        Seeded::for_item(self.seed ^ 0x77, rank as u64).word(3, 9)
    }

    /// The graph of one project; the same number always gives the same.
    #[must_use]
    pub fn project(self, number: usize) -> Project {
        let mut writer = Writer {
            platform: self,
            number,
            random: Seeded::for_item(self.seed, number as u64),
        };
        let people: Vec<usize> = (0..3).map(|_| writer.random.below(2_000)).collect();
        let mut pieces = vec![writer.project(&people)];
        pieces.extend((0..self.activities.min(7)).map(|plan| writer.plan(plan)));
        pieces.extend((1..=self.activities).map(|activity| writer.activity(activity, &people)));
        pieces.extend((0..2).map(|dataset| writer.dataset(dataset, &people)));
        Project {
            number,
            slug: format!("ns{}/p{number}", number % 200),
            pieces,
        }
    }
}

struct Writer {
    platform: Platform,
    number: usize,
    random: Seeded,
}

impl Writer {
    fn some_word(&mut self) -> String {
        let rank = self.random.below(3_000);
        self.platform.word(rank)
    }

    fn node(&self, kind: &str, local: impl std::fmt::Display) -> String {
        format!("<https://{HOST}/{kind}/{}-{local}>", self.number)
    }

    fn project(&mut self, people: &[usize]) -> Piece {
        let mut lines = Lines::default();
        let (first, second) = (self.some_word(), self.random.below(10));
        lines.say(OWN_NODE, TYPE, format!("<{SCHEMA}Project>"));
        lines.say(
            OWN_NODE,
            schema("name"),
            format!("\"Project {} {first}\"", self.number),
        );
        let year = 15 + self.random.below(10);
        let month = 1 + self.random.below(9);
        let created = format!("\"20{year}-0{month}-1{second}T00:00:00Z\"{DATE_TIME}");
        lines.say(OWN_NODE, schema("dateCreated"), created);
        for _ in 0..3 {
            let keyword = self.some_word();
            lines.say(OWN_NODE, schema("keywords"), format!("\"{keyword}\""));
        }
        for &person in people {
            lines.person(person);
        }
        lines.piece(format!("/projects/{}", self.number))
    }

    fn plan(&mut self, plan: usize) -> Piece {
        let mut lines = Lines::default();
        let node = self.node("plans", plan);
        lines.say(OWN_NODE, renku("hasPlan"), &node);
        lines.say(&node, TYPE, format!("<{PROV}Plan>"));
        lines.say(&node, schema("name"), format!("\"plan-{plan}\""));
        if plan.is_multiple_of(2) {
            let word = self.some_word();
            lines.say(&node, schema("description"), format!("\"step {plan} of {word}\""));
        }
        lines.piece(format!("/plans/{}-{plan}", self.number))
    }

    fn activity(&mut self, activity: usize, people: &[usize]) -> Piece {
        let mut lines = Lines::default();
        let node = self.node("activities", activity);
        let inner = node.trim_end_matches('>').to_owned();
        let day = activity % 28 + 1;
        let at = |hour: usize| format!("\"2024-01-{day:02}T{hour}:{:02}:00Z\"{DATE_TIME}", activity % 60);
        lines.say(OWN_NODE, renku("hasActivity"), &node);
        lines.say(&node, TYPE, format!("<{PROV}Activity>"));
        lines.say(&node, prov("startedAtTime"), at(10));
        lines.say(&node, prov("endedAtTime"), at(11));
        let association = format!("{inner}/association>");
        lines.say(&node, prov("qualifiedAssociation"), &association);
        lines.say(
            &association,
            prov("hadPlan"),
            self.node("plans", activity % self.platform.activities.min(7)),
        );
        let person = people[self.random.below(people.len())];
        lines.say(
            &node,
            prov("wasAssociatedWith"),
            format!("<mailto:u{person}@example.org>"),
        );
        let agent = self.random.below(6);
        let agent_node =
            format!("<https://github.com/swissdatasciencecenter/renku-python/tree/v2.{agent}.0>");
        lines.say(&association, prov("agent"), &agent_node);
        lines.say(&agent_node, schema("name"), format!("\"renku 2.{agent}.0\""));
        let usage = format!("{inner}/usages/1>");
        let used = self.node("entities", activity - 1);
        lines.say(&node, prov("qualifiedUsage"), &usage);
        lines.say(&usage, TYPE, format!("<{PROV}Usage>"));
        lines.say(&usage, prov("entity"), &used);
        lines.say(&used, TYPE, format!("<{PROV}Entity>"));
        lines.say(
            &used,
            prov("atLocation"),
            format!("\"data/out-{}.csv\"", activity - 1),
        );
        let generation = format!("{inner}/generations/1>");
        lines.say(
            &self.node("entities", activity),
            prov("qualifiedGeneration"),
            &generation,
        );
        lines.say(&generation, TYPE, format!("<{PROV}Generation>"));
        lines.say(&generation, prov("activity"), &node);
        let value = format!("{inner}/parameter-value/1>");
        let number = self.random.below(501);
        lines.say(&node, renku("parameter"), &value);
        lines.say(&value, schema("value"), format!("\"{number}\"{INTEGER}"));
        lines.piece(format!("/activities/{}-{activity}", self.number))
    }

    fn dataset(&mut self, dataset: usize, people: &[usize]) -> Piece {
        let mut lines = Lines::default();
        let node = self.node("datasets", dataset);
        let name = format!("{} {}", self.some_word(), self.some_word());
        let mut text = String::new();
        for _ in 0..12 {
            let _ = write!(text, "{} ", self.some_word());
        }
        let creator = people[self.random.below(people.len())];
        lines.say(OWN_NODE, renku("hasDataset"), &node);
        lines.say(&node, TYPE, format!("<{SCHEMA}Dataset>"));
        lines.say(&node, schema("name"), format!("\"{name} data\""));
        lines.say(
            &node,
            schema("creator"),
            format!("<mailto:u{creator}@example.org>"),
        );
        lines.say(&node, schema("description"), format!("\"{}\"", text.trim_end()));
        lines.say(
            &node,
            schema("identifier"),
            format!("\"{}-{dataset}\"", self.number),
        );
        lines.piece(format!("/datasets/{}-{dataset}", self.number))
    }
}

fn schema(name: &str) -> String {
    format!("<{SCHEMA}{name}>")
}

fn prov(name: &str) -> String {
    format!("<{PROV}{name}>")
}

fn renku(name: &str) -> String {
    format!("<{RENKU}{name}>")
}

#[derive(Default)]
struct Lines(Vec<String>);

impl Lines {
    fn say(&mut self, subject: &str, predicate: impl AsRef<str>, object: impl AsRef<str>) {
        self.0.push(format!(
            "{subject} {} {} .\n",
            predicate.as_ref(),
            object.as_ref()
        ));
    }

    fn person(&mut self, number: usize) {
        let node = format!("<mailto:u{number}@example.org>");
        self.say(&node, TYPE, format!("<{SCHEMA}Person>"));
        self.say(&node, schema("name"), format!("\"User {number}\""));
        self.say(&node, schema("email"), format!("\"u{number}@example.org\""));
    }

    fn piece(mut self, id: String) -> Piece {
        self.0.sort_unstable();
        self.0.dedup();
        Piece {
            id,
            text: self.0.concat(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLATFORM: Platform = Platform {
        seed: 1,
        projects: 20_000,
        activities: 25,
    };

    #[test]
    fn a_project_is_always_the_same_and_of_the_promised_size() {
        let project = PLATFORM.project(2_500);
        assert_eq!(project, PLATFORM.project(2_500));
        let mut lines: Vec<&str> = project
            .pieces
            .iter()
            .flat_map(|piece| piece.text.lines())
            .collect();
        lines.sort_unstable();
        lines.dedup();
        assert!((505..540).contains(&lines.len()), "{}", lines.len());
    }

    #[test]
    fn visible_sets_have_their_sizes_and_nest() {
        let of = |visible: Visible| {
            (0..20_000)
                .filter(|number| visible.sees(PLATFORM, *number))
                .collect::<Vec<_>>()
        };
        assert_eq!(of(Visible::All).len(), 20_000);
        assert_eq!(of(Visible::Half).len(), 10_000);
        let twenty = of(Visible::Twenty);
        assert_eq!(twenty.len(), 20);
        assert!(twenty.iter().all(|number| Visible::Half.sees(PLATFORM, *number)));
        assert!(
            Visible::EVERY
                .iter()
                .all(|visible| Visible::parse(visible.name()) == Some(*visible))
        );
    }
}
