//! What is said about samples: medians, percentiles, and an interval for a ratio.

use crate::seeded::Seeded;

/// Re-samples taken for an interval.
const RESAMPLES: usize = 4_000;

/// The middle value; 0 of nothing.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    percentile(values, 50.0)
}

/// Linear interpolation between closest ranks; 0 of nothing.
#[must_use]
pub fn percentile(values: &[f64], percent: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else {
        return 0.0;
    };
    let rank = (percent / 100.0).clamp(0.0, 1.0) * last as f64;
    let low = rank.floor() as usize;
    let high = rank.ceil() as usize;
    sorted[low] + (sorted[high] - sorted[low]) * (rank - low as f64)
}

/// 0 of nothing, or when a value is not above 0.
#[must_use]
pub fn geometric_mean(values: &[f64]) -> f64 {
    if values.is_empty() || values.iter().any(|value| *value <= 0.0) {
        return 0.0;
    }
    (values.iter().map(|value| value.ln()).sum::<f64>() / values.len() as f64).exp()
}

/// An estimate with its 95 % bootstrap interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    pub estimate: f64,
    pub low: f64,
    pub high: f64,
}

/// One measured pair: what the peer took and what we took, in the same unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    pub peer: f64,
    pub ours: f64,
}

/// How often ours fits into the peer's: ratio of medians. Pairs are re-sampled whole, because both halves
/// of a pair met the same moment of the machine.
#[must_use]
pub fn ratio(pairs: &[Pair], seed: u64) -> Interval {
    bootstrap(pairs, seed, |sample| {
        let peer: Vec<f64> = sample.iter().map(|pair| pair.peer).collect();
        let ours: Vec<f64> = sample.iter().map(|pair| pair.ours).collect();
        median(&peer) / median(&ours).max(f64::MIN_POSITIVE)
    })
}

/// The geometric mean of the ratios of several series, each series re-sampled by itself.
#[must_use]
pub fn mean_ratio(series: &[Vec<Pair>], seed: u64) -> Interval {
    let ratios = |sample: &[Vec<Pair>]| {
        let each: Vec<f64> = sample
            .iter()
            .map(|pairs| {
                let peer: Vec<f64> = pairs.iter().map(|pair| pair.peer).collect();
                let ours: Vec<f64> = pairs.iter().map(|pair| pair.ours).collect();
                median(&peer) / median(&ours).max(f64::MIN_POSITIVE)
            })
            .collect();
        geometric_mean(&each)
    };
    let mut seeded = Seeded::new(seed);
    let draws = (0..RESAMPLES)
        .map(|_| {
            let sample: Vec<Vec<Pair>> = series.iter().map(|pairs| redraw(pairs, &mut seeded)).collect();
            ratios(&sample)
        })
        .collect::<Vec<_>>();
    interval(ratios(series), &draws)
}

/// Any statistic of a series with its interval.
#[must_use]
pub fn bootstrap<T: Clone>(values: &[T], seed: u64, statistic: impl Fn(&[T]) -> f64) -> Interval {
    if values.is_empty() {
        return Interval {
            estimate: 0.0,
            low: 0.0,
            high: 0.0,
        };
    }
    let mut seeded = Seeded::new(seed);
    let draws: Vec<f64> = (0..RESAMPLES)
        .map(|_| statistic(&redraw(values, &mut seeded)))
        .collect();
    interval(statistic(values), &draws)
}

/// Two-sided p of the Mann-Whitney test, by the normal approximation with ties: how likely two series so different would be,
/// were they of one kind. For large series.
#[must_use]
pub fn rank_sum_p(one: &[f64], other: &[f64]) -> f64 {
    let mut all: Vec<(f64, bool)> = one.iter().map(|value| (*value, true)).collect();
    all.extend(other.iter().map(|value| (*value, false)));
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (n, m) = (one.len() as f64, other.len() as f64);
    let (mut ranks, mut ties, mut at) = (0.0, 0.0, 0);
    while at < all.len() {
        let equal = all[at..]
            .iter()
            .take_while(|(value, _)| *value == all[at].0)
            .count();
        let rank = at as f64 + (equal as f64 + 1.0) / 2.0;
        ranks += rank * all[at..at + equal].iter().filter(|(_, first)| *first).count() as f64;
        ties += (equal as f64).powi(3) - equal as f64;
        at += equal;
    }
    let u = ranks - n * (n + 1.0) / 2.0;
    let total = n + m;
    let variance = n * m / 12.0 * (total + 1.0 - ties / (total * (total - 1.0)));
    if variance <= 0.0 {
        return 1.0;
    }
    let z = ((u - n * m / 2.0).abs() - 0.5).max(0.0) / variance.sqrt();
    both_tails(z)
}

