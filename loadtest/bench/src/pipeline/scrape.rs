//! What `/metrics` says, and what happened between two looks at it.

use std::collections::BTreeMap;

/// All series of one look: name with labels → value.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Scrape(BTreeMap<String, f64>);

/// One series of a histogram between two looks.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Spent {
    /// Name, and labels without `le`.
    pub(super) what: String,
    pub(super) count: f64,
    pub(super) seconds: f64,
    /// Estimates from the buckets.
    pub(super) p50: f64,
    pub(super) p95: f64,
}

impl Scrape {
    pub(super) fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let pairs = lines.filter_map(|line| line.rsplit_once(' '));
        Self(
            pairs
                .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
                .collect(),
        )
    }

    /// The growth of a counter, all its series together.
    pub(super) fn growth(&self, before: &Self, name: &str) -> f64 {
        let of = |scrape: &Self| -> f64 {
            let series = scrape.0.iter().filter(|(series, _)| split(series).0 == name);
            series.map(|(_, value)| value).sum()
        };
        of(self) - of(before)
    }

    /// Every histogram of seconds that grew since `before`.
    pub(super) fn spent(&self, before: &Self) -> Vec<Spent> {
        let grown = |series: &str| {
            self.0.get(series).copied().unwrap_or(0.0) - before.0.get(series).copied().unwrap_or(0.0)
        };
        let mut all = Vec::new();
        for series in self.0.keys() {
            let (name, labels) = split(series);
            let Some(base) = name
                .strip_suffix("_count")
                .filter(|base| base.ends_with("_seconds"))
            else {
                continue;
            };
            let count = grown(series);
            if count <= 0.0 {
                continue;
            }
            let buckets = self.buckets(before, base, labels);
            all.push(Spent {
                what: if labels.is_empty() {
                    base.to_owned()
                } else {
                    format!("{base} {labels}")
                },
                count,
                seconds: grown(&format!("{base}_sum{}", braces(labels))),
                p50: quantile(&buckets, 0.50),
                p95: quantile(&buckets, 0.95),
            });
        }
        all
    }

    /// Upper bounds and cumulative growth.
    fn buckets(&self, before: &Self, base: &str, labels: &str) -> Vec<(f64, f64)> {
        let mut buckets: Vec<(f64, f64)> = self
            .0
            .iter()
            .filter_map(|(series, value)| {
                let (name, own) = split(series);
                if name.strip_suffix("_bucket") != Some(base) {
                    return None;
                }
                let (rest, bound) = without_bound(own)?;
                (rest == labels).then(|| (bound, value - before.0.get(series).copied().unwrap_or(0.0)))
            })
            .collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        buckets
    }
}

/// Name, and what stands between the braces.
fn split(series: &str) -> (&str, &str) {
    match series.split_once('{') {
        Some((name, rest)) => (name, rest.trim_end_matches('}')),
        None => (series, ""),
    }
}

fn braces(labels: &str) -> String {
    if labels.is_empty() {
        String::new()
    } else {
        format!("{{{labels}}}")
    }
}

/// The labels without `le`, and its bound.
fn without_bound(labels: &str) -> Option<(String, f64)> {
    let mut bound = None;
    let mut rest = Vec::new();
    for label in labels.split(',') {
        match label.trim().strip_prefix("le=\"") {
            Some(text) => {
                let text = text.trim_end_matches('"');
                bound = if text == "+Inf" {
                    Some(f64::INFINITY)
                } else {
                    text.parse().ok()
                };
            }
            None => rest.push(label),
        }
    }
    Some((rest.join(","), bound?))
}

/// Linear inside the bucket that holds the rank, as Prometheus does.
fn quantile(buckets: &[(f64, f64)], quantile: f64) -> f64 {
    let total = buckets.last().map_or(0.0, |last| last.1);
    let rank = quantile * total;
    let (mut low, mut below) = (0.0, 0.0);
    for &(bound, count) in buckets {
        if count >= rank {
            return match count - below {
                _ if bound.is_infinite() => low,
                inside if inside > 0.0 => low + (bound - low) * (rank - below) / inside,
                _ => bound,
            };
        }
        (low, below) = (bound, count);
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_are_read_as_growth() {
        let text = |a: u32, b: u32, sum: f64| {
            Scrape::parse(&format!(
                "# HELP x y\nrenku_step_seconds_bucket{{step=\"a\",le=\"0.1\"}} {a}\n\
                 renku_step_seconds_bucket{{step=\"a\",le=\"+Inf\"}} {b}\n\
                 renku_step_seconds_sum{{step=\"a\"}} {sum}\nrenku_step_seconds_count{{step=\"a\"}} {b}\nrenku_total 3\n"
            ))
        };
        let (before, after) = (text(1, 1, 0.05), text(11, 11, 0.55));
        let spent = after.spent(&before);
        assert_eq!(spent.len(), 1);
        assert_eq!(spent[0].what, "renku_step_seconds step=\"a\"");
        assert_eq!(spent[0].count, 10.0);
        assert!((spent[0].seconds - 0.5).abs() < 1e-9 && (spent[0].p50 - 0.05).abs() < 1e-9);
        assert_eq!(after.spent(&after), vec![]);
        assert_eq!(after.growth(&Scrape::default(), "renku_total"), 3.0);
    }
}
