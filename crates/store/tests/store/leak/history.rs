//! Histories: what the log may bring, applied to a store, and what every caller may see after it by rules that are written
//! down here once more, in other words than the product's.

use std::collections::BTreeMap;

use access::{Caller, Denial, Grant, GroupPath, ServiceScope};
use model::{Day, Generation, Timestamp, UserId, Visibility};
use oxigraph::model::Dataset;
use store::{Facts, FactsMember, LiveFacts, Writer};

use crate::merge::lines;
use crate::support::{Dice, Known, merged, project};

pub const SLUGS: [&str; 7] = [
    "a/one",
    "a/two",
    "b/three",
    "b/three/four",
    "c/five",
    "c/six",
    "gone/away",
];
const GROUPS: [&str; 5] = ["a", "b", "b/three", "three", "c"];
const USERS: i64 = 4;
/// The first day of every history.
pub const FIRST_DAY: u32 = 20_000;

/// One change.
#[derive(Clone, Debug)]
pub enum Event {
    /// Facts of a project: where it is, who may see it, its members and the first day without each.
    Facts {
        project: i64,
        version: u64,
        slug: &'static str,
        visibility: Visibility,
        members: Members,
    },
    /// Facts that say that there is no such project.
    Gone { project: i64, version: u64 },
    /// Facts that cannot be read.
    Unreadable { project: i64 },
    /// Pieces that are put; empty ones are taken away.
    Graph {
        project: i64,
        put: BTreeMap<String, Vec<String>>,
    },
    /// Somebody loses something at once.
    Deny { key: u8, denial: Denial },
    /// Old denials are forgotten, where they take nothing any more.
    Forget,
    /// It is the next day.
    Day,
}

/// Users, and the first day without each.
type Members = Vec<(i64, Option<u32>)>;

/// A project by the rules below.
#[derive(Clone, Debug, Default)]
struct Project {
    version: u64,
    hidden: bool,
    live: Option<(&'static str, Visibility, Members)>,
    known: Known,
}

/// Where a history has led to.
#[derive(Clone, Debug)]
pub struct Moment {
    projects: BTreeMap<i64, Project>,
    denials: BTreeMap<u8, Denial>,
    day: u32,
}

impl Moment {
    pub fn first() -> Self {
        Self {
            projects: BTreeMap::new(),
            denials: BTreeMap::new(),
            day: FIRST_DAY,
        }
    }

    pub fn today(&self) -> Day {
        Day::from_number(self.day)
    }

    /// How many lines the pieces of all projects have.
    pub fn lines(&self) -> usize {
        let pieces = self.projects.values().flat_map(|p| p.known.pieces.values());
        pieces.map(Vec::len).sum()
    }

    /// Applies an event to the store and to this.
    pub fn apply(&mut self, event: &Event, writer: &mut Writer) {
        let mut batch = writer.begin().unwrap();
        match event {
            Event::Facts {
                project: id,
                version,
                slug,
                visibility,
                members,
            } => {
                let facts = Facts {
                    state_version: Generation::new(*version),
                    generation: Generation::new(*version),
                    live: Some(LiveFacts {
                        slug: slug.parse().unwrap(),
                        visibility: *visibility,
                        members: members.iter().map(member).collect(),
                    }),
                    payload: Vec::new(),
                };
                batch.apply_facts(project(*id), &facts).unwrap();
                let now = self.projects.entry(*id).or_default();
                if *version > now.version {
                    now.version = *version;
                    now.hidden = false;
                    now.live = Some((slug, *visibility, members.clone()));
                }
            }
            Event::Gone { project: id, version } => {
                let facts = Facts {
                    state_version: Generation::new(*version),
                    generation: Generation::new(*version),
                    live: None,
                    payload: Vec::new(),
                };
                batch.apply_facts(project(*id), &facts).unwrap();
                let now = self.projects.entry(*id).or_default();
                if *version > now.version {
                    now.version = *version;
                    now.hidden = false;
                    now.live = None;
                }
            }
            Event::Unreadable { project: id } => {
                batch.hide(project(*id)).unwrap();
                self.projects.entry(*id).or_default().hidden = true;
            }
            Event::Graph { project: id, put } => {
                let known = &mut self.projects.entry(*id).or_default().known;
                let before = known.pieces.clone();
                for (name, lines) in put {
                    match lines.is_empty() {
                        true => known.pieces.remove(name),
                        false => known.pieces.insert(name.clone(), lines.clone()),
                    };
                }
                known.generation += 1;
                batch
                    .apply_graph(project(*id), &known.state(), &known.difference(&before))
                    .unwrap();
            }
            Event::Deny { key, denial } => {
                batch.deny(&format!("key/{key}"), denial).unwrap();
                let newer = self
                    .denials
                    .get(key)
                    .is_none_or(|known| known.version < denial.version);
                if newer {
                    self.denials.insert(*key, denial.clone());
                }
            }
            Event::Forget => {
                batch
                    .forget_denials(Timestamp::from_micros(i64::MAX >> 2))
                    .unwrap();
            }
            Event::Day => self.day += 1,
        }
        batch.commit().unwrap();
    }

