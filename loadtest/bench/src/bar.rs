//! A bar is what a figure must reach. It is met when the pessimistic end of the interval reaches it.

use crate::stats::Interval;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bar {
    AtLeast(f64),
    AtMost(f64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Met,
    /// The estimate reaches the bar, its interval does not: more samples or a quieter machine may tell.
    Unsure,
    NotMet,
}

impl Bar {
    #[must_use]
    pub fn judge(self, figure: Interval) -> Verdict {
        let (sure, estimated) = match self {
            Self::AtLeast(bar) => (figure.low >= bar, figure.estimate >= bar),
            Self::AtMost(bar) => (figure.high <= bar, figure.estimate <= bar),
        };
        match (sure, estimated) {
            (true, _) => Verdict::Met,
            (false, true) => Verdict::Unsure,
            (false, false) => Verdict::NotMet,
        }
    }

    /// For a figure that was counted or read once.
    #[must_use]
    pub fn judge_value(self, value: f64) -> Verdict {
        self.judge(Interval {
            estimate: value,
            low: value,
            high: value,
        })
    }
}

impl std::fmt::Display for Bar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(bar) => write!(f, "≥ {bar}"),
            Self::AtMost(bar) => write!(f, "≤ {bar}"),
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Met => "met",
            Self::Unsure => "**unsure**",
            Self::NotMet => "**not met**",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pessimistic_end_decides() {
        let figure = Interval {
            estimate: 310.0,
            low: 295.0,
            high: 330.0,
        };
        assert_eq!(Bar::AtLeast(290.0).judge(figure), Verdict::Met);
        assert_eq!(Bar::AtLeast(300.0).judge(figure), Verdict::Unsure);
        assert_eq!(Bar::AtLeast(320.0).judge(figure), Verdict::NotMet);
        assert_eq!(Bar::AtMost(330.0).judge(figure), Verdict::Met);
        assert_eq!(Bar::AtMost(320.0).judge(figure), Verdict::Unsure);
        assert_eq!(Bar::AtMost(300.0).judge(figure), Verdict::NotMet);
    }
}
