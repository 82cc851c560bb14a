//! Which of the forms that we can write does the client want? (RFC 9110, 12.5.1)

use store::{RowFormat, TripleFormat};

/// A form of an answer and one name for it. The first name of a form in a list is its own; others are accepted as well.
pub(crate) type Offer<F> = (&'static str, F);

/// What `SELECT` and `ASK` can be answered in; the first is for who does not mind.
pub(crate) const ROWS: &[Offer<RowFormat>] = &[
    ("application/sparql-results+json", RowFormat::Json),
    ("application/sparql-results+xml", RowFormat::Xml),
    ("text/csv", RowFormat::Csv),
    ("text/tab-separated-values", RowFormat::Tsv),
    ("application/json", RowFormat::Json),
    ("application/xml", RowFormat::Xml),
    ("text/xml", RowFormat::Xml),
];

/// What `CONSTRUCT` and `DESCRIBE` can be answered in; the first is for who does not mind.
pub(crate) const TRIPLES: &[Offer<TripleFormat>] = &[
    ("text/turtle", TripleFormat::Turtle),
    ("application/n-triples", TripleFormat::NTriples),
    ("application/rdf+xml", TripleFormat::RdfXml),
    ("application/ld+json", TripleFormat::JsonLd),
    ("text/plain", TripleFormat::NTriples),
    ("application/json", TripleFormat::JsonLd),
    ("application/xml", TripleFormat::RdfXml),
];

/// The offer that suits the `Accept` headers best: the highest weight, then the order of the offers. `None`: none suits.
/// Without a header, or with nothing readable in it, the first.
pub(crate) fn choose<'a, F: Copy>(
    accept: impl Iterator<Item = &'a str>,
    offers: &[Offer<F>],
) -> Option<Offer<F>> {
    let ranges: Vec<Range<'_>> = accept
        .flat_map(|line| line.split(','))
        .filter_map(Range::read)
        .collect();
    if ranges.is_empty() {
        return offers.first().copied();
    }
    let weight = |name: &str| {
        let fitting = ranges.iter().filter(|range| range.fits(name));
        // The most specific range that fits says the weight, RFC 9110.
        fitting
            .max_by_key(|range| (range.specificity(), range.weight))
            .map_or(0, |range| range.weight)
    };
    let mut best: Option<(u16, Offer<F>)> = None;
    for offer in offers {
        let weight = weight(offer.0);
        if weight > best.map_or(0, |(best, _)| best) {
            best = Some((weight, *offer));
        }
    }
    best.map(|(_, offer)| offer)
}

/// The own names of the offers, for a refusal.
pub(crate) fn names<F: PartialEq>(offers: &[Offer<F>]) -> String {
    let own = offers
        .iter()
        .enumerate()
        .filter(|(at, offer)| !offers[..*at].iter().any(|o| o.1 == offer.1));
    own.map(|(_, offer)| offer.0).collect::<Vec<_>>().join(", ")
}

struct Range<'a> {
    main: &'a str,
    sub: &'a str,
    /// In thousandths.
    weight: u16,
}

impl<'a> Range<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (main, sub) = parts.next()?.split_once('/')?;
        if main.is_empty() || sub.is_empty() || (main == "*" && sub != "*") {
            return None;
        }
        let weight = parts
            .filter_map(|parameter| parameter.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
        let weight = match weight {
            None => 1_000,
            Some((_, value)) => {
                let value: f32 = value.trim().parse().ok()?;
                if !(0.0..=1.0).contains(&value) {
                    return None;
                }
                (value * 1_000.0).round() as u16
            }
        };
        Some(Self { main, sub, weight })
    }

    fn fits(&self, name: &str) -> bool {
        let Some((main, sub)) = name.split_once('/') else {
            return false;
        };
        (self.main == "*" || self.main.eq_ignore_ascii_case(main))
            && (self.sub == "*" || self.sub.eq_ignore_ascii_case(sub))
    }

    fn specificity(&self) -> u8 {
        u8::from(self.main != "*") + u8::from(self.sub != "*")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(accept: &str) -> Option<&'static str> {
        choose([accept].into_iter(), ROWS).map(|(name, _)| name)
    }

    #[test]
    fn the_table_of_wishes() {
        for (accept, answer) in [
            ("", Some("application/sparql-results+json")),
            ("*/*", Some("application/sparql-results+json")),
            ("nonsense", Some("application/sparql-results+json")),
            ("text/csv", Some("text/csv")),
            ("TEXT/CSV", Some("text/csv")),
            ("text/*", Some("text/csv")),
            ("text/html, */*;q=0.1", Some("application/sparql-results+json")),
            (
                "application/sparql-results+xml;q=0.5, text/tab-separated-values;q=0.8",
                Some("text/tab-separated-values"),
            ),
            (
                "application/sparql-results+json;q=0, */*",
                Some("application/sparql-results+xml"),
            ),
            ("application/json", Some("application/json")),
            (
                "text/csv;header=present;q=0.3, application/xml; q=0.2",
                Some("text/csv"),
            ),
            ("text/turtle", None),
            ("*/*;q=0", None),
            ("text/csv;q=2", Some("application/sparql-results+json")),
        ] {
            assert_eq!(table(accept), answer, "{accept:?}");
        }
        assert_eq!(
            choose(
                ["text/turtle;q=0.1", "application/n-triples"].into_iter(),
                TRIPLES
            )
            .unwrap()
            .1,
            TripleFormat::NTriples
        );
    }

    #[test]
    fn refusals_name_each_form_once() {
        assert_eq!(
            names(ROWS),
            "application/sparql-results+json, application/sparql-results+xml, text/csv, text/tab-separated-values"
        );
    }
}