    /// Whether a caller sees a project.
    fn sees(&self, caller: &Caller, id: i64) -> bool {
        let Some(at) = self.projects.get(&id) else {
            return false;
        };
        let Some((slug, visibility, members)) = &at.live else {
            return false;
        };
        let user = match caller {
            Caller::User(user) | Caller::External(user) => Some(i64::from(user.get())),
            _ => None,
        };
        if at.hidden || *caller == Caller::Prober {
            return false;
        }
        if *caller == Caller::Administrator || *visibility == Visibility::Public {
            return true;
        }
        let in_force: Vec<&Denial> =
            self.denials
                .values()
                .filter(|denial| denial.version.get() >= at.version)
                .filter(|denial| {
                    let (namespace, _) = slug.rsplit_once('/').unwrap();
                    denial.below.as_ref().is_none_or(|below| {
                        format!("/{namespace}/").contains(&format!("/{}/", below.as_str()))
                    })
                })
                .collect();
        let everybody = in_force.iter().any(|denial| denial.user.is_none());
        let mine = |denial: &&&Denial| denial.user.map(|user| i64::from(user.get())) == user;
        let denied = everybody || in_force.iter().filter(mine).count() > 0;
        let shut_out = everybody || in_force.iter().filter(mine).any(|denial| denial.signed_in);
        match caller {
            Caller::User(_) if *visibility == Visibility::Internal => !shut_out,
            Caller::User(_) | Caller::External(_) => {
                !denied
                    && members.iter().any(|(member, until)| {
                        Some(*member) == user && until.is_none_or(|until| self.day < until)
                    })
            }
            Caller::Service(service) => {
                !everybody
                    && match &service.grant {
                        Grant::Public => false,
                        Grant::Internal => *visibility == Visibility::Internal,
                        Grant::Projects(projects) => projects.contains(&project(id)),
                    }
            }
            _ => false,
        }
    }

