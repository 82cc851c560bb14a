//! Literals that are whole in their id. Only the one lexical form that is written back exactly the same.

use oxigraph::model::Literal;
use oxigraph::model::vocab::xsd;

use crate::term_id::{Kind, TermId};

const LIMIT: u64 = 1 << 44;
const DAY: u64 = 24 * 3600;

/// The id of a literal that fits into one.
pub(crate) fn inline(value: &str, datatype: &str) -> Option<TermId> {
    let name = datatype.strip_prefix("http://www.w3.org/2001/XMLSchema#")?;
    match name {
        "integer" => integer(value).map(|n| TermId::new(Kind::Integer, n)),
        "boolean" => match value {
            "true" => Some(TermId::new(Kind::Boolean, 1)),
            "false" => Some(TermId::new(Kind::Boolean, 0)),
            _ => None,
        },
        "dateTime" => {
            let (kind, moment) = match value.strip_suffix('Z') {
                Some(moment) => (Kind::DateTimeZ, moment),
                None => (Kind::DateTimeOffset, value.strip_suffix("+00:00")?),
            };
            let (date, clock) = moment.split_once('T')?;
            Some(TermId::new(kind, days(date)? * DAY + seconds(clock)?))
        }
        "date" => days(value).map(|n| TermId::new(Kind::Date, n)),
        _ => None,
    }
}

/// The literal of an id that [`inline`] gave.
pub(crate) fn outline(id: TermId) -> Option<Literal> {
    let value = id.value();
    Some(match id.kind()? {
        Kind::Integer => Literal::new_typed_literal(value.to_string(), xsd::INTEGER),
        Kind::Boolean => Literal::new_typed_literal(if value == 0 { "false" } else { "true" }, xsd::BOOLEAN),
        Kind::DateTimeZ => Literal::new_typed_literal(moment(value, "Z"), xsd::DATE_TIME),
        Kind::DateTimeOffset => Literal::new_typed_literal(moment(value, "+00:00"), xsd::DATE_TIME),
        Kind::Date => Literal::new_typed_literal(date(value), xsd::DATE),
        _ => return None,
    })
}

fn integer(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let canonical = match bytes {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => rest.len() < 14 && rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if !canonical {
        return None;
    }
    text.parse().ok().filter(|n| *n < LIMIT)
}

fn digits(bytes: &[u8]) -> Option<u64> {
    bytes
        .iter()
        .try_fold(0, |n, b| b.is_ascii_digit().then(|| n * 10 + u64::from(b - b'0')))
}

/// Days since 0000-03-01 of the proleptic Gregorian calendar; years 1 to 9999.
fn days(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let (year, month, day) = (digits(&bytes[..4])?, digits(&bytes[5..7])?, digits(&bytes[8..])?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let longest = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if year == 0 || day == 0 || day > longest {
        return None;
    }
    let (y, m) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    Some(y * 365 + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1)
}

fn seconds(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    if bytes.len() != 8 || bytes[2] != b':' || bytes[5] != b':' {
        return None;
    }
    let (hour, minute, second) = (digits(&bytes[..2])?, digits(&bytes[3..5])?, digits(&bytes[6..])?);
    (hour < 24 && minute < 60 && second < 60).then_some(hour * 3600 + minute * 60 + second)
}

fn date(days: u64) -> String {
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

fn moment(seconds: u64, zone: &str) -> String {
    let (day, clock) = (seconds / DAY, seconds % DAY);
    format!(
        "{}T{:02}:{:02}:{:02}{zone}",
        date(day),
        clock / 3600,
        clock / 60 % 60,
        clock % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn there_and_back(value: &str, datatype: &str) -> Option<String> {
        let datatype = format!("http://www.w3.org/2001/XMLSchema#{datatype}");
        let literal = outline(inline(value, &datatype)?)?;
        assert_eq!(literal.datatype().as_str(), datatype);
        Some(literal.value().to_owned())
    }

    #[test]
    fn only_what_is_written_back_the_same() {
        for (value, datatype) in [
            ("0", "integer"),
            ("17592186044415", "integer"),
            ("true", "boolean"),
            ("2024-02-29", "date"),
            ("0001-01-01", "date"),
            ("9999-12-31", "date"),
            ("2024-01-15T11:01:37Z", "dateTime"),
            ("2024-01-15T11:01:37+00:00", "dateTime"),
            ("1999-12-31T23:59:59Z", "dateTime"),
        ] {
            assert_eq!(there_and_back(value, datatype).as_deref(), Some(value));
        }
        for (value, datatype) in [
            ("00", "integer"),
            ("-1", "integer"),
            ("+1", "integer"),
            ("17592186044416", "integer"),
            ("99999999999999999999", "integer"),
            ("1", "boolean"),
            ("2023-02-29", "date"),
            ("2023-13-01", "date"),
            ("0000-01-01", "date"),
            ("2024-01-15Z", "date"),
            ("2024-01-15T24:00:00Z", "dateTime"),
            ("2024-01-15T11:01:37.5Z", "dateTime"),
            ("2024-01-15T11:01:37", "dateTime"),
            ("1", "int"),
        ] {
            assert_eq!(there_and_back(value, datatype), None, "{value}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_the_same_or_refused(value in "[0-9]{1,5}-?[0-9]{0,2}-?[0-9]{0,2}", kind in 0..2) {
            let datatype = ["integer", "date"][kind as usize];
            if let Some(back) = there_and_back(&value, datatype) {
                prop_assert_eq!(back, value);
            }
        }

        #[test]
        fn every_second_of_ten_thousand_years(seconds in (366 * DAY)..(3_652_000 * DAY)) {
            let text = moment(seconds, "Z");
            prop_assert_eq!(there_and_back(&text, "dateTime"), Some(text));
        }
    }
}
