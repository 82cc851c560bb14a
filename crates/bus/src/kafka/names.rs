use model::TopicName;

/// How topics and groups are called on the cluster: with a prefix, so that several installations can share one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Names {
    prefix: String,
}

impl Names {
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
        }
    }

    /// A topic on the cluster.
    pub(super) fn topic(&self, topic: &TopicName) -> String {
        format!("{}{topic}", self.prefix)
    }

    /// A group on the cluster.
    pub(super) fn group(&self, group: &str) -> String {
        format!("{}{group}", self.prefix)
    }

    /// The group that readers name. They never join it and never commit to it: the client library wants a name.
    pub(super) fn readers(&self) -> String {
        self.group("views")
    }

    /// Our name of a topic on the cluster; `None`: it is none of ours.
    pub(super) fn local(&self, topic: &str) -> Option<TopicName> {
        topic.strip_prefix(self.prefix.as_str())?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        let topic = TopicName::from_static("renku.commits.v1");
        for prefix in ["", "staging."] {
            let names = Names::new(prefix);
            assert_eq!(names.local(&names.topic(&topic)), Some(topic.clone()));
        }
        assert_eq!(Names::new("staging.").local("production.renku.commits.v1"), None);
    }
}