/// Of the normal distribution, by Abramowitz and Stegun 7.1.26; its error is below 2e-7.
fn both_tails(z: f64) -> f64 {
    let x = z / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let poly = [
        1.061_405_429,
        -1.453_152_027,
        1.421_413_741,
        -0.284_496_736,
        0.254_829_592,
    ];
    let sum = poly.iter().fold(0.0, |sum, factor| sum * t + factor) * t;
    (sum * (-x * x).exp()).clamp(0.0, 1.0)
}

fn redraw<T: Clone>(values: &[T], seeded: &mut Seeded) -> Vec<T> {
    (0..values.len())
        .map(|_| values[seeded.below(values.len())].clone())
        .collect()
}

fn interval(estimate: f64, draws: &[f64]) -> Interval {
    Interval {
        estimate,
        low: percentile(draws, 2.5),
        high: percentile(draws, 97.5),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_interpolate() {
        assert_eq!(median(&[]), 0.0);
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[1.0, 2.0, 3.0, 4.0]), 2.5);
        assert_eq!(percentile(&[0.0, 10.0], 95.0), 9.5);
        assert_eq!(percentile(&[5.0], 95.0), 5.0);
    }

    #[test]
    fn geometric_mean_needs_positive_values() {
        assert!((geometric_mean(&[1.0, 4.0]) - 2.0).abs() < 1e-12);
        assert_eq!(geometric_mean(&[0.0, 4.0]), 0.0);
        assert_eq!(geometric_mean(&[]), 0.0);
    }

    #[test]
    fn a_ratio_lies_in_its_interval_and_repeats() {
        let pairs: Vec<Pair> = (0..9)
            .map(|n| Pair {
                peer: 10.0 + f64::from(n) * 0.1,
                ours: 2.0 + f64::from(n % 3) * 0.1,
            })
            .collect();
        let first = ratio(&pairs, 1);
        assert!(first.low <= first.estimate && first.estimate <= first.high);
        assert!((first.estimate - 10.4 / 2.1).abs() < 1e-9);
        assert_eq!(first, ratio(&pairs, 1));
    }

    #[test]
    fn equal_pairs_have_a_point_for_an_interval() {
        let pairs = vec![Pair { peer: 6.0, ours: 2.0 }; 7];
        assert_eq!(
            ratio(&pairs, 3),
            Interval {
                estimate: 3.0,
                low: 3.0,
                high: 3.0
            }
        );
        let both = mean_ratio(
            &[
                pairs.clone(),
                vec![
                    Pair {
                        peer: 12.0,
                        ours: 1.0
                    };
                    7
                ],
            ],
            3,
        );
        assert!((both.estimate - 6.0).abs() < 1e-9 && (both.low - both.high).abs() < 1e-9);
    }

    #[test]
    fn series_of_one_kind_are_told_from_others() {
        let mut seeded = Seeded::new(5);
        let mut series =
            |shift: f64| -> Vec<f64> { (0..5_000).map(|_| seeded.below(1_000) as f64 + shift).collect() };
        let (one, same, other) = (series(0.0), series(0.0), series(30.0));
        assert!(rank_sum_p(&one, &same) > 0.05);
        assert!(rank_sum_p(&one, &other) < 0.001);
        assert_eq!(rank_sum_p(&[1.0; 9], &[1.0; 9]), 1.0);
        assert!((both_tails(1.959_964) - 0.05).abs() < 1e-6);
    }

    #[test]
    fn nothing_measured_gives_zero() {
        assert_eq!(ratio(&[], 1).estimate, 0.0);
    }
}
