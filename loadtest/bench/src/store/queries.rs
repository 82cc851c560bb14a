//! The query list, one file for us and for the peer.

/// Text of the list: `## name`, then the query.
pub const TEXT: &str = include_str!("../../queries/platform.rq");

/// A query of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    pub name: &'static str,
    pub text: &'static str,
}

impl Query {
    /// All of them, in order.
    #[must_use]
    pub fn all() -> Vec<Self> {
        TEXT.split("## ")
            .skip(1)
            .filter_map(|block| block.split_once('\n'))
            .map(|(name, text)| Self {
                name: name.trim(),
                text: text.trim(),
            })
            .collect()
    }

    /// The engine chooses which rows to give, so only their number can be compared.
    #[must_use]
    pub fn rows_are_a_choice(self) -> bool {
        self.text.contains("LIMIT") && !self.text.contains("ORDER BY")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_enough_and_names_are_unique() {
        let all = Query::all();
        let names: std::collections::BTreeSet<&str> = all.iter().map(|query| query.name).collect();
        assert!(all.len() >= 20);
        assert_eq!(names.len(), all.len());
    }
}
