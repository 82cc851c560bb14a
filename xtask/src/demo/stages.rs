/// Where the time goes: histograms of `/metrics`, in the order in which a push meets them.
const STAGES: &[(&str, &str)] = &[
    (
        "hook: until its record is durable",
        "renku_webhook_accept_seconds",
    ),
    (
        "fetch: GitLab's facts",
        "renku_fetcher_step_seconds{step=\"facts\"}",
    ),
    ("fetch: git", "renku_fetcher_step_seconds{step=\"fetch\"}"),
    (
        "fetch: contents stored",
        "renku_fetcher_step_seconds{step=\"blobs\"}",
    ),
    (
        "fetch: records durable",
        "renku_fetcher_step_seconds{step=\"log\"}",
    ),
    (
        "generate: files read",
        "renku_generator_step_seconds{step=\"read\"}",
    ),
    (
        "generate: triples made",
        "renku_generator_step_seconds{step=\"make\"}",
    ),
    (
        "generate: pieces stored",
        "renku_generator_step_seconds{step=\"blobs\"}",
    ),
    (
        "generate: record durable",
        "renku_generator_step_seconds{step=\"log\"}",
    ),
    ("view: one commit", "renku_view_commit_seconds"),
];

/// Prints how often each stage ran and how long it took on average.
pub fn print(exposition: &str) {
    println!("\n{:<36} {:>6} {:>10}", "stage", "runs", "mean");
    for (what, series) in STAGES {
        let (Some(sum), Some(count)) = (
            value(exposition, series, "_sum"),
            value(exposition, series, "_count"),
        ) else {
            continue;
        };
        if count > 0.0 {
            println!("{what:<36} {count:>6.0} {:>7.1} ms", sum / count * 1_000.0);
        }
    }
}

fn value(exposition: &str, series: &str, suffix: &str) -> Option<f64> {
    let name = match series.split_once('{') {
        Some((name, labels)) => format!("{name}{suffix}{{{labels} "),
        None => format!("{series}{suffix} "),
    };
    exposition
        .lines()
        .find_map(|line| line.strip_prefix(&name))
        .and_then(|number| number.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::value;

    #[test]
    fn series_are_found() {
        let text = "# HELP a b\na_sum 2.5\na_count 5\nb_sum{step=\"x\"} 1\nb_sum{step=\"y\"} 3\n";
        assert_eq!(value(text, "a", "_sum"), Some(2.5));
        assert_eq!(value(text, "b{step=\"y\"}", "_sum"), Some(3.0));
        assert_eq!(value(text, "c", "_sum"), None);
    }
}
