use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment in UTC, in whole microseconds since 1970-01-01. Comes from `runtime::Clock`, or from GitLab.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970, negative before it.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Microseconds since 1970; 0 for moments before it.
    pub const fn micros_since_epoch(self) -> u64 {
        if self.0 < 0 { 0 } else { self.0 as u64 }
    }

    /// This much later.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)),
        )
    }

    /// How long from `earlier` to here; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Reads RFC 3339, as GitLab writes it.
    pub fn parse_rfc3339(text: &str) -> Result<Self, time::error::Parse> {
        let moment = time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339)?;
        Ok(Self((moment.unix_timestamp_nanos() / 1_000) as i64))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with microseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000) {
            Ok(t) => write!(
                f,
                "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z",
                t.year(),
                u8::from(t.month()),
                t.day(),
                t.hour(),
                t.minute(),
                t.second(),
                t.microsecond()
            ),
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

/// A day of UTC. GitLab's memberships end at the beginning of one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Day(u32);

/// The text is not `YYYY-MM-DD`, or before 1970.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a day: YYYY-MM-DD from 1970 on is needed")]
pub struct NotADay(String);

impl Day {
    const EPOCH: i32 = 2_440_588;

    /// Days since 1970-01-01.
    pub const fn from_number(days: u32) -> Self {
        Self(days)
    }

    /// Days since 1970-01-01.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The day of a moment; the first one for moments before 1970.
    pub const fn of(moment: Timestamp) -> Self {
        Self((moment.micros_since_epoch() / 86_400_000_000) as u32)
    }
}

impl std::str::FromStr for Day {
    type Err = NotADay;

    fn from_str(text: &str) -> Result<Self, NotADay> {
        let no = || NotADay(text.chars().take(40).collect());
        let mut parts = text.split('-');
        let mut number = |digits: usize| {
            let part = parts
                .next()
                .filter(|part| part.len() == digits && part.bytes().all(|b| b.is_ascii_digit()));
            part.and_then(|part| part.parse::<u16>().ok()).ok_or_else(no)
        };
        let (year, month, day) = (number(4)?, number(2)?, number(2)?);
        if parts.next().is_some() {
            return Err(no());
        }
        let month = u8::try_from(month)
            .ok()
            .and_then(|month| time::Month::try_from(month).ok())
            .ok_or_else(no)?;
        let date = u8::try_from(day)
            .ok()
            .and_then(|day| time::Date::from_calendar_date(i32::from(year), month, day).ok())
            .ok_or_else(no)?;
        u32::try_from(date.to_julian_day() - Self::EPOCH)
            .map(Self)
            .map_err(|_| no())
    }
}

impl fmt::Display for Day {
    /// `YYYY-MM-DD`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = i32::try_from(self.0)
            .ok()
            .and_then(|days| time::Date::from_julian_day(days.saturating_add(Self::EPOCH)).ok());
        match date {
            Some(date) => write!(
                f,
                "{:04}-{:02}-{:02}",
                date.year(),
                u8::from(date.month()),
                date.day()
            ),
            None => write!(f, "day {}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_both_ways() {
        for (text, number) in [("1970-01-01", 0), ("1970-02-01", 31), ("2024-02-29", 19_782)] {
            let day: Day = text.parse().unwrap();
            assert_eq!((day.number(), day.to_string().as_str()), (number, text));
        }
        for wrong in [
            "",
            "2024-02-30",
            "2024-1-1",
            "1969-12-31",
            "2024-01-01T00",
            "24-01-01",
            "+024-01-01",
            "2024-01-01-",
        ] {
            assert!(wrong.parse::<Day>().is_err(), "{wrong}");
        }
        let moment = Timestamp::parse_rfc3339("2024-02-29T23:59:59.999999Z").unwrap();
        assert_eq!(Day::of(moment).to_string(), "2024-02-29");
    }

    #[test]
    fn rfc3339_both_ways() {
        let moment = Timestamp::parse_rfc3339("2024-01-15T11:01:37.263571+01:00").unwrap();
        assert_eq!(moment.to_string(), "2024-01-15T10:01:37.263571Z");
        assert_eq!(
            Timestamp::from_micros(0).to_string(),
            "1970-01-01T00:00:00.000000Z"
        );
    }
}
