use model::Timestamp;

/// So many causes of one graph are remembered.
const MOST: usize = 16;

/// What asked for a graph: for the trace of its way. Not stored, so a graph that waits over a restart has none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Asked {
    /// `traceparent` of the records that came to it, without doubles.
    pub causes: Vec<String>,
    /// When the first of them was read.
    pub since: Option<Timestamp>,
}

impl Asked {
    /// Takes in what asked for a graph of the same project.
    pub fn merge(&mut self, other: Self) {
        for cause in other.causes {
            if self.causes.len() < MOST && !self.causes.contains(&cause) {
                self.causes.push(cause);
            }
        }
        self.since = self.since.into_iter().chain(other.since).min();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_merged_without_doubles() {
        let asked = |cause: &str, since: Option<i64>| Asked {
            causes: vec![cause.to_owned()],
            since: since.map(Timestamp::from_micros),
        };
        let mut all = asked("a", None);
        all.merge(asked("b", Some(7)));
        all.merge(asked("a", Some(3)));
        assert_eq!(all.causes, ["a", "b"]);
        assert_eq!(all.since, Some(Timestamp::from_micros(3)));
        (0..99).for_each(|n| all.merge(asked(&n.to_string(), None)));
        assert_eq!(all.causes.len(), MOST);
    }
}