    /// The merge of what a caller sees, and of nothing else.
    pub fn merge_for(&self, caller: &Caller) -> Dataset {
        let visible = self
            .projects
            .iter()
            .filter(|(id, _)| self.sees(caller, **id))
            .filter_map(|(_, at)| Some((at.live.as_ref()?.0, &at.known.pieces)));
        merged(visible)
    }
}

fn member((user, until): &(i64, Option<u32>)) -> FactsMember {
    FactsMember {
        user: UserId::new(*user).unwrap(),
        until: until.map(Day::from_number),
    }
}

/// Everybody who asks.
pub fn callers() -> Vec<Caller> {
    let service = |grant| {
        let name = "service".to_owned();
        Caller::Service(ServiceScope { name, grant }.into())
    };
    let mut callers = vec![
        Caller::Anonymous,
        Caller::Administrator,
        Caller::Prober,
        service(Grant::Public),
        service(Grant::Internal),
        service(Grant::Projects(vec![project(1), project(4)])),
    ];
    callers.extend((1..=USERS).map(|user| Caller::User(UserId::new(user).unwrap())));
    callers.extend([1, 2].map(|user| Caller::External(UserId::new(user).unwrap())));
    callers
}

/// Up to so many events of up to six projects, of at most 200 lines in all.
pub fn history(dice: &mut Dice, events: usize) -> Vec<Event> {
    let mut history = Vec::new();
    let mut slugs: BTreeMap<i64, &'static str> = BTreeMap::new();
    let mut version = 10;
    let mut quads = 0;
    let projects = 1 + dice.below(6) as i64;
    let facts = |dice: &mut Dice, slugs: &mut BTreeMap<i64, &'static str>, id: i64, version: u64| {
        let taken: Vec<_> = slugs
            .iter()
            .filter(|(other, _)| **other != id)
            .map(|(_, s)| *s)
            .collect();
        let free: Vec<_> = SLUGS.iter().filter(|slug| !taken.contains(slug)).collect();
        let slug = match slugs.get(&id) {
            Some(same) if !dice.one_in(4) => *same,
            _ => **dice.pick(&free),
        };
        slugs.insert(id, slug);
        let visibility = *dice.pick(&[
            Visibility::Public,
            Visibility::Internal,
            Visibility::Private,
            Visibility::Private,
        ]);
        let members = (1..=USERS)
            .filter(|_| dice.one_in(3))
            .collect::<Vec<_>>()
            .into_iter()
            .map(|user| (user, dice.one_in(3).then(|| FIRST_DAY + dice.below(3) as u32)))
            .collect();
        Event::Facts {
            project: id,
            version,
            slug,
            visibility,
            members,
        }
    };
    for id in 1..=projects {
        version += 1;
        history.push(facts(dice, &mut slugs, id, version));
        let put = pieces(dice, &mut quads);
        history.push(Event::Graph { project: id, put });
    }
    for _ in 0..dice.below(events) {
        let id = 1 + dice.below(projects as usize) as i64;
        version += 1;
        history.push(match dice.below(12) {
            0..3 => facts(dice, &mut slugs, id, version),
            // It changes nothing: a late one.
            3 => {
                let mut unused = slugs.clone();
                facts(dice, &mut unused, id, 1)
            }
            4 => Event::Gone { project: id, version },
            5 => Event::Unreadable { project: id },
            6..8 => Event::Graph {
                project: id,
                put: pieces(dice, &mut quads),
            },
            8 => Event::Forget,
            9 => Event::Day,
            _ => Event::Deny {
                key: dice.below(4) as u8,
                denial: denial(dice, version),
            },
        });
    }
    history
}

fn denial(dice: &mut Dice, version: u64) -> Denial {
    let user = (!dice.one_in(4)).then(|| UserId::new(1 + dice.below(USERS as usize) as i64).unwrap());
    let below = match user {
        Some(_) if dice.one_in(3) => None,
        _ => GroupPath::new(dice.pick::<&str>(&GROUPS)),
    };
    Denial {
        signed_in: user.is_some() && below.is_none(),
        user,
        below,
        version: Generation::new(version),
    }
}

fn pieces(dice: &mut Dice, quads: &mut usize) -> BTreeMap<String, Vec<String>> {
    let mut put = BTreeMap::new();
    for _ in 0..1 + dice.below(5) {
        let lines = if dice.one_in(6) || *quads > 190 {
            Vec::new()
        } else {
            lines(dice)
        };
        *quads += lines.len();
        put.insert(format!("/piece/{}", dice.below(6)), lines);
    }
    put
}

/// The same history without one thing, each.
pub fn smaller(history: &[Event]) -> Vec<Vec<Event>> {
    let mut all = Vec::new();
    for at in (0..history.len()).rev() {
        let mut less = history.to_vec();
        less.remove(at);
        all.push(less);
        if let Event::Graph { put, .. } = &history[at] {
            for (name, lines) in put {
                for line in 0..lines.len() {
                    let mut less = history.to_vec();
                    if let Event::Graph { put, .. } = &mut less[at] {
                        put.get_mut(name).unwrap().remove(line);
                    }
                    all.push(less);
                }
            }
        }
    }
    all
}

/// Is it one that a log may bring? A graph is never applied before facts.
pub fn is_sound(history: &[Event]) -> bool {
    history.iter().enumerate().all(|(at, event)| {
        let about = match event {
            Event::Graph { project, .. } | Event::Unreadable { project } => *project,
            _ => return true,
        };
        history[..at]
            .iter()
            .any(|before| matches!(before, Event::Facts { project, .. } | Event::Gone { project, .. } if *project == about))
    })
}
